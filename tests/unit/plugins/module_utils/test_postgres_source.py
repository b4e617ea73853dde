# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import sys
import types
from typing import Any

import pytest
from ansible_collections.holdfast.stateful.plugins.module_utils import postgres_source
from ansible_collections.holdfast.stateful.plugins.module_utils.postgres_source import (
    STANDBY,
    UNKNOWN,
    WRITABLE,
    Source,
    promotion_blockers,
    start_blockers,
)

LEADER = Source("a1", "10.0.1.1", WRITABLE, "", "17", True)
REPLICA = Source("a2", "10.0.1.2", STANDBY, "", "17", True)
SILENT = Source("a3", "10.0.1.3", UNKNOWN, "timeout expired")


@pytest.mark.parametrize("lost", [False, True])
@pytest.mark.parametrize("seen", [[LEADER], [SILENT, LEADER], [REPLICA, LEADER, SILENT]])
def test_a_source_that_takes_writes_is_never_overruled(seen: list[Source], lost: bool) -> None:
    (said,) = promotion_blockers(seen, lost)
    assert "a1 (10.0.1.1) takes writes" in said


@pytest.mark.parametrize("seen", [[SILENT], [REPLICA], [REPLICA, SILENT], []])
def test_what_was_not_seen_is_stated_by_an_operator(seen: list[Source]) -> None:
    (said,) = promotion_blockers(seen, False)
    assert "source_is_lost=true" in said
    assert all(source.name in said for source in seen)
    assert promotion_blockers(seen, True) == []


def test_a_copy_begins_from_one_writable_member_of_the_same_major_that_has_the_slot() -> None:
    assert start_blockers([REPLICA, LEADER, SILENT], "17", "b") == []


@pytest.mark.parametrize(
    ("seen", "major", "says"),
    [
        ([REPLICA, SILENT], "17", "found 0"),
        ([LEADER, LEADER], "17", "found 2"),
        ([], "17", "found 0"),
        ([LEADER], "15", "expected PostgreSQL 15"),
        ([Source("a1", "10.0.1.1", WRITABLE, "", "17", False)], "17", "replication slot b"),
    ],
)
def test_anything_else_blocks_the_copy(seen: list[Source], major: str, says: str) -> None:
    assert any(says in text for text in start_blockers(seen, major, "b"))


class Cursor:
    def __init__(self, row: Any) -> None:
        self.row = row

    def __enter__(self) -> Cursor:
        return self

    def __exit__(self, *_error: object) -> None:
        return None

    def execute(self, _sql: str, _values: Any) -> None:
        if isinstance(self.row, Exception):
            raise self.row

    def fetchone(self) -> Any:
        return self.row


class Connection:
    autocommit = False

    def __init__(self, row: Any) -> None:
        self.row = row

    def cursor(self) -> Cursor:
        return Cursor(self.row)

    def close(self) -> None:
        return None


class RefusedError(Exception):
    pass


PARAMS = {"source_port": 5432, "source_user": "rewind", "source_ca": "/ca", "cert": "/c", "key": "/k", "slot": "b"}


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ((False, 17, True), (WRITABLE, "17", True)),
        ((True, 17, False), (STANDBY, "17", False)),
        (RefusedError("canceling statement\nCONTEXT: x"), (UNKNOWN, None, None)),
        (None, (UNKNOWN, None, None)),
    ],
)
def test_a_member_is_asked_over_verified_tls(
    row: Any, expected: tuple[Any, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, Any] = {}

    def connect(**options: Any) -> Connection:
        seen.update(options)
        if row is None:
            raise RefusedError("could not connect\n")
        return Connection(row)

    fake = types.SimpleNamespace(connect=connect, Error=RefusedError)
    monkeypatch.setitem(sys.modules, "psycopg2", fake)  # type: ignore[arg-type]
    found = postgres_source.ask({"name": "a1", "address": "10.0.1.1"}, PARAMS)
    assert (found.state, found.major, found.slot) == expected
    assert (seen["sslmode"], seen["sslrootcert"]) == ("verify-full", "/ca")
