# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PostgreSQL's declared objects, resolved: what the keys stand for, which role owns what, who reaches it."""

from __future__ import annotations

from typing import Any

from ansible_collections.holdfast.stateful.plugins.module_utils.contract_object_types import (
    Database,
    Partitioning,
    Role,
)
from ansible_collections.holdfast.stateful.plugins.module_utils.contract_types import Derived, Entry, View

#: The group roles of every database, from the least rights to the most.
LEVELS = ("read", "write", "owner")
#: What pgaudit writes, from the strictest data class that is kept here.
AUDIT: tuple[tuple[str, str, str], ...] = (
    ("retained", "write,ddl,role", "the law asks who changed it"),
    ("durable", "ddl,role", "who changed a table or a right; each write is in the WAL archive"),
    ("", "role", "who changed a right"),
)


def group(database: str, level: str) -> str:
    """Return the name of a database's group role."""
    return f"{database}_{level}"


def databases(entry: Entry) -> list[Database]:
    """Return all databases; the first is the one that the key database stands for, unless it is declared itself."""
    declared = list(entry.objects.databases)
    if entry.database in {item.name for item in declared}:
        return declared
    return [Database(entry.database), *declared]


def owner_of(entry: Entry, item: Database) -> str:
    """Return the role that owns a database."""
    if item.owner:
        return item.owner
    return entry.app_user if item.name == entry.database else group(item.name, "owner")


def logins(entry: Entry) -> list[Role]:
    """Return all logins; the first is the application's, unless it is declared itself."""
    declared = list(entry.objects.logins)
    if entry.app_user in {item.name for item in declared}:
        return declared
    return [Role(entry.app_user), *declared]


def limit_of(entry: Entry, item: Role) -> int:
    """Return how many connections a login may have: the application's as many as it wants, others ten."""
    if item.connection_limit is not None:
        return item.connection_limit
    return -1 if item.name == entry.app_user else 10


def groups(entry: Entry) -> list[Role]:
    """Return all group roles: three for each database, then the declared ones.

    Whoever may write may read, and whoever owns may do both. Members of the owners' group act as the owner, so that
    what they make belongs to it.
    """
    found: list[Role] = []
    for item in databases(entry):
        read, write, own = (group(item.name, level) for level in LEVELS)
        owner = owner_of(entry, item)
        found.append(Role(read))
        found.append(Role(write, (read,)))
        found.append(Role(own, (write,) if owner == own else (write, owner)))
    return [*found, *entry.objects.groups]


def above(entry: Entry, name: str) -> set[str]:
    """Return every role whose rights a role has through its memberships."""
    parents = {role.name: role.member_of for role in (*groups(entry), *logins(entry))}
    seen: set[str] = set()
    waiting = list(parents.get(name, ()))
    while waiting:
        found = waiting.pop()
        if found not in seen:
            seen.add(found)
            waiting += parents.get(found, ())
    return seen


def retention_floor(entry: Entry, item: Partitioning) -> int:
    """Return how many days the rows of a partitioned table must be kept at least; 0 where nothing retains them."""
    rows = [row for row in entry.data if item.data is None or row.name == item.data]
    return max((row.retention_days or 0 for row in rows if row.data_class == "retained"), default=0)


def derive_objects(view: View, out: Derived) -> None:
    """Put the resolved objects, and what pgaudit writes, into the settings."""
    entry = view.entry
    declared = "declared under objects, with what the keys database and app_user stand for"
    out.put("objects", "databases", [_database(entry, item) for item in databases(entry)], declared)
    because = "read, write and owner of each database: rights go to groups, people and programs into them"
    out.put("objects", "groups", [_group(item) for item in groups(entry)], because)
    because = "each with a password of its own and limits of its own, so that one tenant never takes all connections"
    out.put("objects", "logins", [_login(entry, item) for item in logins(entry)], because)
    rows = [{"user": row.user, "database": row.database, "network": row.network} for row in entry.objects.hba]
    out.put("objects", "hba", rows, "who reaches what beside the application's user; everything else is rejected")
    because = "made ahead and expired by timer on the member that leads; retention never below the data class's own"
    out.put("objects", "partitions", [_partitions(entry, item) for item in entry.objects.partitions], because)
    for data_class, classes, why in AUDIT:
        if not data_class or data_class in entry.classes:
            kept = f"{data_class} data is kept here" if data_class else "nothing kept here is the only copy"
            out.put("parameters", "pgaudit.log", classes, f"{kept}: {why}")
            break
    out.put("parameters", "pgaudit.log_parameter", "off", "values of statements may hold secrets")
    out.put("parameters", "pgaudit.log_catalog", "off", "tools read the catalog all day; nobody audits that")
    silent = [item.name for item in entry.objects.logins if item.name not in {row.user for row in entry.objects.hba}]
    for name in silent:
        if name != entry.app_user:
            out.advisories.append(f"Login {name} has no row in objects.hba: it reaches nothing yet.")
    limits = [limit_of(entry, item) for item in logins(entry)]
    most = int(out.settings["parameters"]["max_connections"])
    if sum(limit for limit in limits if limit > 0) > most:
        out.advisories.append(
            f"The connection limits of all logins add up to more than max_connections ({most}): together they can "
            "still keep each other out. Lower them, or put a pooler in front."
        )


def _database(entry: Entry, item: Database) -> dict[str, Any]:
    owner = owner_of(entry, item)
    return {
        "name": item.name,
        "owner": owner,
        "connection_limit": item.connection_limit,
        "settings": dict(item.settings),
        "extensions": list(item.extensions),
        "schemas": [{"name": schema.name, "owner": schema.owner or owner} for schema in item.schemas],
    }


def _group(item: Role) -> dict[str, Any]:
    return {"name": item.name, "member_of": list(item.member_of)}


def _login(entry: Entry, item: Role) -> dict[str, Any]:
    higher = above(entry, item.name)
    acting = {
        base.name: owner_of(entry, base)
        for base in databases(entry)
        if group(base.name, "owner") in higher and owner_of(entry, base) != item.name
    }
    return {
        "name": item.name,
        "secret": "app" if item.name == entry.app_user else item.name,
        "member_of": list(item.member_of),
        "connection_limit": limit_of(entry, item),
        "settings": dict(item.settings),
        "acts_as": acting,
    }


def _partitions(entry: Entry, item: Partitioning) -> dict[str, Any]:
    return {
        "database": item.database or entry.database,
        "schema": item.schema,
        "table": item.table,
        "column": item.column,
        "interval": item.interval,
        "premake": item.premake,
        "retention_days": item.retention_days,
        "expired": item.expired,
    }
