# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Cross-field rules that read the inventory and the other services: members, ports, memory, networks."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

from ansible_collections.holdfast.stateful.plugins.module_utils.contract_data import (
    DEFAULT_PORT,
    DEFAULT_PORTS,
    EPHEMERAL_PORTS,
    ETCD_CLIENT_PORT,
    ETCD_PEER_PORT,
    MEMBERS_MAX,
    MEMBERS_MIN,
    RESERVED_PORTS,
)
from ansible_collections.holdfast.stateful.plugins.module_utils.contract_placement import (
    Endpoint,
    claims_on,
    endpoints,
    maxmemory_for,
)
from ansible_collections.holdfast.stateful.plugins.module_utils.contract_registry import rule
from ansible_collections.holdfast.stateful.plugins.module_utils.contract_types import (
    Host,
    Placed,
    Problem,
    View,
    did_you_mean,
    show,
)
from ansible_collections.holdfast.stateful.plugins.module_utils.patroni_removal import slot_of

Found = Iterator[Problem]


def _groups(view: View) -> list[tuple[str, str, tuple[Host, ...]]]:
    """Return the groups the entry names: key, name, hosts."""
    found = [("members_group", view.entry.members_group, view.members)]
    if view.entry.engine == "postgres" and view.entry.dcs_group != view.entry.members_group:
        found.append(("dcs.members_group", view.entry.dcs_group, view.here.dcs))
    return found


@rule("group-missing", "a service without hosts would be reported as fine by every play that skips it")
def group_missing(view: View) -> Found:
    """A group the inventory does not have."""
    for key, name, _hosts in _groups(view):
        if name not in view.groups:
            known = [group for group in view.groups if group not in {"all", "ungrouped"}]
            yield Problem(key, f"the inventory has no group {show(name)}", did_you_mean(name, known))


@rule("group-empty", "a service without hosts would be reported as fine by every play that skips it")
def group_empty(view: View) -> Found:
    """A group without hosts."""
    for key, name, hosts in _groups(view):
        if name in view.groups and not hosts:
            yield Problem(key, f"group {show(name)} has no hosts", f"put {MEMBERS_MIN} hosts into it")


@rule("members-too-few", "a quorum of one or two members ends with the first host that fails")
def members_too_few(view: View) -> Found:
    """Fewer members than survive the loss of one."""
    for key, name, hosts in _groups(view):
        least = 2 if key == "members_group" and len(_groups(view)) == 2 else MEMBERS_MIN
        if 0 < len(hosts) < least:
            wrong = f"group {show(name)} has {len(hosts)} host(s); {view.entry.engine} needs {least}"
            yield Problem(key, wrong, f"{MEMBERS_MIN} hosts")


@rule("members-even", "an even member adds a host that can fail and no failure that can be survived")
def members_even(view: View) -> Found:
    """An even number of voters."""
    for key, name, hosts in _groups(view):
        votes = key != "members_group" or len(_groups(view)) == 1
        if votes and len(hosts) >= MEMBERS_MIN and len(hosts) % 2 == 0:
            wrong = f"group {show(name)} has {len(hosts)} hosts, an even number of voters"
            yield Problem(key, wrong, f"{len(hosts) - 1} or {len(hosts) + 1} hosts")


@rule("members-too-many", "every vote costs a round trip: above seven voters each write gets slower, not safer")
def members_too_many(view: View) -> Found:
    """More voters than any engine's documentation recommends."""
    for key, name, hosts in _groups(view):
        if len(hosts) > MEMBERS_MAX:
            yield Problem(key, f"group {show(name)} has {len(hosts)} hosts", f"{MEMBERS_MAX} hosts at most")


@rule("address-duplicate", "two names for one machine are one failure, and the second member never joins")
def address_duplicate(view: View) -> Found:
    """Two hosts of a group with one address."""
    for key, name, hosts in _groups(view):
        seen: dict[str, str] = {}
        for host in hosts:
            if host.address in seen:
                wrong = f"in group {show(name)}, {host.name} and {seen[host.address]} both have address {host.address}"
                yield Problem(key, wrong, "set host_baseline_address of each host to its own address")
            seen.setdefault(host.address, host.name)


@rule("address-loopback", "the other members would connect to themselves")
def address_loopback(view: View) -> Found:
    """A member the others cannot reach."""
    for key, _name, hosts in _groups(view):
        for host in hosts:
            if is_loopback(host.address):
                wrong = f"{host.name} has address {host.address}, which the other members cannot reach"
                yield Problem(
                    key, wrong, f"set host_baseline_address of {host.name} to its address on the private network"
                )


def is_loopback(address: str) -> bool:
    """Say whether an address is the host's own, or none."""
    return address == "localhost" or address.startswith("127.") or address in {"::1", "0.0.0.0"}  # noqa: S104


@rule(
    "address-not-ipv4",
    "access rows, certificates and listeners are made of it: a name matches nothing, and an IPv6 network far too much",
    engine="postgres",
)
def address_not_ipv4(view: View) -> Found:
    """A member whose address is a name, or an IPv6 address."""
    for key, _name, hosts in _groups(view):
        for host in hosts:
            try:
                ipaddress.IPv4Address(host.address)
            except ValueError:
                if not is_loopback(host.address):
                    wrong = f"{host.name} has address {show(host.address)}, which is no IPv4 address"
                    nearest = f"set host_baseline_address of {host.name} to its IPv4 address on the private network"
                    yield Problem(key, wrong, nearest)


@rule(
    "member-name-unsafe",
    "the name goes into certificates, access rows, URLs and the consensus store: keep it plain",
    engine="postgres",
)
def member_name_unsafe(view: View) -> Found:
    """A host whose name needs quoting somewhere, or is cut."""
    for key, _name, hosts in _groups(view):
        for host in hosts:
            if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}", host.name, re.ASCII):
                wrong = f"{show(host.name)} is no plain host name of at most 63 characters"
                yield Problem(key, wrong, "letters, digits, dots, dashes and underscores, for example db1")


@rule("member-slot-duplicate", "two replicas on one replication slot stop each other", engine="postgres")
def member_slot_duplicate(view: View) -> Found:
    """Two members whose names Patroni turns into one name of a slot."""
    seen: dict[str, str] = {}
    for host in view.members:
        other = seen.setdefault(slot_of(host.name), host.name)
        if other != host.name:
            wrong = f"{show(other)} and {show(host.name)} both get the replication slot {slot_of(host.name)}"
            yield Problem("members_group", wrong, "names that differ in more than case, dots, dashes and underscores")


@rule("members-shared", "two services of one group fight over the same directories, users and unit names")
def members_shared(view: View) -> Found:
    """Two services of one engine declared on one group."""
    for other in _same_engine(view):
        if other.entry.members_group == view.entry.members_group:
            wrong = f"{other.entry.service} is also {view.entry.engine} on group {show(view.entry.members_group)}"
            yield Problem("members_group", wrong, "a group of its own")


@rule("engine-twice-on-host", "one host carries one service of an engine: several instances are not supported yet")
def engine_twice_on_host(view: View) -> Found:
    """Two services of one engine that share a host."""
    for other in _same_engine(view):
        if other.entry.members_group == view.entry.members_group:
            continue
        shared = _shared(view.members, other.members)
        if shared:
            wrong = f"{', '.join(shared)} would also carry {other.entry.service}, which is {view.entry.engine} too"
            yield Problem("members_group", wrong, "hosts of its own for each service of an engine")


@rule("dcs-shared", "one etcd per service: an etcd shared by two services is not supported yet")
def dcs_shared(view: View) -> Found:
    """Two Patroni clusters on one etcd."""
    for other in _same_engine(view):
        shared = _shared(view.here.dcs, other.dcs)
        if shared and view.entry.engine == "postgres":
            wrong = f"etcd on {', '.join(shared)} also serves {other.entry.service}"
            yield Problem("dcs.members_group", wrong, "leave dcs.members_group out: etcd then runs on the members")


def _same_engine(view: View) -> list[Placed]:
    return [other for other in view.others if other.entry.engine == view.entry.engine]


def _shared(left: tuple[Host, ...], right: tuple[Host, ...]) -> list[str]:
    names = {host.name for host in right}
    return [host.name for host in left if host.name in names]


@rule("sentinel-name-duplicate", "a client that knows Sentinels of both services would get either master")
def sentinel_name_duplicate(view: View) -> Found:
    """One Sentinel name for two services."""
    for other in _same_engine(view):
        if view.entry.engine == "redis" and other.entry.sentinel_name == view.entry.sentinel_name:
            wrong = f"{other.entry.service} has the Sentinel name {show(view.entry.sentinel_name)} too"
            yield Problem("sentinel_name", wrong, f"leave it out: it is then {view.entry.service}")


def _ports(placed: Placed) -> list[tuple[Endpoint, set[str]]]:
    members, dcs = {host.name for host in placed.members}, {host.name for host in placed.dcs}
    return [(point, dcs if point.on_dcs else members) for point in endpoints(placed.entry)]


def _default_port(view: View, key: str) -> int:
    extra = {
        "dcs.client_port": ETCD_CLIENT_PORT,
        "dcs.peer_port": ETCD_PEER_PORT,
        "port": DEFAULT_PORT[view.entry.engine],
    }
    return extra.get(key) or DEFAULT_PORTS[view.entry.engine][key.removeprefix("ports.")]


@rule("port-duplicate", "the second listener of the service would not start")
def port_duplicate(view: View) -> Found:
    """One port for two listeners of a service."""
    seen: dict[int, Endpoint] = {}
    for point in endpoints(view.entry):
        other = seen.setdefault(point.port, point)
        if other is not point:
            # the one that was moved away from its default is the one to move back
            moved = point if point.port != _default_port(view, point.key) else other
            wrong = f"{other.name} and {point.name} both listen on {point.port}"
            yield Problem(moved.key, wrong, f"leave it out: {moved.name} then uses {_default_port(view, moved.key)}")


@rule("port-conflict", "whichever service starts second would not start, and the first restart decides which")
def port_conflict(view: View) -> Found:
    """One port of one host for two services."""
    for other in view.others:
        for mine, here in _ports(view.here):
            for theirs, there in _ports(other):
                shared = sorted(here & there)
                if mine.port == theirs.port and shared:
                    wrong = (
                        f"{mine.name} uses port {mine.port} on {', '.join(shared)}, "
                        f"and so does {theirs.name} of {other.entry.service}"
                    )
                    yield Problem(
                        mine.key, wrong, f"another port for one of them, or hosts of its own for {view.entry.service}"
                    )


@rule("port-privileged", "the engines do not run as root, so they cannot open a port below 1024")
def port_privileged(view: View) -> Found:
    """A port only root may open."""
    for point in endpoints(view.entry):
        if point.port < 1024:
            wrong = f"port {point.port} of {point.name} is below 1024"
            yield Problem(point.key, wrong, f"{_default_port(view, point.key)}, or any port from 1024 on")


@rule(
    "port-ephemeral",
    "the kernel may have given the port to an outgoing connection before the service starts",
    waivable=True,
)
def port_ephemeral(view: View) -> Found:
    """A port of the kernel's own range."""
    for point in endpoints(view.entry):
        if point.port in EPHEMERAL_PORTS:
            wrong = (
                f"port {point.port} of {point.name} is in the kernel's range for outgoing connections, 32768 to 60999"
            )
            yield Problem(point.key, wrong, f"{_default_port(view, point.key)}, or a port below 32768")


@rule("port-reserved", "something Holdfast installs on every host listens there already")
def port_reserved(view: View) -> Found:
    """A port that is taken on every host."""
    for point in endpoints(view.entry):
        if point.port in RESERVED_PORTS:
            wrong = f"port {point.port} of {point.name} belongs to {RESERVED_PORTS[point.port]}"
            yield Problem(point.key, wrong, f"leave it out: {point.name} then uses {_default_port(view, point.key)}")


@rule("memory-unknown", "without the memory of every member, settings might not fit and nobody would notice")
def memory_unknown(view: View) -> Found:
    """A member whose memory nobody knows, where it is asked for."""
    unknown = ", ".join(host.name for host in view.here.hosts if host.memory_mb is None)
    if view.require_facts and unknown:
        nearest = "gather their facts first, or set host_baseline_memory_mb in the inventory"
        yield Problem("members_group", f"the memory of {unknown} is not known", nearest)


@rule("memory-too-small", "the kernel would end a service when the host runs out, at the moment of most load")
def memory_too_small(view: View) -> Found:
    """A host that cannot hold all services it carries."""
    for host in view.here.hosts:
        claims = claims_on(host, view.everyone)
        needed = sum(claims.values())
        if host.memory_mb is not None and needed > host.memory_mb:
            parts = ", ".join(f"{name} {size} MB" for name, size in claims.items())
            key = "members_group"
            nearest = f"{needed} MB for {host.name}, or fewer services on it"
            if view.entry.maxmemory_mb is not None and host.name in {member.name for member in view.members}:
                claim = claims[view.entry.service]
                fits = maxmemory_for(claim - (needed - host.memory_mb))
                key = "maxmemory_mb" if fits < view.entry.maxmemory_mb else key
                nearest = f"maxmemory_mb of at most {fits} (or {nearest})" if key == "maxmemory_mb" else nearest
            wrong = f"{host.name} has {host.memory_mb} MB, and what it carries needs {needed} MB: {parts}"
            yield Problem(key, wrong, nearest)


@rule("client-network-invalid", "a firewall rule from it would open the wrong network, or none")
def client_network_invalid(view: View) -> Found:
    """A client network that is no network."""
    for at, text in enumerate(view.entry.clients):
        try:
            ipaddress.ip_network(text)
        except ValueError:
            try:
                nearest = str(ipaddress.ip_network(text, strict=False))
            except ValueError:
                nearest = "a network such as 10.20.0.0/16, or one address such as 10.20.0.7/32"
            yield Problem(f"clients[{at}]", f"{show(text)} is no network in CIDR notation", nearest)


@rule("clients-everyone", "a data service in production that answers the whole internet is found within hours")
def clients_everyone(view: View) -> Found:
    """A production service open to everybody."""
    for at, text in enumerate(view.entry.clients):
        try:
            network = ipaddress.ip_network(text)
        except ValueError:
            continue
        if view.entry.production and network.prefixlen == 0:
            yield Problem(
                f"clients[{at}]", f"{text} is everybody", "the networks of the applications, for example 10.20.0.0/16"
            )
