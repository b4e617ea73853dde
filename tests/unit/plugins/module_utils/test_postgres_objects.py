# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import base64

import pytest
from ansible_collections.holdfast.stateful.plugins.module_utils import postgres_objects as objects

SALT = base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")


class Cursor:
    """Takes statements and fails at those that hold a word."""

    def __init__(self, fails: str = "\0") -> None:
        self.fails = fails
        self.said: list[str] = []

    def execute(self, sql: str) -> None:
        self.said.append(sql)
        if self.fails in sql:
            raise ValueError(f"syntax error at: {sql}")


def test_the_keys_of_rfc_7677() -> None:
    # The example of the RFC: user "user", password "pencil".
    verifier = objects.scram_verifier("pencil", SALT)
    assert verifier == (
        "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY="
        ":wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
    )
    assert objects.scram_matches("pencil", verifier)
    assert not objects.scram_matches("pen", verifier)


@pytest.mark.parametrize("verifier", [None, "", "md5aaaa", "pencil", "SCRAM-SHA-256$x", "SCRAM-SHA-256$1:a$b:c d"])
def test_other_verifiers_never_match(verifier: str | None) -> None:
    assert not objects.scram_matches("pencil", verifier)


def test_names_are_quoted() -> None:
    assert objects.quote('a"; DROP ROLE x; --') == '"a""; DROP ROLE x; --"'
    with pytest.raises(objects.ObjectsError):
        objects.quote("")


def test_texts_are_quoted() -> None:
    assert objects.literal("it's") == "'it''s'"
    for value in ("a\\b", "a\0b"):
        with pytest.raises(objects.ObjectsError):
            objects.literal(value)


@pytest.mark.parametrize(
    ("name", "value", "stored", "sql"),
    [
        ("statement_timeout", "30s", "30s", "'30s'"),
        ("search_path", "sales, public", "sales, public", "'sales', 'public'"),
        ("search_path", '"$user",public', '"$user", public', "'$user', 'public'"),
    ],
)
def test_a_setting_as_it_is_stored_and_as_it_is_set(name: str, value: str, stored: str, sql: str) -> None:
    assert objects.setting(name, value) == (stored, sql)


def test_stored_settings_are_read() -> None:
    assert objects.settings_of(["a=1", "search_path=x, y", "b=c=d"]) == {"a": "1", "search_path": "x, y", "b": "c=d"}
    assert objects.settings_of(None) == {}


def test_a_step_that_fails_says_what_it_was_for_and_why() -> None:
    with pytest.raises(objects.ObjectsError, match=r"^make x: expected success, found ValueError: syntax error"):
        objects.execute(Cursor("CREATE"), objects.Step("make x", "CREATE x"))


def test_a_secret_step_is_kept_out_of_audit_and_message() -> None:
    step = objects.Step("set the password of x", "ALTER ROLE x PASSWORD 'SCRAM-1'", secret=True)
    cursor = Cursor()
    objects.execute(cursor, step)
    assert cursor.said == ["SET pgaudit.log = 'none'", step.sql, "RESET pgaudit.log"]
    with pytest.raises(objects.ObjectsError) as raised:
        objects.execute(Cursor("ALTER"), step)
    assert "SCRAM" not in str(raised.value)
    assert raised.value.__suppress_context__


def test_a_session_logs_no_statement() -> None:
    said = " ".join(objects.QUIET)
    for name in ("log_statement", "log_min_duration_statement", "log_min_error_statement"):
        assert name in said
