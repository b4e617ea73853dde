# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.holdfast.stateful.plugins.module_utils import redis_switchover
from ansible_collections.holdfast.stateful.plugins.module_utils.redis_client import RedisReplyError, RedisUnobservable
from ansible_collections.holdfast.stateful.plugins.module_utils.redis_switchover import (
    GateError,
    Plan,
    SwitchoverError,
    Trace,
    choose,
    hand_over,
)


def one(**changes: Any) -> dict[str, Any]:
    return {"redis": {"link_up": True, "priority": 100, "offset": 5, **changes}}


@pytest.mark.parametrize(
    ("seen", "candidate", "chosen"),
    [
        ({"a": one(), "b": one(offset=4), "c": one(offset=5)}, None, "c"),
        ({"a": one(), "b": one(priority=50, offset=4), "c": one()}, None, "b"),
        ({"a": one(), "b": one(), "c": one()}, None, "b"),
        ({"a": one(), "b": one(priority=0), "c": one(offset=1)}, None, "c"),
        ({"a": one(), "b": one(), "c": one(offset=1)}, "c", "c"),
    ],
)
def test_choose(seen: dict[str, Any], candidate: str | None, chosen: str) -> None:
    assert choose(seen, "a", candidate) == chosen


@pytest.mark.parametrize(
    ("seen", "candidate"),
    [
        ({"a": one(), "b": one(priority=0)}, None),
        ({"a": one(), "b": one(link_up=False)}, None),
        ({"a": one(), "b": one(link_up=False)}, "b"),
        ({"a": one(), "b": one()}, "a"),
        ({"a": one(), "b": one()}, "nobody"),
    ],
)
def test_nobody_fit_is_refused(seen: dict[str, Any], candidate: str | None) -> None:
    with pytest.raises(GateError):
        choose(seen, "a", candidate)


class Service:
    """An old master, a candidate and a Sentinel that follow a script, and remember what they were told."""

    def __init__(self, offset: int = 10, promotes: bool = True, failing: dict[str, Exception] | None = None) -> None:
        self.offset, self.promotes, self.failing = offset, promotes, failing or {}
        self.ordered, self.log = False, []

    def connect(self, host: str, port: int) -> Any:
        return Server(self, host, port)


class Server:
    """A connection to one of them."""

    def __init__(self, service: Service, host: str, port: int) -> None:
        self.service, self.host, self.where = service, host, f"{host}:{port}"

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_unused: object) -> None:
        return None

    def call(self, *words: Any) -> Any:
        text = f"{self.host} {' '.join(str(word) for word in words[:2])}"
        if words[0] not in {"ROLE"} and words[1] not in {"GET-MASTER-ADDR-BY-NAME"}:
            self.service.log.append(text)
        if text in self.service.failing:
            raise self.service.failing[text]
        if words[:2] == ("SENTINEL", "FAILOVER"):
            self.service.ordered = True
        promoted = self.service.ordered and self.service.promotes
        if words[0] == "ROLE":
            return ["master" if promoted else "slave"]
        return ["n" if promoted else "o", "1"]

    def transaction(self, *commands: Any) -> None:
        for command in commands:
            self.call(*command)

    def info(self, *_sections: str) -> dict[str, str]:
        return {
            "master_repl_offset": "10",
            "slave_repl_offset": str(self.service.offset),
            "min_slaves_good_slaves": "1",
        }

    def config_get(self, _names: Any) -> dict[str, str]:
        return {"min-replicas-to-write": "1"}


PLAN = Plan("old", "new", {"old": "o", "new": "n"}, 1, 2, "s")
PARAMS = {"pause_seconds": redis_switchover.RESERVE_SECONDS + 0.2, "offset_seconds": 0.02}
DEMOTED = ["o REPLICAOF n", "o CONFIG REWRITE", "o CLIENT KILL", "o CLIENT UNPAUSE"]


def run(service: Service) -> list[str]:
    hand_over(service.connect, PLAN, Trace(), PARAMS)
    return service.log


def test_the_order_of_a_handover() -> None:
    assert run(Service()) == ["o CLIENT PAUSE", "n SENTINEL FAILOVER", *DEMOTED]


def test_a_candidate_that_lags_is_never_promoted_and_writes_go_on() -> None:
    service = Service(offset=9)
    with pytest.raises(SwitchoverError, match="expected offset 10"):
        run(service)
    assert service.log == ["o CLIENT PAUSE", "o CLIENT UNPAUSE"]


def test_a_candidate_that_is_not_promoted_leaves_the_old_master_writing() -> None:
    service = Service(promotes=False)
    with pytest.raises(SwitchoverError, match="promoted"):
        run(service)
    assert service.log[-1] == "o CLIENT UNPAUSE"
    assert "o REPLICAOF n" not in service.log


def test_an_old_master_is_demoted_before_it_is_unpaused_also_when_a_sentinel_is_late() -> None:
    service = Service(failing={"o SENTINEL GET-MASTER-ADDR-BY-NAME": RedisUnobservable("o:2")})
    with pytest.raises(SwitchoverError, match="every Sentinel"):
        run(service)
    assert service.log[-4:] == DEMOTED


@pytest.mark.parametrize(
    "error",
    [
        RedisReplyError("n:2", "SENTINEL FAILOVER", "NOGOODSLAVE No suitable replica"),
        RedisReplyError("n:2", "SENTINEL FAILOVER", "INPROG Failover already in progress"),
        RedisUnobservable("n:2"),
    ],
)
def test_whatever_sentinel_says_writes_are_unpaused(error: Exception) -> None:
    service = Service(failing={"n SENTINEL FAILOVER": error})
    with pytest.raises(type(error)):
        run(service)
    assert service.log[-1] == "o CLIENT UNPAUSE"


def test_where_the_candidate_cannot_be_asked_the_pause_ends_by_itself() -> None:
    service = Service(failing={"n SENTINEL FAILOVER": RedisUnobservable("n:2"), "n ROLE": RedisUnobservable("n:1")})
    with pytest.raises(RedisUnobservable):
        run(service)
    assert service.log[-1] == "n SENTINEL FAILOVER"
