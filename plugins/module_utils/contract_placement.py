# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where services sit: the ports each opens on which host, and how the memory of a host is shared out."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from ansible_collections.holdfast.stateful.plugins.module_utils.contract_data import (
    ENGINE_FLOOR_MB,
    ETCD_FLOOR_MB,
    OS_FLOOR_MB,
    RABBITMQ_TOOL_PORTS,
    REDIS_BASE_MB,
    REDIS_MIN_MAXMEMORY_MB,
    SPARE_WEIGHT,
)
from ansible_collections.holdfast.stateful.plugins.module_utils.contract_types import Entry, Groups, Host, Placed, View


@dataclass(frozen=True)
class Endpoint:
    """A port a service listens on; ``key`` is where the catalog sets it, ``on_dcs`` says whose hosts open it."""

    name: str
    port: int
    source: str
    key: str
    on_dcs: bool = False

    def to_dict(self) -> dict[str, str | int]:
        """Return the endpoint as the contract carries it."""
        return {"name": self.name, "port": self.port, "source": self.source}


def endpoints(entry: Entry) -> tuple[Endpoint, ...]:
    """Return every port the service opens."""
    ports = entry.ports
    if entry.engine == "postgres":
        return (
            # Applications come through the poolers; PostgreSQL itself answers members only.
            Endpoint("postgres", entry.port, "members", "port"),
            Endpoint("pooler", ports["pooler"], "clients", "ports.pooler"),
            *(
                Endpoint(name.replace("_", "-"), ports[name], entry_source(entry), f"ports.{name}")
                for name in ("read_write", "read_only", "synchronous")
            ),
            Endpoint("restapi", ports["restapi"], "members", "ports.restapi"),
            Endpoint("etcd-client", entry.dcs_client_port, "members", "dcs.client_port", on_dcs=True),
            Endpoint("etcd-peer", entry.dcs_peer_port, "members", "dcs.peer_port", on_dcs=True),
        )
    if entry.engine == "redis":
        return (
            Endpoint("redis", entry.port, "clients", "port"),
            Endpoint("sentinel", ports["sentinel"], "clients", "ports.sentinel"),
        )
    return (
        Endpoint("amqps", entry.port, "clients", "port"),
        Endpoint("management", ports["management"], "members", "ports.management"),
        Endpoint("dist", ports["dist"], "members", "ports.dist"),
        Endpoint("epmd", ports["epmd"], "members", "ports.epmd"),
        # The other members answer a tool (list_queues, say) by connecting back to it.
        *(
            Endpoint(f"tools-{number}", ports["dist"] + number, "members", "ports.dist")
            for number in range(1, RABBITMQ_TOOL_PORTS + 1)
        ),
    )


def entry_source(entry: Entry) -> str:
    """Return who reaches HAProxy's ports: the host itself, or the clients where the catalog asks for it."""
    return "clients" if entry.session_access else "local"


def place(entry: Entry, groups: Groups) -> Placed:
    """Return the entry with its hosts; a group that does not exist has none."""
    dcs = groups.get(entry.dcs_group, ()) if entry.engine == "postgres" else ()
    return Placed(entry, tuple(groups.get(entry.members_group, ())), tuple(dcs))


def floor_mb(entry: Entry) -> int:
    """Return the memory a member needs before it serves anything.

    Redis: data times 1.5 plus 64 MB. A fork for a snapshot or an AOF rewrite copies the pages that are written in the
    meantime, and fragmentation of 1.0 to 1.5 is normal (redis.io, "Redis administration", memory). Sentinel, output
    buffers and the backlog share the 64 MB. The others: docs/adr/0011.
    """
    if entry.engine == "redis":
        return redis_mb(entry.maxmemory_mb or REDIS_MIN_MAXMEMORY_MB)
    return ENGINE_FLOOR_MB[entry.engine]


def redis_mb(maxmemory_mb: int) -> int:
    """Return the memory a Redis member needs for that much data."""
    return math.ceil(maxmemory_mb * 1.5) + REDIS_BASE_MB


def maxmemory_for(share_mb: int) -> int:
    """Return how much data fits into a share; the inverse of ``redis_mb``."""
    return max(REDIS_MIN_MAXMEMORY_MB, int((share_mb - REDIS_BASE_MB) / 1.5))


def claims_on(host: Host, everyone: Iterable[Placed]) -> dict[str, int]:
    """Return what has to fit on one host at least: by part, in MB."""
    claims = {"operating system": OS_FLOOR_MB}
    for placed in everyone:
        names = {member.name for member in placed.members}
        if host.name in names:
            claims[placed.entry.service] = floor_mb(placed.entry)
        if host.name in {member.name for member in placed.dcs}:
            claims[f"{placed.entry.service} (etcd)"] = ETCD_FLOOR_MB
    return claims


def share_mb(view: View) -> int:
    """Return the memory each member may use: its floor, plus its part of what is left on the poorest member.

    A quarter of what is left stays free, for the page cache, agents and a restore drill. All members get the same
    share, because members change roles. Memory counts in steps of 64 MB: kernels report a few MB more or less, and a
    changed share restarts servers. Hosts whose memory is unknown count as holding the floors and nothing more,
    which is safe on every host that passes the memory rule.
    """
    entry = view.entry
    floor = floor_mb(entry)
    if entry.engine == "redis" and entry.maxmemory_mb is not None:
        return floor
    spare: list[int] = []
    for host in view.members:
        here = [placed for placed in view.everyone if host.name in {member.name for member in placed.members}]
        growing = [p.entry for p in here if not (p.entry.engine == "redis" and p.entry.maxmemory_mb is not None)]
        left = (host.memory_mb or 0) // 64 * 64 - sum(claims_on(host, view.everyone).values())
        weight = sum(SPARE_WEIGHT[other.engine] for other in growing)
        spare.append(left * 3 * SPARE_WEIGHT[entry.engine] // (4 * weight) if left > 0 and weight else 0)
    return floor + (min(spare) if spare else 0)
