"""However a planned move ends, every pooler is told to resume; none resumes before its own path is proven."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any

import pytest
from ansible_collections.holdfast.stateful.plugins.module_utils.pooler_console import DEADMAN, PoolerError
from ansible_collections.holdfast.stateful.plugins.module_utils.pooler_pause import Poolers, together

MEMBERS = [{"name": f"h{n}", "address": f"192.0.2.{n}"} for n in (1, 2, 3)]


class Member:
    """A pooler that behaves as PgBouncer's console does, with a path to some server."""

    def __init__(self) -> None:
        self.paused: set[str] = set()
        self.hangs: set[str] = set()
        self.path = "192.0.2.1"
        self.away = False
        self.watched = True
        self.log: list[str] = []

    def run(self, command: str) -> list[dict[str, Any]]:
        word, *rest = command.split()
        name = rest[-1].strip('"') if rest else ""
        if word in {"PAUSE", "RESUME"}:
            self.log.append(command)
        if word == "PAUSE":
            self.paused.add(name)
            if name in self.hangs:
                threading.Event().wait(3)
        elif word == "RESUME":
            if name not in self.paused:
                raise PoolerError(f"database {name} is not paused")
            self.paused.discard(name)
        elif word == "SELECT":
            return [{"standby": not self.path, "address": self.path}]
        return {
            "STATE": [{"key": "active", "value": "yes"}],
            "DATABASES": [
                {"name": n, "paused": int(n in self.paused)} for n in ("orders", "holdfast_auth", "orders_ro")
            ],
            "CLIENTS": [{"application_name": DEADMAN if self.watched else ""}],
            "SERVERS": [{"user": "app", "database": n, "state": "active"} for n in self.hangs],
        }.get(name, [])


class Session:
    def __init__(self, member: Member, where: str) -> None:
        self.member, self.where = member, where

    def version(self) -> tuple[int, ...]:
        return 1, 24

    def run(self, command: str) -> list[dict[str, Any]]:
        if self.member.away:
            raise PoolerError(f"{self.where}: connection refused")
        return self.member.run(command)

    def close(self) -> None:
        pass


class Lab:
    def __init__(self) -> None:
        self.members = {str(member["name"]): Member() for member in MEMBERS}
        self.poolers = Poolers(MEMBERS, self.connect, ("orders", "holdfast_auth"), ("orders_ro",))

    def connect(self, member: Mapping[str, Any], database: str) -> Session:
        found = self.members[str(member["name"])]
        if found.away:
            raise PoolerError(f"{member['name']}: connection refused")
        return Session(found, f"{member['name']} {database}")

    def paused(self) -> set[str]:
        return {f"{name} {item}" for name, member in self.members.items() for item in member.paused}


@pytest.fixture
def lab() -> Lab:
    found = Lab()
    _states, problems = found.poolers.look()
    assert problems == []
    return found


def test_all_pause_and_all_resume_when_their_path_ends_at_the_new_leader(lab: Lab) -> None:
    lab.poolers.pause(1)
    assert len(lab.paused()) == 9
    for member in lab.members.values():
        member.path = "192.0.2.2"
    assert lab.poolers.await_leader("192.0.2.2", time.monotonic() + 1, lambda: "") == []
    assert lab.paused() == {"h1 orders_ro", "h2 orders_ro", "h3 orders_ro"}
    assert lab.poolers.resume() == []
    assert lab.paused() == set()
    assert sorted(lab.poolers.resumed) == ["h1", "h2", "h3"]


@pytest.mark.parametrize("path", ["", "192.0.2.1", "192.0.2.3"])
def test_a_pooler_whose_path_ends_elsewhere_stays_paused_until_the_deadline(lab: Lab, path: str) -> None:
    lab.poolers.pause(1)
    for name, member in lab.members.items():
        member.path = path if name == "h3" else "192.0.2.2"
    late = lab.poolers.await_leader("192.0.2.2", time.monotonic() + 0.2, lambda: "")
    assert len(late) == 1
    assert late[0].startswith("h3: ")
    assert {"h3 orders", "h3 holdfast_auth"} <= lab.paused()
    assert lab.poolers.resume() == []
    assert lab.paused() == set()


def test_a_refusal_ends_the_wait(lab: Lab) -> None:
    lab.poolers.pause(1)
    begin = time.monotonic()
    late = lab.poolers.await_leader("192.0.2.2", begin + 5, lambda: "Patroni refused")
    assert time.monotonic() - begin < 2
    assert [line.partition(": ")[2] for line in late] == ["Patroni refused"] * 3


def test_an_open_transaction_calls_it_off_and_is_named(lab: Lab) -> None:
    lab.members["h2"].hangs.add("orders")
    with pytest.raises(PoolerError, match=r"h2 orders: no answer in time.*h2: app in orders.*nothing was moved"):
        lab.poolers.pause(0.2)
    assert lab.paused() == set()


def test_a_session_that_comes_too_late_pauses_nothing(lab: Lab) -> None:
    connected = threading.Event()

    def slow(member: Mapping[str, Any], database: str) -> Session:
        if member["name"] == "h2":
            connected.wait(0.6)
        return lab.connect(member, database)

    lab.poolers.connect = slow
    with pytest.raises(PoolerError, match="h2 orders: no answer in time"):
        lab.poolers.pause(0.2)
    time.sleep(0.8)
    assert lab.paused() == set()
    assert not [line for line in lab.members["h2"].log if line.startswith("PAUSE")]


@pytest.mark.parametrize(("seconds", "hangs"), [(0.9, False), (0.35, True)], ids=["answered", "never answered"])
def test_a_pause_that_arrives_after_the_resume_is_taken_back(lab: Lab, seconds: float, hangs: bool) -> None:
    class Late(Session):
        def run(self, command: str) -> list[dict[str, Any]]:
            if command.startswith("PAUSE"):
                threading.Event().wait(seconds)  # on its way while the others are resumed
            return super().run(command)

    def late(member: Mapping[str, Any], database: str) -> Session:
        made = lab.connect(member, database)
        return Late(made.member, made.where) if member["name"] == "h2" else made

    lab.poolers.connect = late
    if hangs:
        lab.members["h2"].hangs.add("orders")
    with pytest.raises(PoolerError, match="The poolers were resumed; nothing was moved"):
        lab.poolers.pause(0.2)
    time.sleep(0.3 if hangs else 0.8)
    assert lab.paused() == set()


def test_a_pooler_that_goes_away_while_it_is_paused_is_left_to_its_dead_man(lab: Lab) -> None:
    lab.poolers.pause(1)
    lab.members["h1"].away = True
    left = lab.poolers.resume()
    assert len(left) == 1
    assert "its dead-man resumes it" in left[0]
    assert {name.split()[0] for name in lab.paused()} == {"h1"}


def test_a_dead_man_that_was_faster_is_no_failure(lab: Lab) -> None:
    lab.poolers.pause(1)
    lab.members["h2"].paused.clear()
    assert lab.poolers.resume() == []
    assert not [line for line in lab.members["h2"].log if line.startswith("RESUME")]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"away": True}, "connection refused"),
        ({"watched": False}, "dead-man"),
        ({"paused": {"orders"}}, "found orders paused"),
    ],
)
def test_the_gate(change: dict[str, Any], said: str) -> None:
    lab = Lab()
    for name, value in change.items():
        setattr(lab.members["h2"], name, value)
    _states, problems = lab.poolers.look()
    assert len(problems) == 1
    assert problems[0].startswith("h2: ")
    assert said in problems[0]


def test_a_database_that_is_missing_stands_against_it() -> None:
    lab = Lab()
    lab.poolers.leading = ("orders", "other")
    _states, problems = lab.poolers.look()
    assert [line for line in problems if "expected databases other" in line] == problems
    assert len(problems) == 3


def test_jobs_run_together_and_one_that_hangs_is_left_behind() -> None:
    begin = time.monotonic()
    found = together({"slow": lambda: time.sleep(3), "quick": lambda: 1}, 0.2)
    assert time.monotonic() - begin < 1
    assert (found["quick"].done, found["quick"].value) == (True, 1)
    assert (found["slow"].done, found["slow"].error) == (False, "no answer in time")
