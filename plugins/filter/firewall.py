# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters that write nftables rules."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError

#: VRRP has no ports, and /etc/protocols, which knows its name, is missing on small systems.
VRRP = 112


def nft_rule(rule: dict[str, Any]) -> str:
    """Return the nftables statements that accept a rule's traffic, one line per address family.

    `rule` has `port` (but for vrrp), `protocol`, `sources` (addresses or networks) and `comment`. Raises
    AnsibleFilterError when a source is neither an address nor a network, or when there is none: such a rule would open
    the port to all.
    """
    families: dict[int, list[str]] = {4: [], 6: []}
    what = f"protocol {VRRP}" if rule.get("protocol") == "vrrp" else f"port {_port(rule)}"
    for source in rule["sources"]:
        try:
            network = ipaddress.ip_network(str(source), strict=False)
        except ValueError as error:
            raise AnsibleFilterError(
                f"firewall rule for {what} ({rule.get('comment', '')}): source {source!r} is neither "
                "an address nor a network; give one, as in 192.0.2.10 or 192.0.2.0/24"
            ) from error
        families[network.version].append(str(network.network_address) if network.num_addresses == 1 else str(network))
    if not rule["sources"]:
        raise AnsibleFilterError(f"firewall rule for {what} ({rule.get('comment', '')}): no source is declared")
    lines = []
    for version, selector in ((4, "ip"), (6, "ip6")):
        if families[version]:
            collapsed = ipaddress.collapse_addresses(ipaddress.ip_network(item) for item in families[version])  # type: ignore[type-var]
            addresses = ", ".join(str(n.network_address) if n.num_addresses == 1 else str(n) for n in collapsed)
            is_vrrp = rule.get("protocol") == "vrrp"
            port = f"meta l4proto {VRRP}" if is_vrrp else f"{rule.get('protocol', 'tcp')} dport {rule['port']}"
            lines.append(f'{selector} saddr {{ {addresses} }} {port} accept comment "{_comment(rule)}"')
    return "\n".join(lines)


def nft_redirect(redirect: dict[str, Any]) -> str:
    """Return the nftables statement that hands a port of a virtual address to a listener on the host's own address.

    `redirect` has `address`, `port`, `to` and `comment`. Raises AnsibleFilterError for what is no IPv4 address or port.
    """
    for key in ("address", "to"):
        try:
            ipaddress.IPv4Address(str(redirect[key]))
        except ValueError as error:
            raise AnsibleFilterError(
                f"firewall redirect of port {redirect['port']}: {key} {redirect[key]!r} is no IPv4 address; give one, "
                "as in 192.0.2.10"
            ) from error
    match = f"ip daddr {redirect['address']} tcp dport {_port(redirect)}"
    return f'{match} dnat ip to {redirect["to"]} comment "{_comment(redirect)}"'


def _comment(rule: dict[str, Any]) -> str:
    return "".join(char for char in str(rule.get("comment", "")) if char.isalnum() or char in " ._-:/")[:100]


def _port(rule: dict[str, Any]) -> int:
    """Return the port of a rule; one without a port would open, or move, all of them."""
    port = rule.get("port")
    if isinstance(port, bool) or not str(port).isdigit() or not 1 <= int(str(port)) <= 65535:
        raise AnsibleFilterError(
            f"firewall rule ({rule.get('comment', '')}): expected a port from 1 to 65535, found {port!r}"
        )
    return int(str(port))


class FilterModule:
    """Register the filters."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return {"nft_rule": nft_rule, "nft_redirect": nft_redirect}
