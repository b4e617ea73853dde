# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters that write nftables rules."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError


def nft_rule(rule: dict[str, Any]) -> str:
    """Return the nftables statements that accept a rule's traffic, one line per address family.

    `rule` has `port`, `protocol`, `sources` (addresses or networks) and `comment`. Raises AnsibleFilterError when a
    source is neither an address nor a network, or when there is none: such a rule would open the port to all.
    """
    families: dict[int, list[str]] = {4: [], 6: []}
    for source in rule["sources"]:
        try:
            network = ipaddress.ip_network(str(source), strict=False)
        except ValueError as error:
            raise AnsibleFilterError(
                f"firewall rule for port {rule['port']} ({rule.get('comment', '')}): source {source!r} is neither "
                "an address nor a network; give one, as in 192.0.2.10 or 192.0.2.0/24"
            ) from error
        families[network.version].append(str(network.network_address) if network.num_addresses == 1 else str(network))
    if not rule["sources"]:
        raise AnsibleFilterError(
            f"firewall rule for port {rule['port']} ({rule.get('comment', '')}): no source is declared"
        )
    comment = "".join(char for char in str(rule.get("comment", "")) if char.isalnum() or char in " ._-:/")[:100]
    lines = []
    for version, selector in ((4, "ip"), (6, "ip6")):
        if families[version]:
            collapsed = ipaddress.collapse_addresses(ipaddress.ip_network(item) for item in families[version])  # type: ignore[type-var]
            addresses = ", ".join(str(n.network_address) if n.num_addresses == 1 else str(n) for n in collapsed)
            port = f'{rule.get("protocol", "tcp")} dport {rule["port"]} accept comment "{comment}"'
            lines.append(f"{selector} saddr {{ {addresses} }} {port}")
    return "\n".join(lines)


class FilterModule:
    """Register the filters."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return {"nft_rule": nft_rule}
