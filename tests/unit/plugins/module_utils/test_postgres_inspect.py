# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.holdfast.stateful.plugins.module_utils import postgres_inspect as inspection
from ansible_collections.holdfast.stateful.plugins.module_utils.postgres_inspect_queries import QUERIES, questions


class Cursor:
    """Answers with one row, and fails at statements that hold a word."""

    def __init__(self, fails: str = "\0") -> None:
        self.fails = fails
        self.description = [("nspname",), ("b",)]

    def execute(self, sql: str, *_values: Any) -> None:
        if self.fails in sql:
            raise ValueError("canceling statement due to statement timeout\nCONTEXT: x")

    def fetchall(self) -> list[tuple[Any, ...]]:
        return [("holdfast", 2)]


def test_answers_are_dictionaries() -> None:
    found = inspection.Inspection()
    assert found.ask(Cursor(), "x", "SELECT") == [{"nspname": "holdfast", "b": 2}]
    assert found.unobserved == []


def test_a_question_without_an_answer_is_remembered() -> None:
    found = inspection.Inspection()
    assert found.ask(Cursor("SELECT"), "x", "SELECT") is None
    assert found.unobserved == ["x: canceling statement due to statement timeout"]


def test_bloat_without_its_extension_is_unobserved() -> None:
    found = inspection.Inspection()
    cursor = Cursor()
    cursor.fetchall = list  # type: ignore[method-assign]
    assert inspection.measure(cursor, "db", {"thresholds": {"table_mb": 64}}, found) is None
    assert found.unobserved == ["db: bloat: extension pgstattuple is missing, run site.yml"]


@pytest.mark.parametrize("major", [15, 16, 17])
def test_every_series_is_asked_everything_once(major: int) -> None:
    names = [query.name for database in (False, True) for query in questions(major, database)]
    assert len(names) == len(set(names))
    assert set(names) == {query.name for query in QUERIES}


def test_no_text_of_a_statement_is_read() -> None:
    for query in QUERIES:
        assert "a.query," not in query.sql
        assert ".query " not in query.sql
