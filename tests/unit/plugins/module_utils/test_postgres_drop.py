# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from ansible_collections.holdfast.stateful.plugins.module_utils import postgres_drop as drop
from ansible_collections.holdfast.stateful.plugins.module_utils.postgres_objects import ObjectsError

OBJECTS = {
    "databases": [{"name": "orders", "schemas": [{"name": "sales"}], "extensions": ["pg_trgm"]}],
    "logins": [{"name": "app"}],
    "groups": [{"name": "orders_read"}],
    "partitions": [{"database": "orders", "schema": "public", "table": "events"}],
}
KEEP = drop.declared(OBJECTS, "mon", ("replicator",))


class Server:
    """A server with databases `orders` and `old`; answers by the first word that a question holds."""

    def __init__(self, **answers: list[tuple[Any, ...]]) -> None:
        self.answers = {"pg_stat_activity WHERE datname": [(0,)], "rolsuper": [(False, 0, [])], **answers}
        self.said: list[tuple[str, str]] = []
        self.last: list[tuple[Any, ...]] = []
        self.database = ""

    @contextmanager
    def session(self, _port: int, database: str = "postgres") -> Iterator[Server]:
        self.database = database
        yield self

    def execute(self, sql: str, *_values: Any) -> None:
        if sql.startswith(("DROP", "DELETE")):
            self.said.append((self.database, sql))
        if sql == "SELECT datname::text FROM pg_database":
            self.last = [("orders",), ("old",), ("postgres",)]
        else:
            self.last = next((rows for word, rows in self.answers.items() if word in sql), [])

    def fetchall(self) -> list[tuple[Any, ...]]:
        return self.last

    def fetchone(self) -> tuple[Any, ...]:
        return self.last[0]


def run(monkeypatch: pytest.MonkeyPatch, server: Server, *words: str, check: bool = False) -> Any:
    monkeypatch.setattr(drop, "leader_session", server.session)
    return drop.drop(5432, drop.parse(words), KEEP, check)


@pytest.mark.parametrize(
    "word", ["old", "database", "database/", "database/a/b", "schema/x", "table/a/b", "role/a/b", "", "schema//x"]
)
def test_what_is_named_in_another_form_is_refused(word: str) -> None:
    with pytest.raises(ObjectsError, match="confirm: expected database/NAME"):
        drop.parse([word])


def test_nothing_named_is_refused() -> None:
    with pytest.raises(ObjectsError, match="found nothing"):
        drop.parse([])


def test_roles_go_last_and_nothing_twice() -> None:
    words = ["role/r", "database/d", " schema/d/s", "role/r"]
    assert [target.text for target in drop.parse(words)] == ["schema/d/s", "database/d", "role/r"]


@pytest.mark.parametrize(
    "word",
    [
        "database/orders",
        "database/postgres",
        "database/template1",
        "role/app",
        "role/orders_read",
        "role/mon",
        "role/replicator",
        "role/postgres",
        "role/pg_monitor",
        "schema/orders/sales",
        "schema/orders/public",
        "schema/orders/holdfast",
        "extension/orders/pg_trgm",
        "extension/orders/plpgsql",
        "extension/orders/pgaudit",
        "partitions/orders/public.events",
    ],
)
def test_what_is_declared_or_our_own_is_refused(word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server()
    with pytest.raises(ObjectsError, match="declared in the catalog, or PostgreSQL's or Holdfast's own"):
        run(monkeypatch, server, word)
    assert server.said == []


@pytest.mark.parametrize(
    ("word", "answers", "said"),
    [
        ("database/old", {"pg_stat_activity WHERE datname": [(2,)]}, "2 sessions are connected"),
        ("database/old", {"pg_replication_slots": [("cdc",)]}, "replication slot cdc reads it"),
        ("role/bob", {"rolsuper": [(True, 0, [])]}, "superuser"),
        ("role/bob", {"rolsuper": [(False, 3, [])]}, "3 sessions of it"),
        ("role/bob", {"rolsuper": [(False, 0, ["eve"])]}, "eve would lose its rights"),
        ("role/bob", {"pg_shdepend": [("orders", "owns", 4)]}, "owns 4 objects in orders"),
        ("schema/orders/old", {"pg_namespace": [(1,)]}, "holds 1 objects"),
        ("extension/orders/x", {"pg_extension": [(1,)]}, "used by 1 objects"),
    ],
)
def test_what_is_in_use_is_refused_and_all_of_it_stays(
    word: str, answers: dict[str, Any], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Server(**answers)
    with pytest.raises(ObjectsError, match=said):
        run(monkeypatch, server, word, "role/harmless")
    assert server.said == []


def test_what_was_named_is_dropped_where_it_is_without_cascade(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(pg_namespace=[(0,)])
    assert run(monkeypatch, server, "role/bob", "database/old", "schema/orders/s") == (
        ["schema/orders/s", "database/old", "role/bob"],
        [],
    )
    assert server.said == [
        ("orders", 'DROP SCHEMA "s"'),
        ("postgres", 'DROP DATABASE "old"'),
        ("postgres", 'DROP ROLE "bob"'),
    ]


def test_check_mode_drops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server()
    assert run(monkeypatch, server, "database/old", check=True) == (["database/old"], [])
    assert server.said == []


def test_what_is_not_there_is_no_change(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(rolsuper=[])
    words = ("database/gone", "role/gone", "schema/gone/s", "schema/orders/gone")
    assert run(monkeypatch, server, *words) == (
        [],
        ["schema/gone/s", "schema/orders/gone", "database/gone", "role/gone"],
    )
    assert server.said == []
