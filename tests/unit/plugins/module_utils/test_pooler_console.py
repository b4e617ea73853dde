"""What a console says is read strictly: whatever is not plainly well stands against a pause."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.holdfast.stateful.plugins.module_utils.pooler_console import (
    DEADMAN,
    Login,
    PoolerError,
    busy,
    quoted,
    read_path,
    read_state,
)


class Console:
    where = "h1 (192.0.2.1:6432, pgbouncer)"

    def __init__(self, **answers: list[dict[str, Any]]) -> None:
        self.answers = answers
        self.numbers = (1, 24)
        self.refuses = ""

    def version(self) -> tuple[int, ...]:
        return self.numbers

    def run(self, command: str) -> list[dict[str, Any]]:
        if command.startswith("PAUSE") and self.refuses:
            raise PoolerError(f"{self.where}: {command}: {self.refuses}")
        return self.answers[command.split()[-1].lower() if command.startswith("SHOW") else "path"]


def console(active: str = "yes", paused: Any = 0, watcher: str = DEADMAN) -> Console:
    return Console(
        state=[{"key": "active", "value": active}],
        databases=[{"name": "orders", "paused": paused}, {"name": "pgbouncer", "paused": 0}],
        clients=[{"application_name": watcher}, {}],
    )


def test_an_active_and_watched_pooler() -> None:
    state = read_state(console())  # type: ignore[arg-type]
    assert (state.databases, state.paused, state.watched) == (("orders", "pgbouncer"), (), True)


@pytest.mark.parametrize(
    ("seen", "paused", "watched"),
    [
        (console(active="no"), ("*",), True),
        (console(paused=1), ("orders",), True),
        (console(paused=None), ("orders",), True),
        (console(watcher="psql"), (), False),
    ],
)
def test_what_stands_against_a_pause(seen: Console, paused: tuple[str, ...], watched: bool) -> None:
    state = read_state(seen)  # type: ignore[arg-type]
    assert (state.paused, state.watched) == (paused, watched)


def test_a_console_that_does_not_tell_its_state_is_no_observation() -> None:
    with pytest.raises(PoolerError, match=r"h1 .*SHOW STATE"):
        read_state(Console(state=[], databases=[], clients=[]))  # type: ignore[arg-type]


def old(refuses: str) -> Console:
    seen = console(active="not asked")
    seen.numbers, seen.refuses = (1, 18), refuses
    seen.answers["path"] = []
    return seen


@pytest.mark.parametrize(("refuses", "paused"), [("no such database: x", ()), ("already suspended/paused", ("*",))])
def test_an_old_pooler_tells_its_state_by_how_it_refuses(refuses: str, paused: tuple[str, ...]) -> None:
    assert read_state(old(refuses)).paused == paused  # type: ignore[arg-type]


@pytest.mark.parametrize("refuses", ["admin access needed", ""])
def test_an_old_pooler_that_answers_something_else_is_no_observation(refuses: str) -> None:
    with pytest.raises(PoolerError, match=r"h1 "):
        read_state(old(refuses))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("rows", "address"),
    [
        ([{"standby": False, "address": "192.0.2.2"}], "192.0.2.2"),
        ([{"standby": True, "address": "192.0.2.2"}], ""),
        ([{"standby": None, "address": None}], "None"),
        ([], ""),
    ],
)
def test_a_path_ends_at_a_server_that_takes_writes(rows: list[dict[str, Any]], address: str) -> None:
    assert read_path(Console(path=rows)) == address  # type: ignore[arg-type]


def test_who_holds_a_server_is_named_once() -> None:
    rows = [
        {"user": "app", "database": "orders", "state": "active"},
        {"user": "app", "database": "orders", "state": "active"},
        {"user": "app", "database": "orders", "state": "idle"},
        {"user": "x", "database": "other", "state": "active"},
    ]
    assert busy(Console(servers=rows), ("orders",)) == ["app in orders"]  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["", 'a"b', "a b", "a;b", "x" * 64, "*"])
def test_a_name_that_the_console_could_misread_is_refused(name: str) -> None:
    with pytest.raises(PoolerError):
        quoted(name)


def test_a_plain_name_is_quoted() -> None:
    assert quoted("orders_ro") == '"orders_ro"'


def test_a_login_does_not_show_its_password() -> None:
    assert "hush" not in repr(Login(6432, "admin", "hush"))
