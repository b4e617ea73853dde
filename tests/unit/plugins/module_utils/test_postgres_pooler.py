"""The lookup function and its roles: made once, put right when changed, never open to anybody else."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from ansible_collections.holdfast.stateful.plugins.module_utils.postgres_objects import scram_verifier
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
