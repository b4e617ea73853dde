# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Databases of a PostgreSQL cluster, seen from outside: owner, limits, settings, and who may connect."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.holdfast.stateful.plugins.module_utils.postgres_objects import (
    Step,
    quote,
    setting,
    settings_of,
)

LOOK = (
    "SELECT d.datname::text, pg_get_userbyid(d.datdba)::text, d.datconnlimit,"
    " ARRAY(SELECT coalesce(r.rolname::text, 'PUBLIC') || ' ' || a.privilege_type"
    " FROM aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a LEFT JOIN pg_authid r ON r.oid = a.grantee),"
    " s.setconfig FROM pg_database d LEFT JOIN pg_db_role_setting s ON s.setdatabase = d.oid AND s.setrole = 0"
    " WHERE NOT d.datistemplate AND d.datname <> 'postgres'"
)


@dataclass(frozen=True)
class Database:
    """A database as it should be, with the group roles that its rights go to."""

    name: str
    owner: str
    connection_limit: int = -1
    settings: Mapping[str, str] = field(default_factory=dict)
    extensions: tuple[str, ...] = ()
    schemas: tuple[tuple[str, str], ...] = ()

    @property
    def read(self) -> str:
        """Return the group that reads."""
        return f"{self.name}_read"

    @property
    def write(self) -> str:
        """Return the group that writes."""
        return f"{self.name}_write"


@dataclass
class DatabaseFound:
    """A database as it is."""

    owner: str
    connection_limit: int = -1
    grants: frozenset[str] = frozenset()
    settings: dict[str, str] = field(default_factory=dict)


def look(cursor: Any) -> dict[str, DatabaseFound]:
    """Return every database by name, PostgreSQL's own excepted."""
    cursor.execute(LOOK)
    return {
        name: DatabaseFound(owner, limit, frozenset(grants), settings_of(config))
        for name, owner, limit, grants, config in cursor.fetchall()
    }


def plan_database(wanted: Database, found: DatabaseFound | None, monitor: str) -> Iterator[Step]:
    """Yield everything that differs in the database itself."""
    name, base = wanted.name, quote(wanted.name)
    if found is None:
        limit = f"CONNECTION LIMIT {wanted.connection_limit:d}"
        yield Step(f"create database {name}", f"CREATE DATABASE {base} OWNER {quote(wanted.owner)} {limit}")
    elif found.owner != wanted.owner:
        what = f"give database {name} to {wanted.owner} (it belongs to {found.owner})"
        yield Step(what, f"ALTER DATABASE {base} OWNER TO {quote(wanted.owner)}")
    if found is not None and found.connection_limit != wanted.connection_limit:
        sql = f"ALTER DATABASE {base} CONNECTION LIMIT {wanted.connection_limit:d}"
        yield Step(f"limit the connections to {name}", sql)
    if found is None or any(grant.startswith("PUBLIC ") for grant in found.grants):
        yield Step(f"keep the public out of {name}", f"REVOKE ALL ON DATABASE {base} FROM PUBLIC")
    grants = found.grants if found else frozenset()
    for role, right in ((monitor, "CONNECT"), (wanted.read, "CONNECT"), (wanted.write, "TEMPORARY")):
        if f"{role} {right}" not in grants:
            sql = f"GRANT {right} ON DATABASE {base} TO {quote(role)}"
            yield Step(f"grant {right.lower()} on {name} to {role}", sql)
    settings = found.settings if found else {}
    for key, value in sorted(wanted.settings.items()):
        stored, sql = setting(key, value)
        if settings.get(key) != stored:
            yield Step(f"set {key} of database {name} to {value}", f"ALTER DATABASE {base} SET {key} = {sql}")


def drift(wanted: Sequence[Database], found: Mapping[str, DatabaseFound]) -> Iterator[str]:
    """Yield what is there and not declared."""
    declared = {base.name: base for base in wanted}
    for name, seen in sorted(found.items()):
        if name not in declared:
            yield f"database {name} is not declared"
            continue
        for key in sorted(set(seen.settings) - set(declared[name].settings)):
            yield f"database {name} has a setting {key}, which is not declared"
