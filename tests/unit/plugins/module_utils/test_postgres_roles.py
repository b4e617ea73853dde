# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from ansible_collections.holdfast.stateful.plugins.module_utils import postgres_roles as roles
from ansible_collections.holdfast.stateful.plugins.module_utils.postgres_objects import (
    PLAIN,
    ObjectsError,
    scram_verifier,
)
from ansible_collections.holdfast.stateful.plugins.modules import patroni_cluster

SALT = b"0123456789abcdef"
GROUPS = (roles.Group("db_read"), roles.Group("db_write", ("db_read",)))
LOGIN = roles.Login("tenant", "pencil", 5, ("db_read",), {"statement_timeout": "30s"}, {"db": "boss"})


def good() -> dict[str, roles.RoleFound]:
    return {
        "db_read": roles.RoleFound(login=False),
        "db_write": roles.RoleFound(login=False, member_of=frozenset({"db_read"})),
        "tenant": roles.RoleFound(
            connection_limit=5,
            verifier=scram_verifier("pencil", SALT),
            member_of=frozenset({"db_read"}),
            settings={"statement_timeout": "30s"},
            acts_as={"db": "boss"},
        ),
    }


def steps(found: dict[str, roles.RoleFound]) -> list[str]:
    planned = [*roles.plan_roles(GROUPS, (LOGIN,), found, lambda: SALT), *roles.plan_acting((LOGIN,), found)]
    return [step.what for step in planned]


def test_nothing_to_do() -> None:
    assert steps(good()) == []
    assert list(roles.drift(GROUPS, (LOGIN,), good(), ())) == []


def test_everything_to_do_and_no_password_in_it() -> None:
    planned = list(roles.plan_roles(GROUPS, (LOGIN,), {}, lambda: SALT))
    assert [step.what for step in planned] == [
        "create group db_read",
        "create group db_write",
        "create role tenant",
        "set statement_timeout of tenant to 30s",
        "make db_write a member of db_read",
        "make tenant a member of db_read",
    ]
    assert "pencil" not in repr((planned, LOGIN))
    assert [step.secret for step in planned] == [False, False, True, False, False, False]
    assert "NOLOGIN NOSUPERUSER" in planned[0].sql
    assert "CONNECTION LIMIT 5" in planned[2].sql


@pytest.mark.parametrize(
    ("name", "change", "expected"),
    [
        ("tenant", {"verifier": scram_verifier("old", SALT)}, "set the password of tenant"),
        ("tenant", {"verifier": None}, "set the password of tenant"),
        ("tenant", {"elevated": True}, "reduce role tenant to a plain login"),
        ("tenant", {"login": False}, "reduce role tenant to a plain login"),
        ("tenant", {"connection_limit": -1}, "limit the connections of tenant"),
        ("tenant", {"member_of": frozenset()}, "make tenant a member of db_read"),
        ("tenant", {"settings": {"statement_timeout": "1h"}}, "set statement_timeout of tenant to 30s"),
        ("tenant", {"acts_as": {"db": "other"}}, "let tenant act as boss in db"),
        ("db_read", {"elevated": True}, "reduce group db_read to a plain group"),
        ("db_write", {"member_of": frozenset()}, "make db_write a member of db_read"),
    ],
)
def test_one_thing_to_do(name: str, change: dict[str, Any], expected: str) -> None:
    found = good()
    found[name] = dataclasses.replace(found[name], **change)
    assert steps(found) == [expected]


def test_a_group_that_somebody_logs_in_as_is_refused() -> None:
    found = good()
    found["db_read"].login = True
    with pytest.raises(ObjectsError, match=r"role db_read: expected a group .* found a login"):
        steps(found)


def test_what_is_not_declared_is_reported_and_never_changed() -> None:
    found = good()
    found["bob"] = roles.RoleFound()
    found["postgres"] = roles.RoleFound(elevated=True)
    found["pg_monitor"] = roles.RoleFound(login=False)
    found["tenant"].member_of |= {"pg_read_all_data"}
    found["tenant"].settings["work_mem"] = "1GB"
    found["tenant"].acts_as["other"] = "boss"
    assert steps(found) == []
    assert list(roles.drift(GROUPS, (LOGIN,), found, ("postgres",))) == [
        "role bob is not declared",
        "role tenant is a member of pg_read_all_data, which is not declared",
        "role tenant has a setting work_mem, which is not declared",
        "role tenant acts as boss in other, which is not declared",
    ]


def test_what_is_taken_from_a_declared_role_is_documented() -> None:
    text = patroni_cluster.DOCUMENTATION
    missing = [word for word in PLAIN.split() if f"C({word.removeprefix('NO')})" not in text]
    assert missing == []
