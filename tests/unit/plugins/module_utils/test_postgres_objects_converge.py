# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from ansible_collections.holdfast.stateful.plugins.module_utils import postgres_objects_converge as converge
from ansible_collections.holdfast.stateful.plugins.module_utils.postgres_databases import DatabaseFound
from ansible_collections.holdfast.stateful.plugins.module_utils.postgres_objects import ObjectsError
from ansible_collections.holdfast.stateful.plugins.module_utils.postgres_partitions import PartitionsFound
from ansible_collections.holdfast.stateful.plugins.module_utils.postgres_privileges import InsideFound

OBJECTS: dict[str, Any] = {
    "databases": [
        {"name": "db", "owner": "app", "connection_limit": -1, "settings": {}, "extensions": [], "schemas": []}
    ],
    "groups": [{"name": "db_read", "member_of": []}, {"name": "db_write", "member_of": ["db_read"]}],
    "logins": [
        {"name": "app", "secret": "app", "member_of": [], "connection_limit": -1, "settings": {}, "acts_as": {}}
    ],
    "hba": [],
    "partitions": [
        {
            "database": "db", "schema": "public", "table": "t", "column": "at", "interval": "day", "premake": 4,
            "retention_days": None, "expired": "detach",
        }
    ],
}  # fmt: skip
PASSWORDS = {"app": "pencil", "mon": "crayon"}


def wanted(objects: dict[str, Any] | None = None) -> converge.Wanted:
    return converge.wanted_of(objects or OBJECTS, PASSWORDS, "mon")


class Server:
    """Remembers what was executed in which database."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, databases: dict[str, DatabaseFound]) -> None:
        self.said: list[tuple[str, str]] = []
        self.database = ""
        monkeypatch.setattr(converge, "leader_session", self.session)
        monkeypatch.setattr(converge.postgres_roles, "look", lambda _cursor: {})
        monkeypatch.setattr(converge.postgres_databases, "look", lambda _cursor: databases)
        monkeypatch.setattr(converge.postgres_privileges, "look", lambda _cursor, _base: InsideFound(audit_loaded=True))
        monkeypatch.setattr(converge.postgres_partitions, "look", lambda _cursor: PartitionsFound())
        monkeypatch.setattr(converge.postgres_partitions, "plan_now", lambda _cursor, name: ([f"{name}: create"], []))

    @contextmanager
    def session(self, _port: int, database: str = "postgres") -> Iterator[Server]:
        before, self.database = self.database, database
        yield self
        self.database = before

    def execute(self, sql: str, *_values: Any) -> None:
        if not sql.startswith("SELECT") or "maintain" in sql:
            self.said.append((self.database, sql))

    def fetchall(self) -> list[tuple[Any, ...]]:
        return []


def test_a_login_without_a_password_is_refused() -> None:
    for passwords, name in (({"mon": "x"}, "app"), ({"app": "x"}, "mon")):
        with pytest.raises(ObjectsError, match=f"found none for {name}"):
            converge.wanted_of(OBJECTS, passwords, "mon")


def test_numbers_that_came_as_text_are_numbers() -> None:
    objects = copy.deepcopy(OBJECTS)
    objects["databases"][0]["connection_limit"] = "7"
    objects["partitions"][0]["retention_days"] = "30"
    found = wanted(objects)
    assert found.databases[0].connection_limit == 7
    assert found.rules["db"][0].retention_days == 30


def test_everything_is_made_from_the_outside_in(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(monkeypatch, {})
    outcome = converge.converge(5432, wanted(), check=False)
    order = [what.split(" in ")[0] for what in outcome.changes]
    assert order.index("create role mon") < order.index("make mon a member of pg_monitor")
    assert order.index("create role app") < order.index("create database db")
    assert order.index("create database db") < order.index("db: create schema holdfast")
    assert order[-1] == "db: create"
    assert ("db", "SELECT done FROM holdfast.maintain_partitions()") in server.said
    assert {where for where, sql in server.said if "SCHEMA" in sql} == {"db"}
    assert "pencil" not in repr((outcome, server.said, wanted()))


def test_check_mode_says_the_same_of_what_is_there_and_does_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(monkeypatch, {})
    outcome = converge.converge(5432, wanted(), check=True)
    assert "create database db" in outcome.changes
    assert server.said == []


def test_a_refusal_inside_a_database_comes_before_the_first_change(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(monkeypatch, {"db": DatabaseFound("app")})

    def refuse(*_arguments: Any) -> None:
        raise ObjectsError("a table with rows")

    monkeypatch.setattr(converge.postgres_partitions, "check_tables", refuse)
    with pytest.raises(ObjectsError, match="a table with rows"):
        converge.converge(5432, wanted(), check=False)
    assert server.said == []
