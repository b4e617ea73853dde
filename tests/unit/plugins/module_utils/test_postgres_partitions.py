# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from ansible_collections.holdfast.stateful.plugins.module_utils import postgres_partitions as partitions
from ansible_collections.holdfast.stateful.plugins.module_utils.postgres_objects import ObjectsError
from ansible_collections.holdfast.stateful.plugins.module_utils.postgres_partition_sql import FUNCTIONS, body

RULE = partitions.Rule("public", "events", "at", "day", 4, None, "detach")


class Cursor:
    """Gives prepared answers in turn, and remembers the questions."""

    def __init__(self, *answers: list[tuple[Any, ...]]) -> None:
        self.answers = list(answers)
        self.said: list[str] = []

    def execute(self, sql: str, *_values: Any) -> None:
        self.said.append(sql)

    def fetchall(self) -> list[tuple[Any, ...]]:
        return self.answers.pop(0)

    def fetchone(self) -> tuple[Any, ...]:
        return self.answers.pop(0)[0]


def good() -> partitions.PartitionsFound:
    return partitions.PartitionsFound(True, {name: body(name) for name in FUNCTIONS}, {("public", "events"): RULE})


def plan(found: partitions.PartitionsFound, rules: tuple[partitions.Rule, ...] = (RULE,)) -> list[str]:
    return [step.what for step in partitions.plan_rules("db", rules, found)]


def test_nothing_to_do() -> None:
    assert plan(good()) == []
    assert plan(partitions.PartitionsFound(), ()) == [], "nothing is installed where nothing is declared"


def test_everything_to_do() -> None:
    assert plan(partitions.PartitionsFound()) == [
        "db: create the table of partition rules",
        *(f"db: install function holdfast.{name}" for name in FUNCTIONS),
        "db: set the partition rule of public.events",
    ]


def test_one_thing_to_do() -> None:
    found = good()
    found.functions["partition_plan"] = "SELECT 1"
    assert plan(found) == ["db: install function holdfast.partition_plan"]
    found = good()
    found.rules[("public", "events")] = dataclasses.replace(RULE, premake=5)
    assert plan(found) == ["db: set the partition rule of public.events"]


def test_a_rule_is_written_with_its_values_quoted() -> None:
    sql = partitions.upsert(dataclasses.replace(RULE, table_name="it's", retention_days=30))
    assert "VALUES ('public', 'it''s', 'at', 'day', 4, 30, 'detach')" in sql
    assert ", NULL, 'detach')" in partitions.upsert(RULE)


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ([[("r", None, "date")], [(True,)]], "an ordinary table with rows"),
        ([[("r", None, "date")], [(False,)]], "an ordinary table without rows"),
        ([[("v", None, "date")]], "that is no table"),
        ([[("p", "RANGE (other)", "date")]], r"RANGE \(other\)"),
        ([[("p", "RANGE (at)", "int4")]], "int4"),
    ],
)
def test_a_table_whose_rows_would_have_to_move_is_refused(answers: list[Any], said: str) -> None:
    with pytest.raises(ObjectsError, match=rf"table db/public.events: expected .* found .*{said}"):
        partitions.check_tables(Cursor(*answers), "db", (RULE,))


@pytest.mark.parametrize("rows", [[], [("p", "RANGE (at)", "timestamptz")], [("p", "RANGE (at)", "date")]])
def test_a_table_that_fits_or_is_still_missing_is_not(rows: list[Any]) -> None:
    partitions.check_tables(Cursor(rows), "db", (RULE,))


def test_the_plan_of_the_moment() -> None:
    rows = [("create", "public.events", "public.events_p1", "made ahead"), ("wait", "public.x", None, "missing")]
    todo, waits = partitions.plan_now(Cursor(rows), "db")
    assert todo == ["db: create partition public.events_p1"]
    assert waits == ["partitions of db/public.x wait: missing"]
    with pytest.raises(ObjectsError, match=r"db/public\.x: overlaps"):
        partitions.plan_now(Cursor([*rows, ("refuse", "public.x", None, "overlaps")]), "db")


def test_what_maintenance_could_not_do_is_an_error() -> None:
    partitions.maintain(Cursor([("create public.events_p1",)]), "db")
    with pytest.raises(ObjectsError, match=r"failed: create public\.events_p2: locked"):
        partitions.maintain(Cursor([("create a",), ("failed: create public.events_p2: locked",)]), "db")


def test_a_rule_that_is_not_declared_is_reported() -> None:
    assert list(partitions.drift("db", (), good())) == [
        "partitions of db/public.events are maintained, which is not declared"
    ]
