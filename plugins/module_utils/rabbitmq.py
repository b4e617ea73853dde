# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a RabbitMQ cluster is and whether it is well: pure logic on what the management API says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.holdfast.stateful.plugins.module_utils.rabbitmq_api import Api, UnreachableError

NODE_COLUMNS = "name,running,mem_alarm,disk_free_alarm,partitions,being_drained,uptime,fd_total"
QUEUE_QUERY = "page_size=500&disable_stats=true&enable_queue_totals=false"

# Which series a member may come from, by the series it goes to (rabbitmq.com/docs/upgrade, 2026-08). Nothing else is a
# hop: downgrades are unsupported, and within a series every step forward is allowed.
HOPS: dict[str, tuple[str, ...]] = {
    "3.11": ("3.10",),
    "3.12": ("3.11",),
    "3.13": ("3.12",),
    "4.0": ("3.13",),
    "4.1": ("3.13", "4.0"),
    "4.2": ("3.13", "4.0", "4.1"),
    "4.3": ("4.2",),
}
# The first release of a series that may go on to the next one.
HOP_FLOOR: dict[tuple[str, str], str] = {("3.11", "3.12"): "3.11.18"}


def node_name(member: str) -> str:
    """Return the Erlang node of a member."""
    return f"rabbit@{member.split('.')[0]}"


def member_name(node: str) -> str:
    """Return the member of an Erlang node."""
    return node.partition("@")[2] or node


@dataclass(frozen=True)
class Node:
    """One node as its cluster sees it."""

    name: str
    running: bool
    alarms: tuple[str, ...] = ()
    partitions: tuple[str, ...] = ()
    draining: bool = False

    @property
    def state(self) -> str:
        """Return the state in one word."""
        if not self.running:
            return "unknown"
        return "maintenance" if self.draining else "running"


@dataclass(frozen=True)
class Queue:
    """One replicated queue."""

    vhost: str
    name: str
    leader: str
    members: tuple[str, ...]
    online: tuple[str, ...]

    @property
    def quorum(self) -> int:
        """Return how many members must be online."""
        return len(self.members) // 2 + 1

    def text(self) -> str:
        """Name the queue for a message."""
        return f"{self.vhost}/{self.name}"


@dataclass(frozen=True)
class Cluster:
    """One cluster as one of its nodes sees it."""

    seen_by: str
    name: str
    version: str
    erlang: str
    nodes: tuple[Node, ...]
    queues: tuple[Queue, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def running(self) -> frozenset[str]:
        """Return the nodes that run."""
        return frozenset(node.name for node in self.nodes if node.running)

    @property
    def silent(self) -> list[str]:
        """Return the nodes that run and that no statistics came from: they are booting, or were a moment ago."""
        return [node.name for node in self.nodes if node.running and not self.versions.get(node.name)]

    def node(self, name: str) -> Node | None:
        """Return one node."""
        return next((node for node in self.nodes if node.name == name), None)

    def leaders(self) -> Counter[str]:
        """Count queue leaders by node."""
        return Counter(queue.leader for queue in self.queues if queue.leader)

    def to_dict(self) -> dict[str, Any]:
        """Return the plain dictionary that a result carries."""
        leaders = self.leaders()
        return {
            "seen_by": member_name(self.seen_by),
            "cluster_name": self.name,
            "version": self.version,
            "erlang": self.erlang,
            "members": [
                {
                    "name": member_name(node.name),
                    "state": node.state,
                    "version": self.versions.get(node.name),
                    "alarms": list(node.alarms),
                    "partitions": [member_name(name) for name in node.partitions],
                    "queue_leaders": leaders[node.name],
                }
                for node in self.nodes
            ],
            "queues": len(self.queues),
        }


def parse_node(raw: Mapping[str, Any]) -> Node:
    """Read one entry of /api/nodes; what a stopped node no longer reports counts as nothing."""
    alarms = [name for name, key in (("memory", "mem_alarm"), ("disk", "disk_free_alarm")) if raw.get(key) is True]
    return Node(
        name=str(raw["name"]),
        running=raw.get("running") is True,
        alarms=tuple(alarms),
        partitions=tuple(raw.get("partitions") or ()),
        draining=raw.get("being_drained") is True,
    )


def parse_own_word(overview: Mapping[str, Any], alarms: Mapping[str, Any]) -> str:
    """Return the version that a node reports of itself, empty while it does not serve or has an alarm.

    A node's peers learn its version and its alarms with its first statistics, seconds after it has begun to serve.
    """
    node = overview.get("node")
    serves = any(
        listener.get("node") == node and str(listener.get("protocol", "")).startswith("amqp")
        for listener in overview.get("listeners") or ()
    )
    return str(overview.get("rabbitmq_version") or "") if serves and alarms.get("status") == "ok" else ""


def parse_queue(raw: Mapping[str, Any]) -> Queue | None:
    """Read one entry of /api/queues; None for a queue that is not replicated."""
    if raw.get("type") not in {"quorum", "stream"}:
        return None
    return Queue(
        vhost=str(raw["vhost"]),
        name=str(raw["name"]),
        leader=str(raw.get("leader") or ""),
        members=tuple(raw.get("members") or ()),
        online=tuple(raw.get("online") or ()),
    )


def observe(api: Api) -> Cluster:
    """Ask one member about its cluster; everything is read, or it is an error."""
    overview = api.get("/overview?columns=node,cluster_name,rabbitmq_version,erlang_version")
    raw_nodes = api.get(f"/nodes?columns={NODE_COLUMNS},applications")
    queues = observe_queues(api)
    return Cluster(
        seen_by=str(overview["node"]),
        name=str(overview["cluster_name"]),
        version=str(overview["rabbitmq_version"]),
        erlang=str(overview.get("erlang_version", "")),
        nodes=tuple(sorted(map(parse_node, raw_nodes), key=lambda node: node.name)),
        queues=tuple(queues),
        versions={str(raw["name"]): version for raw in raw_nodes if (version := rabbit_version(raw))},
    )


def observe_own_word(api: Api) -> tuple[str, str]:
    """Ask a member about itself alone; return its node and its version, the latter empty while it does not serve."""
    overview = api.get("/overview?columns=node,rabbitmq_version,listeners")
    _status, alarms = api.request("GET", "/health/checks/local-alarms")
    return str(overview.get("node")), parse_own_word(overview, alarms if isinstance(alarms, dict) else {})


def observe_queues(api: Api) -> list[Queue]:
    """Return all replicated queues, or fail when the API hides some: it does so without a right in their vhost."""
    for _attempt in range(3):
        raws: list[Mapping[str, Any]] = []
        page = pages = 1
        while page <= pages:
            answer = api.get(f"/queues?{QUEUE_QUERY}&page={page}")
            raws += answer["items"]
            page, pages = page + 1, int(answer.get("page_count") or 1)
        total = int(api.get("/overview?columns=object_totals.queues")["object_totals"]["queues"])
        # Queues come and go between two requests, so one mismatch proves nothing.
        if len(raws) >= total:
            return [queue for queue in map(parse_queue, raws) if queue is not None]
    raise UnreachableError(
        f"{api.address}: expected to see all {total} queues as user {api.user}, found {len(raws)}: a queue that nobody"
        " observes counts as unwell; run the role rabbitmq, it gives that user a right in every vhost"
    )


def rabbit_version(raw: Mapping[str, Any]) -> str:
    """Return the version of the broker on one node, empty where it does not run."""
    for application in raw.get("applications") or ():
        if application.get("name") == "rabbit":
            return str(application.get("version", ""))
    return ""


def blockers(
    cluster: Cluster,
    expected: Sequence[str],
    *,
    cluster_name: str = "",
    in_maintenance: Iterable[str] = (),
    mixed_versions: bool = False,
) -> list[str]:
    """Return every reason why the cluster is not what it should be; members are given by their names."""
    here, found = member_name(cluster.seen_by), []
    allowed = {node_name(name) for name in in_maintenance}
    wanted = {node_name(name) for name in expected}
    if cluster_name and cluster.name != cluster_name:
        found.append(f"{here}: expected cluster name {cluster_name}, found {cluster.name}: two clusters were mixed up")
    for name in sorted(wanted):
        node = cluster.node(name)
        if node is None:
            found.append(f"{member_name(name)}: expected a member of {here}'s cluster, found that it never joined")
        elif not node.running:
            found.append(f"{member_name(name)}: expected it to run, found it down as {here} sees it")
        elif not cluster.versions.get(name):
            found.append(f"{member_name(name)}: expected it to serve, found it still booting as {here} sees it")
        else:
            found += node_blockers(node, here, maintenance_allowed=name in allowed)
    found += [
        f"{member_name(node.name)}: expected members {', '.join(sorted(expected))} only, found this one too: forget it"
        for node in cluster.nodes
        if node.name not in wanted
    ]
    versions = {version for name, version in cluster.versions.items() if name in wanted}
    if len(versions) > 1 and not mixed_versions:
        listed = ", ".join(f"{member_name(name)} {version}" for name, version in sorted(cluster.versions.items()))
        found.append(f"versions: expected one on all members, found {listed}: complete the upgrade")
    return found + queue_blockers(cluster)


def node_blockers(node: Node, here: str, *, maintenance_allowed: bool) -> list[str]:
    """Return the reasons why one running node is not well."""
    name = member_name(node.name)
    found = [f"{name}: expected no alarm, found the {alarm} alarm: publishers are blocked" for alarm in node.alarms]
    if node.partitions:
        peers = ", ".join(member_name(peer) for peer in node.partitions)
        found.append(f"{name}: expected no partition, found it cut off from {peers} as {here} sees it")
    if node.draining and not maintenance_allowed:
        found.append(f"{name}: expected it in service, found maintenance mode: run undrain")
    return found


def queue_blockers(cluster: Cluster) -> list[str]:
    """Return the replicated queues that have no leader or no full set of members."""
    found = []
    for queue in cluster.queues:
        if queue.leader not in cluster.running:
            found.append(f"queue {queue.text()}: expected an elected leader, found {queue.leader or 'none'}")
        missing = sorted(set(queue.members) - set(queue.online))
        if missing:
            found.append(
                f"queue {queue.text()}: expected all members online, found no {', '.join(map(member_name, missing))}"
            )
    return found if len(found) <= 20 else [*found[:20], f"and {len(found) - 20} more queues"]


def critical_queues(cluster: Cluster, node: str) -> list[str]:
    """Return the queues that lose their quorum when the node stops."""
    return [
        f"{queue.text()} ({len(queue.online)} of {len(queue.members)} members online)"
        for queue in cluster.queues
        if node in queue.members and len(set(queue.online) - {node}) < queue.quorum
    ]


def stop_blockers(cluster: Cluster, node: str) -> list[str]:
    """Return every reason why this node must not stop now."""
    found = [
        f"queue {text}: expected a quorum without {member_name(node)}, found none"
        for text in critical_queues(cluster, node)
    ]
    others = [peer.name for peer in cluster.nodes if peer.name != node and peer.running and not peer.draining]
    needed = len(cluster.nodes) // 2 + 1
    if len(others) < needed:
        listed = ", ".join(member_name(name) for name in others) or "none"
        found.append(
            f"members: expected {needed} others in service so that the cluster keeps its majority, found {listed}"
        )
    return found


def series(version: str) -> str:
    """Return the series of a version; Debian's epoch and revision are ignored."""
    return ".".join(upstream(version).split(".")[:2])


def upstream(version: str) -> str:
    """Return the upstream part of a Debian version."""
    bare = version.rpartition(":")[2]
    return bare.rpartition("-")[0] or bare


def numbers(version: str) -> tuple[int, ...]:
    """Return the numeric parts of an upstream version."""
    parts = []
    for part in upstream(version).split("."):
        digits = "".join(char for char in part if char.isdigit())
        parts.append(int(digits or 0))
    return tuple(parts)


def hop_problem(installed: str, candidate: str) -> str:
    """Return why a member must not go from one version to the other, empty when it may."""
    old, new = series(installed), series(candidate)
    if old == new:
        if numbers(candidate) < numbers(installed):
            return f"expected a version not older than {installed}, found {candidate}: downgrades are unsupported"
        return ""
    if old not in HOPS.get(new, ()):
        legal = sorted(target for target, sources in HOPS.items() if old in sources)
        return (
            f"expected a hop from {old} to {' or '.join(legal) or 'no other series'}, found one to {new}:"
            " RabbitMQ does not support it; go through the series in between"
        )
    floor = HOP_FLOOR.get((old, new))
    if floor and numbers(installed) < numbers(floor):
        return f"expected at least {floor} before the hop to {new}, found {installed}: go to {floor} first"
    return ""
