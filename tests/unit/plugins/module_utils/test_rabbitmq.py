# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Health, quorum, hops and gates of RabbitMQ, as tables."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.holdfast.stateful.plugins.module_utils.rabbitmq import (
    Cluster,
    Node,
    Queue,
    blockers,
    critical_queues,
    hop_problem,
    node_name,
    observe,
    parse_node,
    parse_own_word,
    parse_queue,
    series,
    stop_blockers,
)
from ansible_collections.holdfast.stateful.plugins.module_utils.rabbitmq_api import UnreachableError

A, B, C = "rabbit@a", "rabbit@b", "rabbit@c"
NAMES = ["a", "b", "c"]


def queue(leader: str = A, online: tuple[str, ...] = (A, B, C), members: tuple[str, ...] = (A, B, C)) -> Queue:
    return Queue("v", "q", leader, members, online)


def cluster(nodes: dict[str, dict[str, Any]] | None = None, queues: tuple[Queue, ...] = (), **more: Any) -> Cluster:
    tables = {name: {"running": True, **(nodes or {}).get(name, {})} for name in (A, B, C)}
    drop = {name for name, table in tables.items() if table.pop("absent", False)}
    made = tuple(Node(name, **table) for name, table in tables.items() if name not in drop)
    versions = more.pop("versions", dict.fromkeys((A, B, C), "4.0.5"))
    return Cluster(A, "events", "4.0.5", "27", made, queues, versions, **more)


def test_a_healthy_cluster_has_no_blocker() -> None:
    assert blockers(cluster(queues=(queue(),)), NAMES, cluster_name="events") == []


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        (cluster({B: {"running": False}}), "b: expected it to run"),
        (cluster({B: {"absent": True}}), "b: expected a member of a's cluster"),
        (cluster({B: {"alarms": ("disk",)}}), "b: expected no alarm, found the disk alarm"),
        (cluster({B: {"partitions": (C,)}}), "b: expected no partition, found it cut off from c"),
        (cluster({B: {"draining": True}}), "b: expected it in service, found maintenance mode"),
        (cluster(versions={A: "4.0.5", B: "4.0.9", C: "4.0.5"}), "versions: expected one"),
        (cluster(versions={A: "4.0.5", C: "4.0.5"}), "b: expected it to serve, found it still booting"),
        (cluster(queues=(queue(leader=""),)), "queue v/q: expected an elected leader, found none"),
        (cluster({B: {"running": False}}, (queue(leader=B),)), "queue v/q: expected an elected leader, found rabbit@b"),
        (cluster(queues=(queue(online=(A, B)),)), "queue v/q: expected all members online, found no c"),
    ],
)
def test_whatever_is_wrong_is_said(seen: Cluster, said: str) -> None:
    assert any(text.startswith(said) for text in blockers(seen, NAMES))


def test_a_foreign_member_and_a_foreign_name_are_blockers() -> None:
    found = blockers(cluster(), ["a", "b"], cluster_name="other")
    assert [text.split(":")[0] for text in found] == ["a", "c"]


def test_rolling_work_allows_what_it_causes() -> None:
    seen = cluster({B: {"draining": True}}, versions={A: "4.0.5", B: "4.1.0", C: "4.0.5"})
    assert blockers(seen, NAMES, in_maintenance=["b"], mixed_versions=True) == []


def test_many_bad_queues_do_not_flood_the_message() -> None:
    assert len(blockers(cluster(queues=(queue(leader=""),) * 50), NAMES)) == 21


@pytest.mark.parametrize(
    ("online", "critical"),
    [((A, B, C), False), ((A, B), True), ((A, C), True), ((B, C), False)],
)
def test_a_node_is_critical_when_its_queues_have_no_majority_without_it(
    online: tuple[str, ...], critical: bool
) -> None:
    seen = cluster(queues=(queue(online=online),))
    assert bool(critical_queues(seen, A)) is critical
    assert bool(stop_blockers(seen, A)) is critical


def test_a_node_without_a_replica_is_not_critical_for_the_queue() -> None:
    assert critical_queues(cluster(queues=(queue(B, (B,), (B,)),)), A) == []


@pytest.mark.parametrize("state", [{"running": False}, {"draining": True}])
def test_the_second_member_never_stops(state: dict[str, Any]) -> None:
    assert "keeps its majority" in stop_blockers(cluster({B: state}), A)[0]


@pytest.mark.parametrize(
    ("old", "new", "allowed"),
    [
        ("4.0.5-6+deb13u2", "4.0.5-6+deb13u3", True),
        ("4.0.5-6", "4.0.9-1", True),
        ("4.0.9-1", "4.0.5-6", False),
        ("4.0.5", "4.2.1", True),
        ("4.0.5", "4.3.0", False),
        ("4.2.1", "4.3.0", True),
        ("3.13.7", "4.0.5", True),
        ("3.12.1", "4.0.5", False),
        ("3.11.17", "3.12.0", False),
        ("3.11.18", "3.12.0", True),
        ("3.11.18", "3.13.0", False),
        ("4.1.0", "4.0.5", False),
        ("3.10.8-1.1+deb12u1", "4.0.5-6+deb13u2", False),
    ],
)
def test_hops(old: str, new: str, allowed: bool) -> None:
    assert (hop_problem(old, new) == "") is allowed


def test_names_and_series() -> None:
    assert node_name("a.example.com") == "rabbit@a"
    assert series("1:4.0.5-6+deb13u2") == "4.0"


def test_nodes_and_queues_are_read_without_guessing() -> None:
    assert parse_node({"name": A}) == Node(A, running=False)
    assert parse_node({"name": A, "running": True, "being_drained": True, "mem_alarm": True}).alarms == ("memory",)
    assert parse_queue({"type": "classic", "name": "q", "vhost": "v"}) is None
    assert parse_queue({"type": "quorum", "name": "q", "vhost": "v"}) == Queue("v", "q", "", (), ())


class FakeApi:
    """Answers like the management API."""

    address, user = "192.0.2.1", "monitor"

    def __init__(self, total: int) -> None:
        self.total = total

    def get(self, path: str) -> Any:
        if path.startswith("/nodes"):
            return [{"name": A, "running": True, "applications": [{"name": "rabbit", "version": "4.0.5"}]}]
        if path.startswith("/queues"):
            return {"page_count": 1, "items": [{"type": "quorum", "vhost": "v", "name": "q", "leader": A}]}
        if "object_totals" in path:
            return {"object_totals": {"queues": self.total}}
        return {"node": A, "cluster_name": "events", "rabbitmq_version": "4.0.5"}


def test_observe() -> None:
    seen = observe(FakeApi(1))  # type: ignore[arg-type]
    assert seen.to_dict()["members"][0]["queue_leaders"] == 1
    assert seen.running == {A}


def test_hidden_queues_are_not_taken_for_healthy_ones() -> None:
    with pytest.raises(UnreachableError, match="expected to see all 2 queues"):
        observe(FakeApi(2))  # type: ignore[arg-type]


def listener(protocol: str, node: str = A) -> dict[str, str]:
    return {"node": node, "protocol": protocol}


@pytest.mark.parametrize(
    ("listeners", "alarms", "version"),
    [
        ([listener("amqp/ssl"), listener("clustering")], {"status": "ok"}, "4.0.5"),
        ([listener("clustering"), listener("https")], {"status": "ok"}, ""),
        ([listener("amqp/ssl", B)], {"status": "ok"}, ""),
        ([listener("amqp/ssl")], {"status": "failed", "reason": "resource alarm(s) in effect"}, ""),
        ([listener("amqp/ssl")], {}, ""),
        ([], {"status": "ok"}, ""),
    ],
)
def test_a_node_without_statistics_serves_when_it_says_so_itself(
    listeners: list[dict[str, str]], alarms: dict[str, str], version: str
) -> None:
    overview = {"node": A, "rabbitmq_version": "4.0.5", "listeners": listeners}
    assert parse_own_word(overview, alarms) == version


def test_only_a_running_node_can_be_silent() -> None:
    assert cluster({C: {"running": False}}, versions={A: "4.0.5"}).silent == [B]
