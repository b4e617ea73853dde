# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The function through which poolers look up verifiers, and the two roles around it, converged on the leader.

They live in the database ``postgres``, which no application owns. The function runs as a role that can't log in and
may read six columns. Only the poolers' role may call it, and it never returns the verifier of a superuser or of a
replication role.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.holdfast.stateful.plugins.module_utils.postgres_objects import (
    PLAIN,
    QUIET,
    Login,
    ObjectsError,
    quote,
    session,
)

SCHEMA = "holdfast_pooler"
OWNER = "holdfast_pooler_owner"
FUNCTION = f"{SCHEMA}.lookup(text)"
COLUMNS = ("rolcanlogin", "rolname", "rolpassword", "rolreplication", "rolsuper", "rolvaliduntil")
SETTINGS = ["search_path=pg_catalog, pg_temp"]
BODY = (
    "SELECT a.rolname::text, a.rolpassword FROM pg_catalog.pg_authid AS a WHERE a.rolname = wanted"
    " AND a.rolcanlogin AND NOT a.rolsuper AND NOT a.rolreplication AND a.rolpassword LIKE 'SCRAM-SHA-256$%'"
    " AND (a.rolvaliduntil IS NULL OR a.rolvaliduntil > pg_catalog.now())"
)


@dataclass
class Found:
    """What is there; ``function`` is its body, owner, whether it runs as its owner, settings, and who may call it."""

    roles: dict[str, dict[str, Any]] = field(default_factory=dict)
    schema_owner: str | None = None
    schema_users: frozenset[str] = frozenset()
    columns: frozenset[str] = frozenset()
    function: tuple[str, str, bool, tuple[str, ...], frozenset[str]] | None = None


def create_function(lookup: str) -> str:
    """Return what makes the function: sent together it is one transaction, so the public can never call it."""
    return "; ".join(
        (
            f"CREATE OR REPLACE FUNCTION {SCHEMA}.lookup(wanted text) RETURNS TABLE (username text, verifier text)"
            f" LANGUAGE sql STABLE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body${BODY}$body$",
            f"ALTER FUNCTION {FUNCTION} OWNER TO {quote(OWNER)}",
            f"REVOKE ALL ON FUNCTION {FUNCTION} FROM PUBLIC",
            f"GRANT EXECUTE ON FUNCTION {FUNCTION} TO {quote(lookup)}",
        )
    )


def plan(login: Login, found: Found, salt: Callable[[], bytes] = lambda: os.urandom(16)) -> list[tuple[str, str]]:
    """Return (what, SQL) for everything that differs, in an order that works."""
    steps: list[tuple[str, str]] = []
    owner = found.roles.get(OWNER)
    if owner is None:
        steps.append((f"create role {OWNER}", f"CREATE ROLE {quote(OWNER)} NOLOGIN {PLAIN}"))
    elif owner["login"] or owner["elevated"]:
        steps.append((f"reduce role {OWNER}", f"ALTER ROLE {quote(OWNER)} NOLOGIN {PLAIN}"))
    steps.extend(login.statements(found.roles.get(login.name), salt))
    if found.schema_owner is None:
        steps.append((f"create schema {SCHEMA}", f"CREATE SCHEMA {SCHEMA} AUTHORIZATION {quote(OWNER)}"))
    elif found.schema_owner != OWNER:
        steps.append((f"give schema {SCHEMA} to {OWNER}", f"ALTER SCHEMA {SCHEMA} OWNER TO {quote(OWNER)}"))
    if found.schema_users != {OWNER, login.name}:
        name = quote(login.name)
        steps.append(
            (
                f"let only {login.name} into schema {SCHEMA}",
                f"REVOKE ALL ON SCHEMA {SCHEMA} FROM PUBLIC; GRANT USAGE ON SCHEMA {SCHEMA} TO {name}",
            )
        )
    if not set(COLUMNS) <= found.columns:
        grant = f"GRANT SELECT ({', '.join(COLUMNS)}) ON pg_catalog.pg_authid TO {quote(OWNER)}"
        steps.append((f"let {OWNER} read verifiers", grant))
    if found.function != (BODY, OWNER, True, tuple(SETTINGS), frozenset({OWNER, login.name})):
        steps.append((f"make function {FUNCTION}", create_function(login.name)))
    return steps


def look(cursor: Any, login: Login) -> Found:
    """Observe what is there."""
    found = Found()
    cursor.execute(
        "SELECT rolname, rolcanlogin, rolsuper OR rolcreatedb OR rolcreaterole OR rolreplication OR rolbypassrls,"
        " rolconnlimit, rolpassword FROM pg_authid WHERE rolname = ANY(%s)",
        ([OWNER, login.name],),
    )
    for name, may_login, elevated, limit, verifier in cursor.fetchall():
        found.roles[name] = {"login": may_login, "elevated": elevated, "connection_limit": limit, "verifier": verifier}
    cursor.execute(
        "SELECT pg_get_userbyid(nspowner), array(SELECT pg_get_userbyid(grantee)::text"
        " FROM aclexplode(coalesce(nspacl, acldefault('n', nspowner)))) FROM pg_namespace WHERE nspname = %s",
        (SCHEMA,),
    )
    for owner, users in cursor.fetchall():
        found.schema_owner, found.schema_users = owner, frozenset(users)
    cursor.execute(
        "SELECT attname FROM pg_attribute, aclexplode(attacl) AS acl WHERE attrelid = 'pg_catalog.pg_authid'::regclass"
        " AND acl.privilege_type = 'SELECT' AND pg_get_userbyid(acl.grantee) = %s",
        (OWNER,),
    )
    found.columns = frozenset(row[0] for row in cursor.fetchall())
    cursor.execute(
        "SELECT prosrc, pg_get_userbyid(proowner), prosecdef, proconfig, array(SELECT pg_get_userbyid(grantee)::text"
        " FROM aclexplode(coalesce(proacl, acldefault('f', proowner)))) FROM pg_proc WHERE oid = to_regprocedure(%s)",
        (FUNCTION,),
    )
    for body, owner, definer, settings, users in cursor.fetchall():
        found.function = (body, owner, definer, tuple(settings or ()), frozenset(users))
    return found


def converge(port: int, login: Login, check: bool) -> list[str]:
    """Observe and, unless checking, change what differs; return what was or would be done."""
    with session(port) as connection, connection.cursor() as cursor:
        for statement in QUIET:
            cursor.execute(statement)
        steps = plan(login, look(cursor, login))
        for what, sql in [] if check else steps:
            try:
                cursor.execute(sql)
            except Exception as error:  # noqa: BLE001 - psycopg2 is only on the host, and nothing of it may pass
                # The statement may hold a verifier: only its purpose and PostgreSQL's code go out.
                code = getattr(error, "pgcode", None) or type(error).__name__
                raise ObjectsError(f"{what}: expected success, found {code}") from None
        return [what for what, _sql in steps]
