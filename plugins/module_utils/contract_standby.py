# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A standby cluster on another site: its rules, and the settings of both sides, the source and the follower."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from ansible_collections.holdfast.stateful.plugins.module_utils.contract_registry import rule
from ansible_collections.holdfast.stateful.plugins.module_utils.contract_site_types import Site
from ansible_collections.holdfast.stateful.plugins.module_utils.contract_types import (
    Derived,
    Placed,
    Problem,
    View,
    show,
)

Found = Iterator[Problem]
# contract_postgres sets max_wal_senders to this; a base backup and a spare need two of them.
WAL_SENDERS = 10
SPARE_SENDERS = 2


def sites(view: View) -> list[tuple[str, Site]]:
    """Return every other site that the entry names, with its key."""
    entry = view.entry
    found = [("standby_of", entry.standby_of)] if entry.standby_of else []
    return found + [(f"standby_sites[{at}]", site) for at, site in enumerate(entry.standby_sites)]


def _named(view: View, service: str) -> Placed | None:
    return next((other for other in view.others if other.entry.service == service), None)


@rule(
    "standby-scope",
    "both clusters would keep their leader under one name, and one would follow itself",
    engine="postgres",
)
def standby_scope(view: View) -> Found:
    """A site with the service's own id, or one id for two sites."""
    seen: set[str] = {view.entry.service}
    for key, site in sites(view):
        if site.service in seen:
            wrong = f"{show(site.service)} is this service itself, or another of its sites"
            yield Problem(f"{key}.service", wrong, f"an id of its own, for example {view.entry.service}-b")
        seen.add(site.service)


@rule("standby-without-members", "nobody can be followed, or let in, whose address is not known", engine="postgres")
def standby_without_members(view: View) -> Found:
    """A site without members."""
    for key, site in sites(view):
        if not site.members:
            yield Problem(f"{key}.members", "the list is empty", "every member of that cluster, with name and address")


@rule(
    "standby-member-shared",
    "a member of both would count as the other site's synchronous standby: PostgreSQL tells them apart by name only",
    engine="postgres",
)
def standby_member_shared(view: View) -> Found:
    """A name or an address that two of the clusters have."""
    names = {host.name: view.entry.service for host in view.members}
    addresses = {host.address: view.entry.service for host in view.members}
    for key, site in sites(view):
        for at, member in enumerate(site.members):
            for kind, value, seen in (("name", member.name, names), ("address", member.address, addresses)):
                owner = seen.setdefault(value, f"{site.service}[{at}]")
                if owner != f"{site.service}[{at}]":
                    wrong = f"{kind} {show(value)} is also one of {owner}"
                    yield Problem(f"{key}.members[{at}].{kind}", wrong, f"a {kind} that no other member has")


@rule(
    "standby-address-invalid",
    "pg_hba.conf and the firewall would open to nobody, or to somebody else",
    engine="postgres",
)
def standby_address_invalid(view: View) -> Found:
    """A member of a site whose address is none."""
    for key, site in sites(view):
        for at, member in enumerate(site.members):
            try:
                ipaddress.ip_address(member.address)
            except ValueError:
                wrong = f"{show(member.address)} is no IP address"
                yield Problem(f"{key}.members[{at}].address", wrong, "an address such as 10.20.0.7")


@rule(
    "standby-cascade",
    "a standby cluster keeps no slot for followers of its own before it is promoted",
    engine="postgres",
)
def standby_cascade(view: View) -> Found:
    """A standby cluster that is to be followed."""
    if view.entry.standby_of and view.entry.standby_sites:
        wrong = f"this service follows {view.entry.standby_of.service} itself"
        yield Problem("standby_sites", wrong, f"declare it for {view.entry.standby_of.service}, or after the promotion")


@rule("standby-sites-many", "each site holds one of the leader's connections for replication", engine="postgres")
def standby_sites_many(view: View) -> Found:
    """More followers than the leader has connections for."""
    room = WAL_SENDERS - SPARE_SENDERS - max(0, len(view.members) - 1)
    if len(view.entry.standby_sites) > room:
        wrong = f"{len(view.entry.standby_sites)} sites beside {len(view.members)} members"
        yield Problem("standby_sites", wrong, f"at most {room}")


@rule(
    "standby-source-differs",
    "what follows is a copy, byte for byte: it can't differ, and must be let in",
    engine="postgres",
)
def standby_source_differs(view: View) -> Found:
    """A source in the same catalog that is not as declared."""
    entry, site = view.entry, view.entry.standby_of
    other = _named(view, site.service) if site else None
    if site is None or other is None:
        return
    source = other.entry
    if source.engine != "postgres":
        yield Problem("standby_of.service", f"{source.service} is {source.engine}", "a postgres service")
        return
    for key, mine, theirs in (
        ("version.series", entry.version.series, source.version.series),
        ("database", entry.database, source.database),
        ("app_user", entry.app_user, source.app_user),
        ("standby_of.port", site.port, source.port),
    ):
        if mine != theirs:
            yield Problem(key, f"{show(mine)} here, {show(theirs)} at {source.service}", str(theirs))
    yield from _same_members("standby_of.members", site, other)
    if not any(follower.service == entry.service for follower in source.standby_sites):
        wrong = f"{source.service} has no standby_sites item for {entry.service}, and lets nobody of it in"
        yield Problem("standby_of.service", wrong, f"declare {entry.service} in standby_sites of {source.service}")


@rule("standby-site-differs", "the source would let in hosts that are none of the follower's", engine="postgres")
def standby_site_differs(view: View) -> Found:
    """A follower in the same catalog that is not as declared."""
    for at, site in enumerate(view.entry.standby_sites):
        other, key = _named(view, site.service), f"standby_sites[{at}]"
        if other is None:
            continue
        follows = other.entry.standby_of
        if follows is None or follows.service != view.entry.service:
            wrong = f"{site.service} is in this catalog and does not follow {view.entry.service}"
            yield Problem(f"{key}.service", wrong, f"remove it, or declare standby_of for {site.service}")
        yield from _same_members(f"{key}.members", site, other)


def _same_members(key: str, site: Site, other: Placed) -> Found:
    declared = {(member.name, member.address) for member in site.members}
    there = {(host.name, host.address) for host in other.members}
    if declared != there:
        wrong = f"{site.service} is in this catalog, and its members are others"
        yield Problem(key, wrong, ", ".join(f"{name} {address}" for name, address in sorted(there)))


def derive_standby(view: View, out: Derived) -> None:
    """Set what a source, or a follower, configures; nothing for a service that is neither."""
    entry = view.entry
    if entry.standby_sites:
        _source(view, out)
    if entry.standby_of:
        _follower(view, entry.standby_of, out)


def _source(view: View, out: Derived) -> None:
    entry = view.entry
    found = [site.to_dict() for site in entry.standby_sites]
    because = "members of these clusters may stream from here, each by its certificate and from its address"
    out.put("", "standby_sites", found, because)
    slots = {site.slot: {"type": "physical"} for site in entry.standby_sites}
    because = "a slot that survives failovers keeps the WAL a site has not fetched, up to max_slot_wal_keep_size"
    out.put("patroni", "slots", slots, because)
    names = ", ".join(site.service for site in entry.standby_sites)
    out.advisories.append(
        f"rpo_seconds {entry.budget.rpo_seconds} is kept within this site. {names} follows asynchronously: the loss of "
        "the whole site costs what had not arrived there, which holdfast status shows on the other site."
    )


def _follower(view: View, site: Site, out: Derived) -> None:
    entry = view.entry
    because = f"a standby cluster of {site.service}: read-only until it is promoted by hand"
    out.put("", "standby_of", {**site.to_dict(), "port": site.port}, because)
    section = {
        "host": ",".join(member.address for member in site.members),
        "port": site.port,
        "primary_slot_name": entry.service.replace("-", "_"),
        "create_replica_methods": ["basebackup"],
    }
    because = "all members of the source, so that a failover there needs no change here; its slot keeps the WAL"
    out.put("patroni", "standby_cluster", section, because)
    out.advisories += [
        f"{entry.service} follows {site.service} asynchronously and is never promoted automatically: the loss of that "
        "site costs what had not arrived, and lasts until somebody promotes. rpo_seconds and rto_seconds are this "
        "service's own from then on.",
        "Databases, roles and poolers' logins are the source's until the promotion; what is declared here is "
        "converged by the first run after it.",
    ]
