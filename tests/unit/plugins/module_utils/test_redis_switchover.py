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


class Server:
    """A connection that follows a script, and remembers what it was told."""

    def __init__(self, log: list[str], name: str, offset: int, failing: dict[str, Exception]) -> None:
        self.log, self.name, self.offset, self.failing, self.where = log, name, offset, failing, name

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_unused: object) -> None:
        return None

    def call(self, *words: Any) -> Any:
        text = " ".join(str(word) for word in words[:2])
        self.log.append(f"{self.name} {text}")
        if text in self.failing:
            raise self.failing[text]
        return ["master"]

    def info(self, *_sections: str) -> dict[str, str]:
        return {"master_repl_offset": "10", "slave_repl_offset": str(self.offset)}


PARAMS = {"pause_seconds": 2.0, "offset_seconds": 0.02}


def run(offset: int, failing: dict[str, Exception]) -> list[str]:
    log: list[str] = []

    def connect(host: str, port: int) -> Any:
        return Server(log, f"{host}:{port}", offset, failing)

    plan = Plan("old", "new", {"old": "o", "new": "n"}, 1, 2, "s")
    hand_over(connect, plan, Trace(), PARAMS)
    return log


def test_the_order_of_a_handover() -> None:
    assert run(10, {}) == ["o:1 CLIENT PAUSE", "n:2 SENTINEL FAILOVER", "n:1 ROLE", "o:1 CLIENT UNPAUSE"]


def test_a_candidate_that_lags_is_never_promoted_and_writes_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(redis_switchover, "unpause", lambda *_: told.append("unpaused"))
    with pytest.raises(SwitchoverError, match="expected offset 10"):
        run(9, {})
    assert told == ["unpaused"]


@pytest.mark.parametrize(
    "failing",
    [
        {"SENTINEL FAILOVER": RedisReplyError("n:2", "SENTINEL FAILOVER", "NOGOODSLAVE No suitable replica")},
        {"SENTINEL FAILOVER": RedisReplyError("n:2", "SENTINEL FAILOVER", "INPROG Failover already in progress")},
        {"SENTINEL FAILOVER": RedisUnobservable("n:2")},
        {"CLIENT PAUSE": RedisUnobservable("o:1")},
    ],
)
def test_whatever_fails_writes_are_unpaused(monkeypatch: pytest.MonkeyPatch, failing: dict[str, Exception]) -> None:
    told: list[str] = []
    monkeypatch.setattr(redis_switchover, "unpause", lambda *_: told.append("unpaused"))
    with pytest.raises(type(next(iter(failing.values())))):
        run(10, failing)
    assert told == ["unpaused"]
