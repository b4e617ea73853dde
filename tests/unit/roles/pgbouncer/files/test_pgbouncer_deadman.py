"""The dead-man resumes what stays paused for too long, whoever paused it, and nothing earlier."""

from __future__ import annotations

import importlib.util
import socket
import sys
from pathlib import Path
from typing import Any

import pytest

FILE = Path(__file__).resolve().parents[5] / "roles/pgbouncer/files/pgbouncer_deadman.py"
_spec = importlib.util.spec_from_file_location("pgbouncer_deadman", FILE)
if _spec is None or _spec.loader is None:
    raise ImportError(FILE)
deadman: Any = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(deadman)


class Cursor:
    """A console: what is asked, what is answered, what was commanded."""

    def __init__(self) -> None:
        self.active = "yes"
        self.paused: set[str] = set()
        self.commands: list[str] = []
        self.answer: list[tuple[Any, ...]] = []
        self.asked = 0
        self.description: list[tuple[str]] = []

    def execute(self, command: str) -> None:
        if command == "SHOW STATE":
            self.description, self.answer = [("key",), ("value",)], [("active", self.active)]
        elif command == "SHOW DATABASES":
            self.description = [("name",), ("paused",)]
            self.answer = [(name, int(name in self.paused)) for name in ("orders", "orders_ro")]
        elif command.startswith("PAUSE"):
            self.asked += 1
            raise RuntimeError(self.refuses())
        else:
            self.commands.append(command)

    def refuses(self) -> str:
        """Say what a PgBouncer without SHOW STATE answers to a pause of a database that is not there."""
        return "no such database: x" if self.active == "yes" else "already suspended/paused"

    def fetchall(self) -> list[tuple[Any, ...]]:
        return self.answer


def test_a_pause_is_ended_at_its_limit_and_not_before() -> None:
    clock = deadman.Clock(10)
    assert clock.overdue(["orders"], 100.0) == []
    assert clock.overdue(["orders"], 109.9) == []
    assert clock.overdue(["orders"], 110.0) == ["orders"]


def test_a_pause_that_ended_starts_anew() -> None:
    clock = deadman.Clock(10)
    clock.overdue(["orders"], 100.0)
    clock.overdue([], 105.0)
    assert clock.overdue(["orders"], 111.0) == []
    assert clock.overdue(["orders"], 121.0) == ["orders"]


def test_each_database_has_a_time_of_its_own() -> None:
    clock = deadman.Clock(10)
    clock.overdue(["orders"], 100.0)
    assert clock.overdue(["orders", "orders_ro"], 110.0) == ["orders"]
    assert clock.overdue(["orders", "orders_ro"], 120.0) == ["orders", "orders_ro"]


@pytest.mark.parametrize(
    ("modes", "rows", "found"),
    [
        ({"active": "yes"}, [{"name": "a", "paused": 0}], []),
        ({"active": "yes"}, [{"name": "a", "paused": 1}], ["a"]),
        ({"active": "yes"}, [{"name": "a", "paused": "1"}, {"name": "b", "paused": "0"}], ["a"]),
        ({"active": "no", "paused": "yes"}, [], ["*"]),
        ({"active": "no", "suspended": "yes"}, [], ["*"]),
        ({}, [{"name": "a"}], ["*", "a"]),
    ],
)
def test_what_counts_as_paused(modes: dict[str, str], rows: list[dict[str, Any]], found: list[str]) -> None:
    assert deadman.paused_now(modes, rows) == found


@pytest.mark.parametrize(
    ("paused", "active", "said"), [({"orders"}, "yes", 'RESUME "orders"'), (set(), "no", "RESUME")]
)
def test_what_is_overdue_is_resumed(
    paused: set[str], active: str, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    moments = iter([100.0, 109.0, 111.0])
    monkeypatch.setattr(deadman.time, "monotonic", lambda: next(moments))
    cursor, clock = Cursor(), deadman.Clock(10)
    cursor.paused, cursor.active = paused, active
    deadman.look(cursor, clock)
    deadman.look(cursor, clock)
    assert cursor.commands == []
    deadman.look(cursor, clock)
    assert cursor.commands == [said]
    assert "paused for 10 s: resuming" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("version", "tells"), [("1.18.0/bouncer", False), ("1.19.0/bouncer", True), ("1.24.1/bouncer", True), ("2.0", True)]
)
def test_which_pooler_has_show_state(version: str, tells: bool) -> None:
    assert deadman.tells_state(version) is tells


def test_a_version_that_cant_be_read_ends_the_session() -> None:
    with pytest.raises(ValueError, match="None"):
        deadman.tells_state("None")


def looks(cursor: Cursor, clock: Any, moments: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    for moment in moments:
        monkeypatch.setattr(deadman.time, "monotonic", lambda now=moment: now)
        deadman.look(cursor, clock, tells=False)


def test_an_old_pooler_is_resumed_too(monkeypatch: pytest.MonkeyPatch) -> None:
    cursor, clock = Cursor(), deadman.Clock(10)
    cursor.active = "no"
    looks(cursor, clock, [100.0, 104.0, 109.9], monkeypatch)
    assert cursor.commands == []
    looks(cursor, clock, [110.0], monkeypatch)
    assert cursor.commands == ["RESUME"]


def test_an_old_pooler_is_asked_twice_in_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    cursor, clock = Cursor(), deadman.Clock(10)
    looks(cursor, clock, [100.0 + 0.5 * number for number in range(41)], monkeypatch)
    assert (cursor.asked, cursor.commands) == (5, [])


def test_an_old_pooler_that_somebody_resumed_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    cursor, clock = Cursor(), deadman.Clock(10)
    cursor.active = "no"
    looks(cursor, clock, [100.0, 105.5], monkeypatch)
    cursor.active = "yes"
    looks(cursor, clock, [110.0], monkeypatch)
    assert cursor.commands == []


def test_an_old_pooler_that_answers_something_else_ends_the_session(monkeypatch: pytest.MonkeyPatch) -> None:
    cursor = Cursor()
    monkeypatch.setattr(cursor, "refuses", lambda: "admin access needed")
    with pytest.raises(RuntimeError, match="admin access"):
        deadman.look(cursor, deadman.Clock(10), tells=False)


def test_systemd_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        deadman.notify("READY=1")
        assert listener.recv(64) == b"READY=1"


def test_without_systemd_nobody_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    deadman.notify("READY=1")


class Session:
    """A session with a console that answers some times and is then lost."""

    autocommit = False

    def __init__(self, answers: int) -> None:
        self.left = answers

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_rest: object) -> None:
        return

    def cursor(self) -> Session:
        return self

    def get_parameter_status(self, _name: str) -> str:
        return "1.24.0/bouncer"

    def close(self) -> None:
        return


@pytest.mark.parametrize(("answers", "stamped"), [(0, False), (2, True)])
def test_the_time_of_an_answer_is_told_and_only_of_an_answer(
    answers: int, stamped: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = Session(answers)

    def look(*_arguments: object) -> None:
        session.left -= 1
        if session.left < 0:
            raise ConnectionError("lost")

    driver = type("driver", (), {"connect": staticmethod(lambda **_options: session)})
    monkeypatch.setitem(sys.modules, "psycopg2", driver)
    monkeypatch.setattr(deadman, "look", look)
    monkeypatch.setattr(deadman.time, "sleep", lambda _seconds: None)
    with pytest.raises(ConnectionError):
        deadman.watch("/run/pgbouncer", 6432, deadman.Clock(10), str(tmp_path / "answered"))
    assert (tmp_path / "answered").exists() is stamped
