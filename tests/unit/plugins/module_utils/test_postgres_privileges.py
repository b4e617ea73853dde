# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from ansible_collections.holdfast.stateful.plugins.module_utils import postgres_privileges as privileges
from ansible_collections.holdfast.stateful.plugins.module_utils.postgres_databases import Database
from ansible_collections.holdfast.stateful.plugins.module_utils.postgres_objects import ObjectsError

WANTED = Database("db", "app", extensions=("pg_trgm", "fixed"), schemas=(("sales", "seller"),))
AVAILABLE = {"pg_trgm": False, "fixed": True, "pgstattuple": False, "pgaudit": False}


def defaults(creator: str, schema: str) -> set[tuple[str, str, str, str, str]]:
    rows = [("r", "db_read", "SELECT"), ("S", "db_read", "SELECT"), ("S", "db_write", "USAGE")]
    rows += [("r", "db_write", right) for right in ("INSERT", "UPDATE", "DELETE")]
    return {(creator, schema, kind, role, right) for kind, role, right in rows}


def good() -> privileges.InsideFound:
    return privileges.InsideFound(
        schemas={
            "public": ("pg_database_owner", frozenset({"db_read USAGE"})),
            "sales": ("seller", frozenset({"db_read USAGE"})),
            "holdfast": ("postgres", frozenset({"mon USAGE"})),
        },
        available=AVAILABLE,
        installed=frozenset({*AVAILABLE, "plpgsql"}),
        defaults=frozenset(defaults("app", "public") | defaults("app", "sales") | defaults("seller", "sales")),
        audit_loaded=True,
    )


def plan(found: privileges.InsideFound) -> list[str]:
    return [step.what.removeprefix("db: ") for step in privileges.plan_inside(WANTED, found, "mon")]


def test_nothing_to_do() -> None:
    assert plan(good()) == []
    assert list(privileges.drift(WANTED, good(), ())) == []


def test_a_new_database_gets_all_of_it_inside_itself() -> None:
    fresh = privileges.InsideFound(
        schemas={"public": ("pg_database_owner", frozenset({"PUBLIC USAGE"}))}, available=AVAILABLE, audit_loaded=True
    )
    steps = list(privileges.plan_inside(WANTED, fresh, "mon"))
    assert {step.database for step in steps} == {"db"}
    text = "\n".join(step.sql for step in steps)
    assert 'CREATE EXTENSION "pg_trgm" SCHEMA public\n' in text
    assert 'CREATE EXTENSION "fixed"\n' in text
    assert 'CREATE EXTENSION "pgaudit" SCHEMA holdfast\n' in text
    assert text.index("REVOKE ALL ON SCHEMA public") < text.index('GRANT USAGE ON SCHEMA "public"')
    assert text.count("ALTER DEFAULT PRIVILEGES") == 12


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"installed": frozenset({"fixed", "pgstattuple", "pgaudit"})}, "create extension pg_trgm"),
        ({"gaps_read": frozenset({("public", "r")})}, "grant select on all tables of public to db_read"),
        ({"gaps_write": frozenset({("sales", "S")})}, "grant usage on all sequences of sales to db_write"),
        (
            {"defaults": good().defaults - {("seller", "sales", "r", "db_write", "DELETE")}},
            "grant insert, update, delete on new tables of seller in sales to db_write",
        ),
        (
            {"schemas": {**good().schemas, "sales": ("x", frozenset({"db_read USAGE"}))}},
            "give schema sales to seller (it belongs to x)",
        ),
        (
            {"schemas": {**good().schemas, "public": ("x", frozenset({"db_read USAGE", "PUBLIC CREATE"}))}},
            "keep the public out of schema public",
        ),
        (
            {"schemas": {**good().schemas, "holdfast": ("postgres", frozenset())}},
            "let mon use schema holdfast",
        ),
    ],
)
def test_one_thing_to_do(change: dict[str, Any], expected: str) -> None:
    assert plan(dataclasses.replace(good(), **change)) == [expected]


def test_the_audit_waits_for_its_library() -> None:
    found = dataclasses.replace(good(), installed=good().installed - {"pgaudit"}, audit_loaded=False)
    assert plan(found) == []
    assert list(privileges.drift(WANTED, found, ())) == [
        "database db has no audit of definitions until a restart loads pgaudit"
    ]


def test_what_is_not_declared_is_reported_and_never_changed() -> None:
    found = good()
    found.schemas["old"] = ("app", frozenset())
    found.schemas["pooler"] = ("postgres", frozenset())
    found.installed |= {"dblink"}
    assert plan(found) == []
    assert list(privileges.drift(WANTED, found, ("pooler",))) == [
        "schema db/old is not declared",
        "extension db/dblink is not declared",
    ]


class Cursor:
    """Answers every question with the same rows."""

    def __init__(self, *rows: tuple[Any, ...]) -> None:
        self.rows = list(rows)

    def execute(self, *_sql: Any) -> None:
        pass

    def fetchall(self) -> list[tuple[Any, ...]]:
        return self.rows


def test_an_extension_that_no_package_brings_is_refused() -> None:
    privileges.check_available(Cursor(("pg_trgm",), ("fixed",)), [WANTED])
    with pytest.raises(ObjectsError, match="database db: expected extensions fixed to be installable"):
        privileges.check_available(Cursor(("pg_trgm",)), [WANTED])


def test_a_schema_of_our_name_that_belongs_to_somebody_else_is_refused() -> None:
    privileges.check_own_schema(Cursor(), "db")
    privileges.check_own_schema(Cursor(("postgres",)), "db")
    with pytest.raises(ObjectsError, match="belongs to app"):
        privileges.check_own_schema(Cursor(("app",)), "db")
