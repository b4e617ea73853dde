# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.holdfast.stateful.plugins.module_utils.postgres_logins import Pair
from ansible_collections.holdfast.stateful.plugins.module_utils.postgres_objects import ObjectsError, scram_verifier

SALT = b"0123456789abcdef"
PAIR = Pair("app", "app_b", "old-secret", "new-secret")


def row(password: str, **more: Any) -> dict[str, Any]:
    verifier = scram_verifier(password, SALT)
    return {"login": True, "verifier": verifier, "limit": -1, "member": True, "becomes": True, **more}


OWNER = row("old-secret", member=False, becomes=False)


def whats(found: dict[str, Any]) -> list[str]:
    return [what for what, _sql in PAIR.statements(found, lambda: SALT)]


@pytest.mark.parametrize(
    ("found", "steps"),
    [
        ({"app": OWNER}, ["create login app_b", "let app_b become app"]),
        ({"app": OWNER, "app_b": row("new-secret")}, []),
        ({"app": OWNER, "app_b": row("other")}, ["set the password of app_b"]),
        ({"app": row("other"), "app_b": row("new-secret")}, ["set the password of app"]),
        ({"app": OWNER, "app_b": row("new-secret", login=False)}, ["let app_b log in"]),
        ({"app": OWNER, "app_b": row("new-secret", limit=3)}, ["let app_b log in"]),
        ({"app": OWNER, "app_b": row("new-secret", becomes=False)}, ["let app_b become app"]),
    ],
)
def test_steps(found: dict[str, Any], steps: list[str]) -> None:
    assert whats(found) == steps


def test_no_statement_holds_a_password_and_the_login_is_plain() -> None:
    text = " ".join(sql for _what, sql in PAIR.statements({"app": row("other")}, lambda: SALT))
    assert "secret" not in text
    assert "NOSUPERUSER" in text
    assert 'IN ROLE "app"' in text
    assert 'ALTER ROLE "app_b" SET role = "app"' in text


def test_foreign_and_missing_roles_stop() -> None:
    with pytest.raises(ObjectsError, match="found another role"):
        whats({"app": OWNER, "app_b": row("new-secret", member=False)})
    with pytest.raises(ObjectsError, match=r"run site.yml first"):
        whats({})


@pytest.mark.parametrize("name", ["", "a\0b"])
def test_names_that_are_none_stop(name: str) -> None:
    with pytest.raises(ObjectsError):
        Pair("app", name, "x", "y").statements({"app": OWNER})
