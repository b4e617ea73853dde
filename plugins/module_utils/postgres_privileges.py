# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The inside of one database: schemas, extensions, and rights, also on tables that do not exist yet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.holdfast.stateful.plugins.module_utils.postgres_databases import Database
from ansible_collections.holdfast.stateful.plugins.module_utils.postgres_objects import ObjectsError, Step, quote

OWN_SCHEMA = "holdfast"
#: What Holdfast itself needs in every database: an inspection without a superuser, and an audit of definitions.
OWN_EXTENSIONS = ("pgstattuple", "pgaudit")
#: Rights by kind of object: (letter in pg_default_acl, word in GRANT, rights of readers, rights of writers).
RIGHTS = (
    ("r", "TABLES", ("SELECT",), ("INSERT", "UPDATE", "DELETE")),
    ("S", "SEQUENCES", ("SELECT",), ("USAGE",)),
)
LOOK_SCHEMAS = (
    "SELECT n.nspname::text, pg_get_userbyid(n.nspowner)::text,"
    " ARRAY(SELECT coalesce(r.rolname::text, 'PUBLIC') || ' ' || a.privilege_type"
    " FROM aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) a LEFT JOIN pg_authid r ON r.oid = a.grantee)"
    " FROM pg_namespace n WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'"
)
LOOK_EXTENSIONS = (
    "SELECT a.name::text, e.oid IS NOT NULL, v.schema IS NOT NULL FROM pg_available_extensions a"
    " JOIN pg_available_extension_versions v ON v.name = a.name AND v.version = a.default_version"
    " LEFT JOIN pg_extension e ON e.extname = a.name"
)
LOOK_DEFAULTS = (
    "SELECT pg_get_userbyid(d.defaclrole)::text, n.nspname::text, d.defaclobjtype::text, r.rolname::text,"
    " a.privilege_type FROM pg_default_acl d JOIN pg_namespace n ON n.oid = d.defaclnamespace"
    " CROSS JOIN LATERAL aclexplode(d.defaclacl) a JOIN pg_authid r ON r.oid = a.grantee"
)
#: Objects that a group lacks a right on; what belongs to an extension is the extension's.
LOOK_GAPS = (
    "SELECT n.nspname::text, c.relkind = 'S', bool_or(NOT CASE WHEN c.relkind = 'S'"
    " THEN has_sequence_privilege(%(read)s, c.oid, 'SELECT') ELSE has_table_privilege(%(read)s, c.oid, 'SELECT') END),"
    " bool_or(NOT CASE WHEN c.relkind = 'S' THEN has_sequence_privilege(%(write)s, c.oid, 'USAGE')"
    " WHEN c.relkind IN ('r', 'p') THEN has_table_privilege(%(write)s, c.oid, 'INSERT')"
    " AND has_table_privilege(%(write)s, c.oid, 'UPDATE') AND has_table_privilege(%(write)s, c.oid, 'DELETE')"
    " ELSE true END) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
    " WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND n.nspname = ANY(%(schemas)s)"
    " AND NOT EXISTS (SELECT FROM pg_depend x WHERE x.classid = 'pg_class'::regclass AND x.objid = c.oid"
    " AND x.deptype = 'e') GROUP BY 1, 2"
)


@dataclass
class InsideFound:
    """The inside of a database as it is."""

    schemas: dict[str, tuple[str, frozenset[str]]] = field(default_factory=dict)
    available: dict[str, bool] = field(default_factory=dict)
    installed: frozenset[str] = frozenset()
    defaults: frozenset[tuple[str, str, str, str, str]] = frozenset()
    # (schema, letter of the kind) where the readers, or the writers, lack a right.
    gaps_read: frozenset[tuple[str, str]] = frozenset()
    gaps_write: frozenset[tuple[str, str]] = frozenset()
    audit_loaded: bool = False


def look(cursor: Any, wanted: Database) -> InsideFound:
    """Observe the inside of the database that the cursor is connected to."""
    found = InsideFound()
    cursor.execute(LOOK_SCHEMAS)
    found.schemas = {name: (owner, frozenset(grants)) for name, owner, grants in cursor.fetchall()}
    cursor.execute(LOOK_EXTENSIONS)
    rows = cursor.fetchall()
    found.available = {name: fixed for name, _installed, fixed in rows}
    found.installed = frozenset(name for name, installed, _fixed in rows if installed)
    cursor.execute(LOOK_DEFAULTS)
    found.defaults = frozenset(tuple(row) for row in cursor.fetchall())
    cursor.execute(
        "SELECT 'pgaudit' = ANY(regexp_split_to_array(current_setting('shared_preload_libraries'), '[ ,]+'))"
    )
    found.audit_loaded = bool(cursor.fetchone()[0])
    schemas = ["public", *(name for name, _owner in wanted.schemas)]
    cursor.execute(LOOK_GAPS, {"read": wanted.read, "write": wanted.write, "schemas": schemas})
    for schema, sequence, read, write in cursor.fetchall():
        kind = ("S" if sequence else "r",)
        found.gaps_read |= {(schema, *kind)} if read else frozenset()
        found.gaps_write |= {(schema, *kind)} if write else frozenset()
    return found


def check_available(cursor: Any, databases: Sequence[Database]) -> None:
    """Refuse, before anything is changed, extensions that no installed package brings."""
    cursor.execute("SELECT name::text FROM pg_available_extensions")
    available = {name for (name,) in cursor.fetchall()}
    for base in databases:
        missing = [name for name in base.extensions if name not in available]
        if missing:
            raise ObjectsError(
                f"database {base.name}: expected extensions {', '.join(missing)} to be installable, found no package"
                " that brings them: install it on every member, or remove them from the catalog; nothing was changed"
            )


def check_own_schema(cursor: Any, database: str) -> None:
    """Refuse, before anything is changed, a schema of our name that somebody else could put functions into."""
    cursor.execute("SELECT pg_get_userbyid(nspowner)::text FROM pg_namespace WHERE nspname = %s", (OWN_SCHEMA,))
    for (owner,) in cursor.fetchall():
        if owner != "postgres":
            raise ObjectsError(
                f"database {database}: expected schema {OWN_SCHEMA} to belong to postgres or not to exist, found that"
                f" it belongs to {owner}: rename it; nothing was changed"
            )


def plan_inside(wanted: Database, found: InsideFound, monitor: str) -> Iterator[Step]:
    """Yield everything that differs inside the database, in an order that works."""
    steps = [*_own(found, monitor), *_schemas(wanted, found), *_extensions(wanted, found)]
    for schema, owner in (("public", wanted.owner), *wanted.schemas):
        steps += _rights(wanted, found, schema, owner)
    for what, sql in steps:
        yield Step(f"{wanted.name}: {what}", sql, wanted.name)


Steps = Iterator[tuple[str, str]]


def _own(found: InsideFound, monitor: str) -> Steps:
    _owner, grants = found.schemas.get(OWN_SCHEMA, ("", frozenset()))
    if OWN_SCHEMA not in found.schemas:
        yield f"create schema {OWN_SCHEMA}", f"CREATE SCHEMA {OWN_SCHEMA} AUTHORIZATION postgres"
    if f"{monitor} USAGE" not in grants:
        yield f"let {monitor} use schema {OWN_SCHEMA}", f"GRANT USAGE ON SCHEMA {OWN_SCHEMA} TO {quote(monitor)}"
    for name in OWN_EXTENSIONS:
        # pgaudit refuses to be made before the restart that loads its library.
        ready = name in found.available and (name != "pgaudit" or found.audit_loaded)
        if ready and name not in found.installed:
            yield f"create extension {name}", f"CREATE EXTENSION {quote(name)} SCHEMA {OWN_SCHEMA}"


def _schemas(wanted: Database, found: InsideFound) -> Steps:
    for name, owner in wanted.schemas:
        if name not in found.schemas:
            yield f"create schema {name}", f"CREATE SCHEMA {quote(name)} AUTHORIZATION {quote(owner)}"
        elif found.schemas[name][0] != owner:
            what = f"give schema {name} to {owner} (it belongs to {found.schemas[name][0]})"
            yield what, f"ALTER SCHEMA {quote(name)} OWNER TO {quote(owner)}"


def _extensions(wanted: Database, found: InsideFound) -> Steps:
    for name in wanted.extensions:
        if name not in found.installed and name not in OWN_EXTENSIONS:
            # Some extensions name their schema themselves; the others go where everybody finds them.
            where = "" if found.available[name] else " SCHEMA public"
            yield f"create extension {name}", f"CREATE EXTENSION {quote(name)}{where}"


def _rights(wanted: Database, found: InsideFound, schema: str, owner: str) -> Steps:
    name = quote(schema)
    _owner, grants = found.schemas.get(schema, ("", frozenset()))
    if schema == "public" and any(grant.startswith("PUBLIC ") for grant in grants):
        yield "keep the public out of schema public", "REVOKE ALL ON SCHEMA public FROM PUBLIC"
    if f"{wanted.read} USAGE" not in grants:
        yield f"let {wanted.read} use schema {schema}", f"GRANT USAGE ON SCHEMA {name} TO {quote(wanted.read)}"
    creators = sorted({wanted.owner, owner})
    for letter, word, reads, writes in RIGHTS:
        for role, rights, gaps in ((wanted.read, reads, found.gaps_read), (wanted.write, writes, found.gaps_write)):
            listed = ", ".join(rights)
            if (schema, letter) in gaps:
                what = f"grant {listed.lower()} on all {word.lower()} of {schema} to {role}"
                yield what, f"GRANT {listed} ON ALL {word} IN SCHEMA {name} TO {quote(role)}"
            for creator in creators:
                there = {(creator, schema, letter, role, right) for right in rights}
                if not there <= found.defaults:
                    what = f"grant {listed.lower()} on new {word.lower()} of {creator} in {schema} to {role}"
                    base = f"ALTER DEFAULT PRIVILEGES FOR ROLE {quote(creator)} IN SCHEMA {name}"
                    yield what, f"{base} GRANT {listed} ON {word} TO {quote(role)}"


def drift(wanted: Database, found: InsideFound, known: Sequence[str]) -> Iterator[str]:
    """Yield what is there and not declared, and what waits for something; ``known`` are schemas of Holdfast itself."""
    declared = {"public", OWN_SCHEMA, *known, *(name for name, _owner in wanted.schemas)}
    for name in sorted(set(found.schemas) - declared):
        yield f"schema {wanted.name}/{name} is not declared"
    for name in sorted(found.installed - {"plpgsql", *OWN_EXTENSIONS, *wanted.extensions}):
        yield f"extension {wanted.name}/{name} is not declared"
    if not found.audit_loaded:
        yield f"database {wanted.name} has no audit of definitions until a restart loads pgaudit"
