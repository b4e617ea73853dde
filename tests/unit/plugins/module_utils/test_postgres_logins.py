# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.holdfast.stateful.plugins.module_utils.postgres_logins import Pair
from ansible_collections.holdfast.stateful.plugins.module_utils.postgres_objects import ObjectsError, scram_verifier
from ansible_collections.holdfast.stateful.plugins.module_utils.postgres_roles import RoleFound

SALT = b"0123456789abcdef"
PAIR = Pair("app", "app_b", "old-secret", "new-secret")


def role(password: str, **more: Any) -> RoleFound:
    return RoleFound(verifier=scram_verifier(password, SALT), **more)


def second(password: str, **more: Any) -> RoleFound:
    return role(password, **{"member_of": frozenset({"app"}), "settings": {"role": "app"}, **more})


def whats(found: dict[str, RoleFound]) -> list[str]:
    return [step.what for step in PAIR.steps(found, lambda: SALT)]


OWNER = role("old-secret")


@pytest.mark.parametrize(
    ("found", "steps"),
    [
        ({"app": OWNER}, ["create role app_b", "set role of app_b to app", "make app_b a member of app"]),
        ({"app": OWNER, "app_b": second("new-secret")}, []),
        ({"app": OWNER, "app_b": second("other")}, ["set the password of app_b"]),
        ({"app": role("other"), "app_b": second("new-secret")}, ["set the password of app"]),
        ({"app": OWNER, "app_b": second("new-secret", login=False)}, ["reduce role app_b to a plain login"]),
        ({"app": OWNER, "app_b": second("new-secret", connection_limit=3)}, ["limit the connections of app_b"]),
        ({"app": OWNER, "app_b": second("new-secret", settings={})}, ["set role of app_b to app"]),
        (
            {"app": role("old-secret", settings={"lock_timeout": "5s"}), "app_b": second("new-secret")},
            ["set lock_timeout of app_b to 5s"],
        ),
        (
            {"app": role("old-secret", acts_as={"orders": "orders_owner"}), "app_b": second("new-secret")},
            ["let app_b act as orders_owner in orders"],
        ),
    ],
)
def test_steps(found: dict[str, RoleFound], steps: list[str]) -> None:
    assert whats(found) == steps


def test_no_statement_holds_a_password_and_the_login_is_plain() -> None:
    steps = PAIR.steps({"app": role("other")}, lambda: SALT)
    text = " ".join(step.sql for step in steps)
    assert "-secret" not in text
    assert "NOSUPERUSER" in text
    assert 'GRANT "app" TO "app_b"' in text
    assert "ALTER ROLE \"app_b\" SET role = 'app'" in text
    assert all(step.secret for step in steps if "SCRAM" in step.sql)


def test_foreign_and_missing_roles_stop() -> None:
    with pytest.raises(ObjectsError, match="found another role"):
        whats({"app": OWNER, "app_b": second("new-secret", member_of=frozenset())})
    with pytest.raises(ObjectsError, match=r"run site.yml first"):
        whats({})


@pytest.mark.parametrize("name", ["", "a\0b"])
def test_names_that_are_none_stop(name: str) -> None:
    with pytest.raises(ObjectsError):
        Pair("app", name, "x", "y").steps({"app": OWNER})
