# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tables partitioned by time: their rules and functions in the database, compared and converged."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.holdfast.stateful.plugins.module_utils.postgres_objects import (
    ObjectsError,
    Step,
    execute,
    literal,
    quote,
)
from ansible_collections.holdfast.stateful.plugins.module_utils.postgres_partition_sql import (
    CREATE_TABLE,
    FUNCTIONS,
    TABLE,
    body,
    create_function,
)

COLUMNS = ("schema_name", "table_name", "column_name", "every", "premake", "retention_days", "expired")
LOOK_TABLE = (
    "SELECT c.relkind::text, pg_get_partkeydef(c.oid), t.typname::text FROM pg_class c"
    " JOIN pg_namespace n ON n.oid = c.relnamespace"
    " LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = %s AND NOT a.attisdropped"
    " LEFT JOIN pg_type t ON t.oid = a.atttypid WHERE n.nspname = %s AND c.relname = %s"
)


@dataclass(frozen=True)
class Rule:
    """One declared table; the fields are the columns of the table of rules."""

    schema_name: str
    table_name: str
    column_name: str
    every: str
    premake: int
    retention_days: int | None
    expired: str

    @property
    def where(self) -> str:
        """Return the name people use."""
        return f"{self.schema_name}.{self.table_name}"


@dataclass
class PartitionsFound:
    """What is in the database."""

    has_table: bool = False
    functions: dict[str, str] = field(default_factory=dict)
    rules: dict[tuple[str, str], Rule] = field(default_factory=dict)


def look(cursor: Any) -> PartitionsFound:
    """Observe rules and functions."""
    found = PartitionsFound()
    cursor.execute(
        "SELECT p.proname::text, p.prosrc FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace"
        " WHERE n.nspname = 'holdfast' AND p.proname = ANY(%s)",
        (list(FUNCTIONS),),
    )
    found.functions = dict(cursor.fetchall())
    cursor.execute("SELECT to_regclass(%s) IS NOT NULL", (TABLE,))
    found.has_table = bool(cursor.fetchone()[0])
    if found.has_table:
        cursor.execute(f"SELECT {', '.join(COLUMNS)} FROM {TABLE}")  # noqa: S608 - names of our own
        found.rules = {(row[0], row[1]): Rule(*row) for row in cursor.fetchall()}
    return found


def check_tables(cursor: Any, database: str, rules: Sequence[Rule]) -> None:
    """Refuse, before anything is changed, tables whose rows would have to be moved."""
    for rule in rules:
        cursor.execute(LOOK_TABLE, (rule.column_name, rule.schema_name, rule.table_name))
        for kind, key, column_type in cursor.fetchall():
            where = f"table {database}/{rule.where}"
            if kind != "p":
                held = "that is no table"
                if kind == "r":
                    name = f"{quote(rule.schema_name)}.{quote(rule.table_name)}"
                    cursor.execute(f"SELECT EXISTS (SELECT FROM {name})")  # noqa: S608 - quoted
                    held = "an ordinary table " + ("with rows" if cursor.fetchone()[0] else "without rows")
                raise ObjectsError(
                    f"{where}: expected it to be partitioned by range of {rule.column_name}, found {held}: it is never"
                    f" rewritten. Make a table PARTITION BY RANGE ({rule.column_name}) beside it and move the rows;"
                    " nothing was changed"
                )
            if key != f"RANGE ({rule.column_name})" or column_type not in ("date", "timestamp", "timestamptz"):
                raise ObjectsError(
                    f"{where}: expected it to be partitioned by range of {rule.column_name}, a date or timestamp, found"
                    f" {key} of type {column_type}: correct the catalog or the table; nothing was changed"
                )


def plan_rules(database: str, rules: Sequence[Rule], found: PartitionsFound) -> Iterator[Step]:
    """Yield everything that differs in rules and functions; without a declared table nothing is installed."""
    if not rules and not found.has_table:
        return
    if not found.has_table:
        yield Step(f"{database}: create the table of partition rules", CREATE_TABLE, database)
    for name in FUNCTIONS:
        if found.functions.get(name) != body(name):
            yield Step(f"{database}: install function holdfast.{name}", create_function(name), database)
    for rule in rules:
        if found.rules.get((rule.schema_name, rule.table_name)) != rule:
            yield Step(f"{database}: set the partition rule of {rule.where}", upsert(rule), database)


def upsert(rule: Rule) -> str:
    """Return the statement that writes a rule."""
    values = [getattr(rule, column) for column in COLUMNS]
    shown = ", ".join("NULL" if v is None else literal(v) if isinstance(v, str) else f"{v:d}" for v in values)
    updates = ", ".join(f"{column} = excluded.{column}" for column in COLUMNS[2:])
    return (
        f"INSERT INTO {TABLE} ({', '.join(COLUMNS)}) VALUES ({shown})"  # noqa: S608 - literals are quoted
        f" ON CONFLICT (schema_name, table_name) DO UPDATE SET {updates}"
    )


def plan_now(cursor: Any, database: str) -> tuple[list[str], list[str]]:
    """Return what maintenance would do now, and what it waits for; raise for what it refuses."""
    cursor.execute("SELECT action, parent_table, partition, reason FROM holdfast.partition_plan()")
    todo: list[str] = []
    waits: list[str] = []
    refused: list[str] = []
    for action, parent, partition, reason in cursor.fetchall():
        name = f"{database}/{partition or parent}"
        if action == "refuse":
            refused.append(f"{name}: {reason}")
        elif action == "wait":
            waits.append(f"partitions of {name} wait: {reason}")
        else:
            todo.append(f"{database}: {action} partition {partition}")
    if refused:
        raise ObjectsError(f"partitions: {'; '.join(refused)}: correct the table or the catalog")
    return todo, waits


def maintain(cursor: Any, database: str) -> None:
    """Do what the plan says, and refuse to go on with anything left."""
    execute(cursor, Step(f"{database}: maintain partitions", "SELECT done FROM holdfast.maintain_partitions()"))
    failed = [done for (done,) in cursor.fetchall() if done.startswith("failed: ")]
    if failed:
        raise ObjectsError(f"database {database}: partitions: {'; '.join(failed)}")


def drift(database: str, rules: Sequence[Rule], found: PartitionsFound) -> Iterator[str]:
    """Yield rules that are kept and not declared."""
    declared = {(rule.schema_name, rule.table_name) for rule in rules}
    for schema, table in sorted(set(found.rules) - declared):
        yield f"partitions of {database}/{schema}.{table} are maintained, which is not declared"
