# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.holdfast.stateful.plugins.module_utils.redis_topology import (
    TopologyError,
    decide_master,
    problems,
    replica_of,
)

NAMES = ("a", "b", "c")
ADDRESS = {name: f"10.0.0.{at}" for at, name in enumerate(NAMES, 1)}
DOWN: dict[str, Any] = {"state": "down", "why": "nothing listens there"}
BLIND: dict[str, Any] = {"state": "unobservable", "why": "timed out"}
NOTHING = {"configured": False, "sentinel_configured": False, "has_data": False}
CONFIGURED = {**NOTHING, "configured": True}
DATA = {**NOTHING, "has_data": True}


def master(**changes: Any) -> dict[str, Any]:
    up = {
        "state": "up",
        "role": "master",
        "master_address": "",
        "link_up": True,
        "loading": False,
        "syncing": False,
        "priority": 100,
        "offset": 10,
        "seconds_since_master": 0,
        "replicas": [],
        "empty": True,
        "save_failed": False,
    }
    return {**up, **changes}


def replica(of: str, **changes: Any) -> dict[str, Any]:
    return master(role="replica", master_address=ADDRESS[of], **changes)


def sentinel(names: str, **changes: Any) -> dict[str, Any]:
    known = [{"address": "x1", "flags": ["ok"], "priority": 100}, {"address": "x2", "flags": ["ok"], "priority": 100}]
    up = {
        "state": "up",
        "master_address": ADDRESS[names],
        "flags": ["master"],
        "epoch": 1,
        "quorum": 2,
        "quorum_error": "",
        "tilt": False,
        "others": known,
        "replicas": known,
    }
    return {**up, **changes}


def service(redis: list[dict[str, Any]], sentinels: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    return {
        name: {"address": ADDRESS[name], "redis": one, "sentinel": two}
        for name, one, two in zip(NAMES, redis, sentinels or [DOWN] * 3, strict=True)
    }


def files(*each: dict[str, bool]) -> dict[str, dict[str, bool]]:
    return dict(zip(NAMES, each, strict=False))


@pytest.mark.parametrize(
    ("redis", "sentinels", "disks", "chosen"),
    [
        pytest.param([DOWN] * 3, None, [NOTHING] * 3, "a", id="nothing exists: the first member"),
        pytest.param(
            [DOWN, master(), replica("b")], None, [NOTHING, CONFIGURED, CONFIGURED], "b", id="a live master is joined"
        ),
        pytest.param([DOWN, master(), DOWN], [sentinel("b")] * 3, [NOTHING], "b", id="joined from a play of one host"),
        pytest.param(
            [DOWN, replica("a", link_up=False), replica("a", link_up=False)],
            None,
            [NOTHING, CONFIGURED, CONFIGURED],
            "a",
            id="killed before the first master got its file",
        ),
        pytest.param(
            [master(), DOWN, DOWN], None, [CONFIGURED, NOTHING, NOTHING], "a", id="killed after the first master"
        ),
    ],
)
def test_whom_to_join(redis: list[Any], sentinels: list[Any] | None, disks: list[Any], chosen: str) -> None:
    assert decide_master(service(redis, sentinels), files(*disks)) == chosen


@pytest.mark.parametrize(
    ("redis", "sentinels", "disks", "says"),
    [
        pytest.param([DOWN, BLIND, DOWN], None, [NOTHING] * 3, "could not ask: b", id="a member that can't be asked"),
        pytest.param(
            [master(), DOWN, DOWN], [DOWN, DOWN, BLIND], [CONFIGURED], "could not ask: c", id="a blind Sentinel"
        ),
        pytest.param(
            [master(), master(), DOWN], None, [NOTHING] * 3, "expected one master, found a, b", id="two masters"
        ),
        pytest.param(
            [master(), DOWN, DOWN], [sentinel("b")] * 3, [NOTHING] * 3, "name a", id="an old master came back"
        ),
        pytest.param(
            [master(), DOWN, DOWN], [sentinel("a"), sentinel("b"), DOWN], [NOTHING] * 3, "one master", id="they differ"
        ),
        pytest.param([DOWN] * 3, None, [NOTHING, CONFIGURED, NOTHING], "configuration on b", id="configured but down"),
        pytest.param([DOWN] * 3, None, [NOTHING, NOTHING, DATA], "data on c", id="data without a configuration"),
        pytest.param([DOWN] * 3, None, [NOTHING], "b, c is not in this play", id="the others' disks are unknown"),
        pytest.param(
            [DOWN, replica("c", link_up=False), replica("c", link_up=False)],
            None,
            [NOTHING, CONFIGURED, CONFIGURED],
            None,
            id="replicas of a fresh member",
        ),
        pytest.param(
            [DOWN, replica("a", empty=False), replica("a", empty=False)],
            None,
            [NOTHING, {**CONFIGURED, "has_data": True}, {**CONFIGURED, "has_data": True}],
            "data on b, c",
            id="the master's host was rebuilt: its replicas hold the data",
        ),
    ],
)
def test_everything_else_stops(
    redis: list[Any], sentinels: list[Any] | None, disks: list[Any], says: str | None
) -> None:
    if says is None:
        with pytest.raises(TopologyError):
            decide_master(service(redis, sentinels), files(*disks))
    else:
        with pytest.raises(TopologyError, match=says):
            decide_master(service(redis, sentinels), files(*disks))


def test_a_sentinel_needs_a_live_master() -> None:
    with pytest.raises(TopologyError, match="live master"):
        decide_master(service([DOWN] * 3), files(NOTHING, NOTHING, NOTHING), live_only=True)


def healthy() -> dict[str, Any]:
    attached = [{"address": ADDRESS[name], "state": "online", "lag": 0} for name in ("b", "c")]
    return service([master(replicas=attached), replica("a"), replica("a")], [sentinel("a")] * 3)


def test_a_healthy_service_has_no_problem() -> None:
    assert problems(healthy(), 10, with_sentinel=True) == []


@pytest.mark.parametrize(
    ("where", "change", "says"),
    [
        (("b", "redis"), {"link_up": False}, "expected the link"),
        (("b", "redis"), {"loading": True}, "loading"),
        (("b", "redis"), {"syncing": True}, "syncing"),
        (("b", "redis"), {"master_address": ADDRESS["c"]}, "follows 10.0.0.3"),
        (("b", "redis"), {"role": "master"}, "expected one master, found 2"),
        (("b", "redis"), {"save_failed": True}, "last save"),
        (("b", "redis"), {"seconds_since_master": 99}, "99 s of silence"),
        (("a", "redis"), {"replicas": []}, "online replica"),
        (("a", "redis"), DOWN, "expected one master, found 0"),
        (("c", "sentinel"), BLIND, "timed out"),
        (("c", "sentinel"), {"master_address": ADDRESS["b"]}, "found 10.0.0.2"),
        (("c", "sentinel"), {"flags": ["master", "o_down"]}, "o_down"),
        (("c", "sentinel"), {"quorum_error": "NOQUORUM"}, "NOQUORUM"),
        (("c", "sentinel"), {"tilt": True}, "TILT"),
        (("c", "sentinel"), {"others": []}, "2 other Sentinels, found 0"),
        (
            ("c", "sentinel"),
            {"replicas": [{"address": "x", "flags": ["s_down"], "priority": 1}] * 2},
            "0 of them alive",
        ),
    ],
)
def test_each_problem_is_named(where: tuple[str, str], change: dict[str, Any], says: str) -> None:
    seen = healthy()
    member, part = where
    seen[member] = {**seen[member], part: change if "why" in change else {**seen[member][part], **change}}
    assert any(says in problem for problem in problems(seen, 10, with_sentinel=True))


def test_a_lagging_replica_is_named() -> None:
    seen = healthy()
    seen["a"]["redis"]["replicas"][0]["lag"] = 11
    assert "found 11 s" in problems(seen, 10, with_sentinel=True)[0]


def test_replica_line() -> None:
    line = "ip=10.0.0.2,port=6379,state=online,offset=42,lag=1"
    assert replica_of(line) == {"address": "10.0.0.2", "state": "online", "lag": 1}
