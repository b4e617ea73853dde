# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The function through which poolers look up verifiers, and the two roles around it, converged on the leader.

They live in the database ``postgres``, which no application owns; for a PgBouncer that can look a login up only in the
database that it asks for, in each of these (docs/adr/0081). The function runs as a role that can't log in and may read
six columns. Only the poolers' role may call it, and it never returns the verifier of a superuser or of a replication
role.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.holdfast.stateful.plugins.module_utils import postgres_roles
from ansible_collections.holdfast.stateful.plugins.module_utils.postgres_objects import (
    ObjectsError,
    Step,
    execute,
    leader_session,
    quote,
)
from ansible_collections.holdfast.stateful.plugins.module_utils.postgres_roles import (
    Group,
    Login,
    RoleFound,
    plan_roles,
)

SCHEMA = "holdfast_pooler"
OWNER = "holdfast_pooler_owner"
FUNCTION = f"{SCHEMA}.lookup(text)"
COLUMNS = ("rolcanlogin", "rolname", "rolpassword", "rolreplication", "rolsuper", "rolvaliduntil")
SETTINGS = ["search_path=pg_catalog, pg_temp"]
# The owner of a database may set a search path for all its sessions; a role's own wins over that.
LOGIN_SETTINGS = {"search_path": "pg_catalog"}
HOME = "postgres"
BODY = (
    "SELECT a.rolname::text, a.rolpassword FROM pg_catalog.pg_authid AS a WHERE a.rolname = wanted"
    " AND a.rolcanlogin AND NOT a.rolsuper AND NOT a.rolreplication AND a.rolpassword LIKE 'SCRAM-SHA-256$%'"
    " AND (a.rolvaliduntil IS NULL OR a.rolvaliduntil > pg_catalog.now())"
)


@dataclass
class Found:
    """What is there; ``function`` is its body, owner, whether it runs as its owner, settings, and who may call it."""

    schema_owner: str | None = None
    schema_users: frozenset[str] = frozenset()
    columns: frozenset[str] = frozenset()
    function: tuple[str, str, bool, tuple[str, ...], frozenset[str]] | None = None
    connects: bool = True


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


def plan(
    login: Login,
    found: Found,
    roles: Mapping[str, RoleFound],
    salt: Callable[[], bytes] = lambda: os.urandom(16),
    database: str = HOME,
) -> list[Step]:
    """Return everything that differs, in an order that works; refuse a schema that an application has made first."""
    if database != HOME and found.schema_owner not in {None, OWNER}:
        raise ObjectsError(
            f"database {database}: expected schema {SCHEMA} to belong to {OWNER} or not to exist, found that it belongs"
            f" to {found.schema_owner}: rename it; nothing was changed there"
        )
    steps = list(plan_roles([Group(OWNER)], [login], roles, salt))
    if not found.connects:
        grant = f"GRANT CONNECT ON DATABASE {quote(database)} TO {quote(login.name)}"
        steps.append(Step(f"let {login.name} connect to {database}", grant))
    if found.schema_owner is None:
        steps.append(Step(f"create schema {SCHEMA}", f"CREATE SCHEMA {SCHEMA} AUTHORIZATION {quote(OWNER)}"))
    elif found.schema_owner != OWNER:
        steps.append(Step(f"give schema {SCHEMA} to {OWNER}", f"ALTER SCHEMA {SCHEMA} OWNER TO {quote(OWNER)}"))
    if found.schema_users != {OWNER, login.name}:
        name = quote(login.name)
        steps.append(
            Step(
                f"let only {login.name} into schema {SCHEMA}",
                f"REVOKE ALL ON SCHEMA {SCHEMA} FROM PUBLIC; GRANT USAGE ON SCHEMA {SCHEMA} TO {name}",
            )
        )
    if not set(COLUMNS) <= found.columns:
        grant = f"GRANT SELECT ({', '.join(COLUMNS)}) ON pg_catalog.pg_authid TO {quote(OWNER)}"
        steps.append(Step(f"let {OWNER} read verifiers", grant))
    if found.function != (BODY, OWNER, True, tuple(SETTINGS), frozenset({OWNER, login.name})):
        steps.append(Step(f"make function {FUNCTION}", create_function(login.name)))
    return steps


def look(cursor: Any, name: str) -> Found:
    """Observe what is there for the poolers' role in the database that the cursor is connected to."""
    found = Found()
    cursor.execute(
        "SELECT count(*) FROM pg_database d, aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a"
        " WHERE d.datname = current_database() AND a.privilege_type = 'CONNECT'"
        " AND (a.grantee = 0 OR pg_get_userbyid(a.grantee) = %s)",
        (name,),
    )
    found.connects = cursor.fetchone()[0] > 0
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


def converge(port: int, login: Login, check: bool, databases: Sequence[str] = (HOME,)) -> list[str]:
    """Observe and, unless checking, change what differs in each database; return what was or would be done."""
    done: list[str] = []
    with leader_session(port) as cursor:
        cursor.execute("SELECT datname::text FROM pg_database")
        there = {name for (name,) in cursor.fetchall()}
    for database in databases:
        # One that is missing in check mode was reported already, and what would be inside can't be compared.
        if check and database not in there:
            continue
        with leader_session(port, database) as cursor:
            steps = plan(login, look(cursor, login.name), postgres_roles.look(cursor), database=database)
            for step in [] if check else steps:
                execute(cursor, step)
            done += [step.what if database == HOME else f"{database}: {step.what}" for step in steps]
    return done
