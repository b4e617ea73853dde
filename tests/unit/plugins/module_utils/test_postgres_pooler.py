"""The lookup function and its roles: made once, put right when changed, never open to anybody else."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from ansible_collections.holdfast.stateful.plugins.module_utils import postgres_pooler
from ansible_collections.holdfast.stateful.plugins.module_utils.postgres_objects import ObjectsError, scram_verifier
from ansible_collections.holdfast.stateful.plugins.module_utils.postgres_pooler import (
    BODY,
    COLUMNS,
    OWNER,
    SETTINGS,
    Found,
    create_function,
    plan,
)
from ansible_collections.holdfast.stateful.plugins.module_utils.postgres_roles import Login, RoleFound

LOGIN = Login("holdfast_pooler", "hush hush")
SALT = b"0123456789abcdef"


def whole() -> Found:
    return Found(
        schema_owner=OWNER,
        schema_users=frozenset({OWNER, LOGIN.name}),
        columns=frozenset(COLUMNS),
        function=(BODY, OWNER, True, tuple(SETTINGS), frozenset({OWNER, LOGIN.name})),
    )


ROLES = {OWNER: RoleFound(login=False), LOGIN.name: RoleFound(verifier=scram_verifier(LOGIN.password, SALT))}


def steps(found: Found, roles: dict[str, RoleFound] | None = None) -> list[str]:
    return [step.what for step in plan(LOGIN, found, ROLES if roles is None else roles, lambda: SALT)]


def test_nothing_is_done_where_nothing_differs() -> None:
    assert steps(whole()) == []


def test_everything_is_made_in_an_order_that_works() -> None:
    assert steps(Found(), {}) == [
        "create group holdfast_pooler_owner",
        "create role holdfast_pooler",
        "create schema holdfast_pooler",
        "let only holdfast_pooler into schema holdfast_pooler",
        "let holdfast_pooler_owner read verifiers",
        "make function holdfast_pooler.lookup(text)",
    ]


def test_a_database_that_the_public_was_kept_out_of_lets_it_connect() -> None:
    found = dataclasses.replace(whole(), connects=False)
    made = [step.sql for step in plan(LOGIN, found, ROLES, lambda: SALT, "orders")]
    assert made == ['GRANT CONNECT ON DATABASE "orders" TO "holdfast_pooler"']


def test_a_schema_that_an_application_has_made_first_is_refused() -> None:
    found = dataclasses.replace(whole(), schema_owner="orders_owner")
    with pytest.raises(ObjectsError, match=r"database orders: .* found that it belongs to orders_owner"):
        plan(LOGIN, found, ROLES, lambda: SALT, "orders")
    assert steps(found) == ["give schema holdfast_pooler to holdfast_pooler_owner"]


@pytest.mark.parametrize(("check", "asked"), [(False, ["postgres", "orders", "new"]), (True, ["postgres", "orders"])])
def test_every_database_is_looked_at(check: bool, asked: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    class Cursor:
        def execute(self, _sql: str) -> None: ...

        def fetchall(self) -> list[tuple[str]]:
            return [("postgres",), ("orders",)]

    @contextmanager
    def session(_port: int, database: str = "postgres") -> Iterator[Cursor]:
        seen.append(database)
        yield Cursor()

    done: list[str] = []
    monkeypatch.setattr(postgres_pooler, "leader_session", session)
    monkeypatch.setattr(postgres_pooler, "look", lambda _cursor, _name: dataclasses.replace(whole(), connects=False))
    monkeypatch.setattr(postgres_pooler.postgres_roles, "look", lambda _cursor: ROLES)
    monkeypatch.setattr(postgres_pooler, "execute", lambda _cursor, step: done.append(step.what))
    found = postgres_pooler.converge(5432, LOGIN, check, ["orders", "new"])
    assert seen == asked
    assert found == [f"{name}: let holdfast_pooler connect to {name}" for name in asked[1:]]
    assert done == [] if check else [item.partition(": ")[2] for item in found]


def with_function(**changes: Any) -> Found:
    names = ("body", "owner", "definer", "settings", "users")
    function = dict(zip(names, whole().function or (), strict=True)) | changes
    return dataclasses.replace(whole(), function=tuple(function[name] for name in names))


@pytest.mark.parametrize(
    "found",
    [
        with_function(body="SELECT 1"),
        with_function(owner="postgres"),
        with_function(definer=False),
        with_function(settings=()),
        with_function(users=frozenset({OWNER, LOGIN.name, "unknown (OID=0)"})),
        with_function(users=frozenset({OWNER})),
    ],
)
def test_a_function_that_differs_is_made_again(found: Found) -> None:
    assert steps(found) == ["make function holdfast_pooler.lookup(text)"]


@pytest.mark.parametrize(
    ("change", "step"),
    [
        ({"schema_owner": "postgres"}, "give schema"),
        ({"schema_users": frozenset({OWNER, LOGIN.name, "unknown (OID=0)"})}, "let only holdfast_pooler into"),
        ({"columns": frozenset({"rolname"})}, "let holdfast_pooler_owner read"),
    ],
)
def test_what_differs_is_put_right(change: dict[str, Any], step: str) -> None:
    found = steps(dataclasses.replace(whole(), **change))
    assert len(found) == 1
    assert found[0].startswith(step)


def test_an_owner_with_rights_of_its_own_loses_them() -> None:
    roles = ROLES | {OWNER: RoleFound(login=False, elevated=True)}
    assert steps(whole(), roles) == [f"reduce group {OWNER} to a plain group"]


def test_the_function_never_returns_those_who_may_do_everything() -> None:
    for condition in ("NOT a.rolsuper", "NOT a.rolreplication", "a.rolcanlogin", "a.rolvaliduntil"):
        assert condition in BODY
    made = create_function(LOGIN.name)
    assert "SECURITY DEFINER SET search_path = pg_catalog, pg_temp" in made
    assert made.index("REVOKE ALL") > made.index("CREATE")


def test_no_password_is_in_a_statement() -> None:
    assert not any(LOGIN.password in step.sql for step in plan(LOGIN, Found(), {}, lambda: SALT))
