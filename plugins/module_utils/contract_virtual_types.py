# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Types of an address that moves between the members of a service."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

ROUTER_IDS = 255


@dataclass(frozen=True)
class VirtualAddress:
    """One declared address: ``router_id`` tells it from other virtual routers of the network."""

    address: str
    router_id: int
    name: str = ""
    interface: str = ""


def router_id_of(service: str) -> int:
    """Return the number that follows from a service id: the same in every run, from 1 to 255."""
    return int.from_bytes(hashlib.sha256(service.encode()).digest()[:4], "big") % ROUTER_IDS + 1


def virtual_address_of(service: str, value: Mapping[str, Any] | None) -> VirtualAddress | None:
    """Return the typed form of what a service declares."""
    if value is None:
        return None
    return VirtualAddress(
        address=str(value["address"]),
        router_id=int(value.get("router_id", router_id_of(service))),
        name=str(value.get("name", "")),
        interface=str(value.get("interface", "")),
    )
