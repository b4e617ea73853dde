# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters that read a host's network from its facts."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator, Mapping
from typing import Any


def _networks(facts: Mapping[str, Any]) -> Iterator[tuple[str, str, ipaddress.IPv4Network]]:
    """Yield every interface's name, address and network."""
    for value in facts.values():
        if not isinstance(value, Mapping) or "device" not in value:
            continue
        for item in (value.get("ipv4"), *value.get("ipv4_secondaries", ())):
            if isinstance(item, Mapping) and item.get("address") and item.get("netmask"):
                network = ipaddress.IPv4Network(f"{item['address']}/{item['netmask']}", strict=False)
                yield str(value["device"]), str(item["address"]), network


def interface_for(facts: Mapping[str, Any], own: str, address: str, wanted: str = "") -> dict[str, str]:
    """Return the `interface` that can carry `address` beside the host's `own`, and the `problem` where there is none.

    `facts` are Ansible's of the subset network. The address must be in the network of an address that the interface
    has: in that of `own`, or of any on the interface `wanted`.
    """
    found = list(_networks(facts))
    carriers = [item for item in found if item[0] == wanted] if wanted else [item for item in found if item[1] == own]
    if not carriers:
        known = ", ".join(f"{name} {at}/{network.prefixlen}" for name, at, network in found) or "none"
        which = f"interface {wanted} with an IPv4 address" if wanted else f"an interface with {own}"
        return {"interface": "", "problem": f"expected {which}, found {known}"}
    moving = ipaddress.IPv4Address(address)
    for name, _at, network in carriers:
        if moving in network and moving not in {network.network_address, network.broadcast_address}:
            return {"interface": name, "problem": ""}
    networks = ", ".join(str(network) for _name, _at, network in carriers)
    wrong = f"expected {address} to be a host's address in the network of {carriers[0][0]}, found {networks}"
    return {"interface": "", "problem": wrong}


class FilterModule:
    """Register the filters."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return {"interface_for": interface_for}
