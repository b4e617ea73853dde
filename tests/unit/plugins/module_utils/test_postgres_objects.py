# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import base64
from typing import Any

import pytest
from ansible_collections.holdfast.stateful.plugins.module_utils import postgres_objects as objects

SALT = base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
WANTED = objects.Wanted("orders", objects.Login("app", "pencil"), objects.Login("mon", "crayon", 10))


def role(password: str, limit: int = -1, **more: Any) -> dict[str, Any]:
    verifier = objects.scram_verifier(password, SALT)
    return {"login": True, "elevated": False, "connection_limit": limit, "verifier": verifier, **more}


def good() -> objects.Found:
    return objects.Found({"app": role("pencil"), "mon": role("crayon", 10)}, "app", False, True, True)


def names(found: objects.Found) -> list[str]:
    return [what for what, _sql in objects.plan(WANTED, found, lambda: SALT)]


def test_the_keys_of_rfc_7677() -> None:
    # The example of the RFC: user "user", password "pencil".
    verifier = objects.scram_verifier("pencil", SALT)
    assert verifier == (
        "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY="
        ":wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
    )


@pytest.mark.parametrize("verifier", [None, "", "md5aaaa", "pencil", "SCRAM-SHA-256$x", "SCRAM-SHA-256$1:a$b:c d"])
def test_other_verifiers_never_match(verifier: str | None) -> None:
    assert not objects.scram_matches("pencil", verifier)


def test_nothing_to_do() -> None:
    assert names(good()) == []


def test_everything_to_do_and_no_password_in_it() -> None:
    steps = objects.plan(WANTED, objects.Found(), lambda: SALT)
    assert [what.split()[0] for what, _sql in steps] == ["create", "create", "create", "keep", "let", "let"]
    text = repr(steps)
    assert "pencil" not in text
    assert "crayon" not in text


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"roles": {"app": role("old"), "mon": role("crayon", 10)}}, ["set the password of app"]),
        (
            {"roles": {"app": role("pencil", elevated=True), "mon": role("crayon", 10)}},
            ["reduce role app to a plain login"],
        ),
        (
            {"roles": {"app": role("pencil", login=False), "mon": role("crayon", 10)}},
            ["reduce role app to a plain login"],
        ),
        ({"roles": {"app": role("pencil"), "mon": role("crayon", -1)}}, ["limit the connections of mon"]),
        (
            {"roles": {"app": role("pencil")}, "monitor_is_member": False},
            ["create role mon", "let mon read statistics"],
        ),
        ({"database_owner": "x"}, ["give database orders to app (it belongs to x)"]),
        ({"public_may_connect": True}, ["keep the public out of orders"]),
        ({"monitor_may_connect": False}, ["let mon connect to orders"]),
    ],
)
def test_one_thing_to_do(change: dict[str, Any], expected: list[str]) -> None:
    found = good()
    for key, value in change.items():
        setattr(found, key, value)
    assert names(found) == expected


def test_names_are_quoted() -> None:
    assert objects.quote('a"; DROP ROLE x; --') == '"a""; DROP ROLE x; --"'
    with pytest.raises(objects.ObjectsError):
        objects.quote("")
