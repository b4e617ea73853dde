# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Drops exactly the objects that an operator named, none of which is declared, in use, or needed by another."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.holdfast.stateful.plugins.module_utils.postgres_objects import (
    ObjectsError,
    Step,
    execute,
    leader_session,
    quote,
)

FORMS = "database/NAME, role/NAME, schema/DATABASE/NAME, extension/DATABASE/NAME or partitions/DATABASE/SCHEMA.TABLE"
#: In the order in which they are dropped: what is inside a database first, roles after what they may own.
KINDS = {"extension": 2, "schema": 2, "partitions": 2, "database": 1, "role": 1}
OWN_DATABASES = {"postgres", "template0", "template1"}
OWN_SCHEMAS = {"public", "holdfast", "information_schema"}
OWN_EXTENSIONS = {"plpgsql", "pgstattuple", "pgaudit"}
ROLE = (
    "SELECT rolsuper OR rolreplication, (SELECT count(*) FROM pg_stat_activity a WHERE a.usesysid = r.oid),"
    " ARRAY(SELECT m.rolname::text FROM pg_auth_members x JOIN pg_authid m ON m.oid = x.member WHERE x.roleid = r.oid)"
    " FROM pg_authid r WHERE rolname = %s"
)
#: Objects that name the role as owner or in their rights; those inside databases that go first do not count.
ROLE_OBJECTS = (
    "SELECT coalesce(d.datname::text, 'the cluster'), CASE s.deptype WHEN 'o' THEN 'owns' ELSE 'has rights on' END,"
    " count(*) FROM pg_shdepend s LEFT JOIN pg_database d ON d.oid = s.dbid"
    " LEFT JOIN pg_database b ON s.classid = 'pg_database'::regclass AND b.oid = s.objid"
    " WHERE s.refclassid = 'pg_authid'::regclass AND s.refobjid = (SELECT oid FROM pg_authid WHERE rolname = %s)"
    " AND NOT coalesce(d.datname = ANY(%s), false) AND NOT coalesce(b.datname = ANY(%s), false)"
    " GROUP BY 1, 2 ORDER BY 1, 2"
)
SCHEMA = (
    "SELECT (SELECT count(*) FROM pg_depend x WHERE x.refclassid = 'pg_namespace'::regclass AND x.refobjid = n.oid"
    " AND x.deptype = 'n')"
    " FROM pg_namespace n WHERE nspname = %s"
)
EXTENSION = (
    "SELECT (SELECT count(*) FROM pg_depend x WHERE x.refclassid = 'pg_extension'::regclass AND x.refobjid = e.oid"
    " AND x.deptype = 'n') FROM pg_extension e WHERE extname = %s"
)


@dataclass(frozen=True)
class Target:
    """One object that was named."""

    kind: str
    name: str
    database: str = "postgres"

    @property
    def text(self) -> str:
        """Return it as it was named."""
        inside = KINDS[self.kind] == 2
        return "/".join([self.kind, *([self.database] if inside else []), self.name])


def parse(words: Sequence[str]) -> list[Target]:
    """Return what was named, in the order in which it is dropped."""
    targets = []
    for word in words:
        kind, *parts = word.strip().split("/")
        if kind not in KINDS or len(parts) != KINDS[kind] or not all(parts):
            raise ObjectsError(f"confirm: expected {FORMS}, found {word!r}: nothing was dropped")
        targets.append(Target(kind, parts[-1], *parts[:-1]))
    if not targets:
        raise ObjectsError(f"confirm: expected {FORMS}, found nothing: name what to drop")
    return sorted(dict.fromkeys(targets), key=lambda target: list(KINDS).index(target.kind))


def declared(objects: Mapping[str, Any], monitor: str, known: Sequence[str]) -> set[str]:
    """Return everything that is declared or Holdfast's own, as an operator would name it."""
    found = {f"role/{item['name']}" for kind in ("logins", "groups") for item in objects[kind]}
    found |= {f"role/{name}" for name in (monitor, "postgres", *known)}
    found |= {f"database/{name}" for name in OWN_DATABASES}
    for item in objects["databases"]:
        base = item["name"]
        found.add(f"database/{base}")
        found |= {f"schema/{base}/{schema['name']}" for schema in item["schemas"]}
        found |= {f"schema/{base}/{name}" for name in (*OWN_SCHEMAS, *known)}
        found |= {f"extension/{base}/{name}" for name in (*item["extensions"], *OWN_EXTENSIONS)}
    found |= {f"partitions/{item['database']}/{item['schema']}.{item['table']}" for item in objects["partitions"]}
    return found


def drop(port: int, targets: Sequence[Target], keep: set[str], check: bool) -> tuple[list[str], list[str]]:
    """Drop the targets, or nothing at all; return what was dropped (or would be) and what is not there."""
    going = [target.name for target in targets if target.kind == "database"]
    blockers: list[str] = []
    steps: list[tuple[Target, Step]] = []
    absent: list[str] = []
    for target in targets:
        if target.text in keep or target.name.startswith("pg_"):
            blockers.append(f"{target.text}: it is declared in the catalog, or PostgreSQL's or Holdfast's own")
            continue
        there, found = _look(port, target, going)
        blockers += [f"{target.text}: {text}" for text in found]
        if there:
            steps.append((target, _step(target)))
        else:
            absent.append(target.text)
    if blockers:
        raise ObjectsError(f"refused, nothing was dropped: {'; '.join(blockers)}")
    for target, step in [] if check else steps:
        with leader_session(port, target.database) as cursor:
            execute(cursor, step)
    return [target.text for target, _step in steps], absent


def _step(target: Target) -> Step:
    """Return the statement; without CASCADE and FORCE, so that PostgreSQL refuses what was missed here."""
    if target.kind == "partitions":
        schema, _dot, table = target.name.partition(".")
        where = f"schema_name = {_text(schema)} AND table_name = {_text(table)}"
        sql = f"DELETE FROM holdfast.partition_rule WHERE {where}"  # noqa: S608 - quoted
        return Step(f"drop {target.text}", sql, target.database)
    return Step(f"drop {target.text}", f"DROP {target.kind.upper()} {quote(target.name)}", target.database)


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _look(port: int, target: Target, going: list[str]) -> tuple[bool, list[str]]:
    """Return whether the object is there, and everything that stands against dropping it."""
    with leader_session(port) as cursor:
        cursor.execute("SELECT datname::text FROM pg_database")
        databases = {name for (name,) in cursor.fetchall()}
        if target.database not in databases:
            return False, []
        if target.kind == "database":
            return target.name in databases, list(_database_blockers(cursor, target))
        if target.kind == "role":
            return _role(cursor, target, going)
    with leader_session(port, target.database) as cursor:
        return _inside(cursor, target)


def _database_blockers(cursor: Any, target: Target) -> Iterator[str]:
    cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE datname = %s", (target.name,))
    count = cursor.fetchone()[0]
    if count:
        yield f"{count} sessions are connected to it: stop their programs first"
    cursor.execute("SELECT slot_name::text FROM pg_replication_slots WHERE database = %s", (target.name,))
    for (slot,) in cursor.fetchall():
        yield f"replication slot {slot} reads it: drop that first"


def _role(cursor: Any, target: Target, going: list[str]) -> tuple[bool, list[str]]:
    cursor.execute(ROLE, (target.name,))
    rows = cursor.fetchall()
    found: list[str] = []
    for powerful, sessions, members in rows:
        found += ["it is a superuser or replicates: look at it by hand"] if powerful else []
        found += [f"{sessions} sessions of it are connected"] if sessions else []
        found += [f"{', '.join(members)} would lose its rights"] if members else []
    cursor.execute(ROLE_OBJECTS, (target.name, going, going))
    for where, verb, count in cursor.fetchall():
        found.append(f"it {verb} {count} objects in {where}: reassign or revoke them first")
    return bool(rows), found


def _inside(cursor: Any, target: Target) -> tuple[bool, list[str]]:
    if target.kind == "partitions":
        cursor.execute("SELECT to_regclass('holdfast.partition_rule') IS NOT NULL")
        if not cursor.fetchone()[0]:
            return False, []
        schema, _dot, table = target.name.partition(".")
        sql = "SELECT 1 FROM holdfast.partition_rule WHERE schema_name = %s AND table_name = %s"
        cursor.execute(sql, (schema, table))
        return bool(cursor.fetchall()), []
    cursor.execute(SCHEMA if target.kind == "schema" else EXTENSION, (target.name,))
    rows = cursor.fetchall()
    what = "it holds" if target.kind == "schema" else "it is used by"
    return bool(rows), [f"{what} {count} objects: move or drop them first" for (count,) in rows if count]
