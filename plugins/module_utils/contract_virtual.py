# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The virtual address of a PostgreSQL service's client entry: its rules, and timers derived from the budget."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from typing import Any

from ansible_collections.holdfast.stateful.plugins.module_utils.contract_registry import rule
from ansible_collections.holdfast.stateful.plugins.module_utils.contract_types import (
    Budget,
    Derived,
    Problem,
    View,
    show,
)
from ansible_collections.holdfast.stateful.plugins.module_utils.contract_virtual_types import VirtualAddress

Found = Iterator[Problem]

# All members are equal, so that none takes the address back; one that sees no leader is worth less than one that does.
PRIORITY = 200
# How often a member looks at its own entry, and how many looks in a row must fail.
CHECK_MS = 500
LOOKS = 2
#: VRRP waits for three advertisements, and longer the lower a priority is.
ADVERTISEMENTS = 3

DNS_NAME = re.compile(
    r"(?=.{1,253}$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*", re.ASCII
)
INTERFACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,14}", re.ASCII)


def _parsed(text: str) -> ipaddress.IPv4Address | None:
    try:
        return ipaddress.IPv4Address(text)
    except ValueError:
        return None


def _others(view: View) -> list[tuple[str, VirtualAddress]]:
    found = [(other.entry.service, other.entry.virtual_address) for other in view.others]
    return [(service, virtual) for service, virtual in found if virtual]


@rule(
    "virtual-address-invalid",
    "VRRP could not carry it from member to member, or no client could use it",
    engine="postgres",
)
def virtual_address_invalid(view: View) -> Found:
    """What is no IPv4 address of a network, or a member whose address VRRP can't be sent to."""
    virtual = view.entry.virtual_address
    if virtual is None:
        return
    found = _parsed(virtual.address)
    nearest = "a free IPv4 address of the members' own network, such as 10.20.0.10"
    if found is None:
        yield Problem("virtual_address.address", f"{show(virtual.address)} is no IPv4 address", nearest)
    elif found.is_loopback or found.is_multicast or found.is_link_local or found.is_reserved or found.is_unspecified:
        yield Problem("virtual_address.address", f"{virtual.address} is no address of a network of hosts", nearest)
    for host in view.members:
        if _parsed(host.address) is None:
            wrong = f"member {host.name} has {show(host.address)}, which is no IPv4 address"
            yield Problem("virtual_address", wrong, f"set host_baseline_address of {host.name} to its IPv4 address")


@rule(
    "virtual-address-taken",
    "two owners of one address answer in turns, and the clients of both get the wrong one",
    engine="postgres",
)
def virtual_address_taken(view: View) -> Found:
    """The address of a host, or of another service."""
    virtual = view.entry.virtual_address
    if virtual is None:
        return
    nearest = "an address that nothing else has"
    known = {host.address: host.name for placed in view.everyone for host in placed.hosts}
    sites = [site for site in (view.entry.standby_of, *view.entry.standby_sites) if site]
    known |= {member.address: member.name for site in sites for member in site.members}
    owner = known.get(virtual.address)
    if owner:
        yield Problem("virtual_address.address", f"{virtual.address} is the address of {owner}", nearest)
    for service, other in _others(view):
        if other.address == virtual.address:
            wrong = f"{virtual.address} is the virtual address of {service}, too"
            yield Problem("virtual_address.address", wrong, nearest)


@rule(
    "virtual-address-router-id",
    "members of both services would take each other's advertisements for their own",
    engine="postgres",
)
def virtual_address_router_id(view: View) -> Found:
    """One number for the virtual routers of two services."""
    virtual = view.entry.virtual_address
    if virtual is None:
        return
    taken = {other.router_id: service for service, other in _others(view)}
    if virtual.router_id in taken:
        free = next(number for number in range(1, 256) if number not in taken)
        wrong = f"router_id {virtual.router_id} is also that of {taken[virtual.router_id]}"
        yield Problem("virtual_address.router_id", wrong, str(free))


@rule("virtual-address-one-member", "an address moves only where somebody else can take it", engine="postgres")
def virtual_address_one_member(view: View) -> Found:
    """A service whose address has nowhere to go."""
    if view.entry.virtual_address and len(view.members) == 1:
        wrong = "the service has one member, whose own address does the same"
        yield Problem("virtual_address", wrong, "remove it, or give the service more members")


@rule(
    "virtual-address-name",
    "the members' certificates carry the name: whoever has it there proves to be what it names",
    engine="postgres",
)
def virtual_address_name(view: View) -> Found:
    """A name that is none, or that somebody else proves who they are with."""
    virtual = view.entry.virtual_address
    if virtual is None or not virtual.name:
        return
    nearest = f"a DNS name of its own, for example {view.entry.service}.db.example.com"
    if not DNS_NAME.fullmatch(virtual.name):
        yield Problem("virtual_address.name", f"{show(virtual.name)} is no DNS name in small letters", nearest)
    taken = {host.name: "a host" for placed in view.everyone for host in placed.hosts}
    taken |= {
        f"{placed.entry.service}-{kind}": placed.entry.service for placed in view.everyone for kind in ("rw", "ro")
    }
    taken |= {other.name: service for service, other in _others(view) if other.name}
    taken["localhost"] = "every host"
    if virtual.name in taken:
        yield Problem("virtual_address.name", f"{show(virtual.name)} is a name of {taken[virtual.name]}", nearest)


@rule("virtual-address-interface", "the kernel has no interface of such a name", engine="postgres")
def virtual_address_interface(view: View) -> Found:
    """A name that no interface has."""
    virtual = view.entry.virtual_address
    if virtual and virtual.interface and not INTERFACE.fullmatch(virtual.interface):
        wrong = f"{show(virtual.interface)} can't be the name of an interface"
        yield Problem("virtual_address.interface", wrong, "leave it out, or a name such as eth0")


def advert_ms(budget: Budget) -> int:
    """Return how often the holder says that it is there: a sixtieth of the time to recover, within 0.5 to 0.8 s."""
    return min(800, max(500, budget.rto_seconds * 1000 // 60 // 10 * 10))


def silence_ms(budget: Budget) -> int:
    """Return how long the others wait for a holder that says nothing any more."""
    advert = advert_ms(budget)
    return ADVERTISEMENTS * advert + advert * (256 - PRIORITY) // 256


def takeover_ms(budget: Budget) -> int:
    """Return how long the address is nowhere at most: the holder's own looks, then the wait of the others."""
    return LOOKS * CHECK_MS + silence_ms(budget)


def derive_virtual_address(view: View, out: Derived) -> None:
    """Set ``settings.virtual_address``; nothing for a service without one."""
    virtual, budget = view.entry.virtual_address, view.entry.budget
    if virtual is None:
        return
    values: tuple[tuple[str, Any, str], ...] = (
        ("address", virtual.address, "the one host that clients are told; each member's pooler leads to the leader"),
        ("name", virtual.name, "in the members' certificates, beside the address"),
        ("interface", virtual.interface, "empty: the one that has the member's own address"),
        ("router_id", virtual.router_id, "follows from the service id, or declared; no other service has it"),
        (
            "priority",
            PRIORITY,
            "the same for all members: nobody takes the address back, so it moves only when it must",
        ),
        (
            "advert_ms",
            advert_ms(budget),
            f"a sixtieth of rto_seconds {budget.rto_seconds}, within 0.5 to 0.8 s; after {silence_ms(budget)} ms of "
            "silence another member takes the address",
        ),
        ("check_ms", CHECK_MS, f"how often a member looks at its own pooler and HAProxy; {LOOKS} failures count"),
        (
            "takeover_ms",
            takeover_ms(budget),
            f"expected at most: about {silence_ms(budget)} ms after a holder's death, {LOOKS * CHECK_MS} ms after its "
            "entry's, both where only its sight of the leader is lost",
        ),
    )
    for name, value, because in values:
        out.put("virtual_address", name, value, because)
    out.advisories.append(
        f"virtual_address {virtual.address}: members that can't hear each other may hold it both. That splits clients, "
        "never data: who leads is decided elsewhere."
    )
