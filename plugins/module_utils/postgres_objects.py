# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The application's database and the roles around it, compared and converged on the leader."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import pwd
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

ITERATIONS = 4096
# What no role of an application may have.
PLAIN = "NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS"
QUIET = (
    "SET log_statement = 'none'",
    "SET log_min_duration_statement = -1",
    "SET log_min_error_statement = 'panic'",
    "SET pg_stat_statements.track_utility = off",
    "SET statement_timeout = '60s'",
    "SET lock_timeout = '10s'",
)


class ObjectsError(Exception):
    """PostgreSQL could not be asked, or refused: a sentence without any secret."""


def prepare(password: str) -> bytes:
    """Return a password as SCRAM hashes it (SASLprep leaves ASCII alone, and is NFKC for nearly all else)."""
    return (password if password.isascii() else unicodedata.normalize("NFKC", password)).encode()


def scram_verifier(password: str, salt: bytes, iterations: int = ITERATIONS) -> str:
    """Return what PostgreSQL stores for a password, so that the password itself is never sent."""
    salted = hashlib.pbkdf2_hmac("sha256", prepare(password), salt, iterations)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    text = [base64.b64encode(item).decode() for item in (salt, stored, server)]
    return f"SCRAM-SHA-256${iterations}:{text[0]}${text[1]}:{text[2]}"


def scram_matches(password: str, verifier: str | None) -> bool:
    """Say whether a stored verifier belongs to a password."""
    parts = re.fullmatch(r"SCRAM-SHA-256\$(\d+):([A-Za-z0-9+/=]+)\$[A-Za-z0-9+/=]+:[A-Za-z0-9+/=]+", verifier or "")
    if not parts:
        return False
    made = scram_verifier(password, base64.b64decode(parts[2]), int(parts[1]))
    return hmac.compare_digest(made, verifier or "")


def quote(name: str) -> str:
    """Return an identifier that SQL takes literally."""
    if not name or "\0" in name:
        raise ObjectsError(f"expected a name, found {name!r}")
    return '"' + name.replace('"', '""') + '"'


@dataclass
class Login:
    """A role that logs in."""

    name: str
    password: str
    connection_limit: int = -1

    def statements(self, found: Mapping[str, Any] | None, salt: Callable[[], bytes]) -> Iterator[tuple[str, str]]:
        """Yield (what, SQL) for everything that differs."""
        name = quote(self.name)
        if found is None:
            secret = scram_verifier(self.password, salt())
            limit = f"CONNECTION LIMIT {self.connection_limit:d}"
            yield f"create role {self.name}", f"CREATE ROLE {name} LOGIN {PLAIN} {limit} PASSWORD '{secret}'"
            return
        if found["elevated"] or not found["login"]:
            yield f"reduce role {self.name} to a plain login", f"ALTER ROLE {name} LOGIN {PLAIN}"
        if found["connection_limit"] != self.connection_limit:
            limit = f"CONNECTION LIMIT {self.connection_limit:d}"
            yield f"limit the connections of {self.name}", f"ALTER ROLE {name} {limit}"
        if not scram_matches(self.password, found["verifier"]):
            secret = scram_verifier(self.password, salt())
            yield f"set the password of {self.name}", f"ALTER ROLE {name} PASSWORD '{secret}'"


@dataclass
class Wanted:
    """One database, its owner, and a role that watches."""

    database: str
    owner: Login
    monitor: Login


@dataclass
class Found:
    """What is there of it."""

    roles: dict[str, dict[str, Any]] = field(default_factory=dict)
    database_owner: str | None = None
    public_may_connect: bool = False
    monitor_is_member: bool = False
    monitor_may_connect: bool = False


def plan(wanted: Wanted, found: Found, salt: Callable[[], bytes] = lambda: os.urandom(16)) -> list[tuple[str, str]]:
    """Return (what, SQL) for everything that differs, in an order that works."""
    steps: list[tuple[str, str]] = []
    for login in (wanted.owner, wanted.monitor):
        steps.extend(login.statements(found.roles.get(login.name), salt))
    database, owner, monitor = quote(wanted.database), quote(wanted.owner.name), quote(wanted.monitor.name)
    if found.database_owner is None:
        steps.append((f"create database {wanted.database}", f"CREATE DATABASE {database} OWNER {owner}"))
    elif found.database_owner != wanted.owner.name:
        what = f"give database {wanted.database} to {wanted.owner.name} (it belongs to {found.database_owner})"
        steps.append((what, f"ALTER DATABASE {database} OWNER TO {owner}"))
    if found.database_owner is None or found.public_may_connect:
        steps.append((f"keep the public out of {wanted.database}", f"REVOKE ALL ON DATABASE {database} FROM PUBLIC"))
    if not found.monitor_is_member:
        steps.append((f"let {wanted.monitor.name} read statistics", f"GRANT pg_monitor TO {monitor}"))
    if found.database_owner is None or not found.monitor_may_connect:
        what = f"let {wanted.monitor.name} connect to {wanted.database}"
        steps.append((what, f"GRANT CONNECT ON DATABASE {database} TO {monitor}"))
    return steps


def look(cursor: Any, wanted: Wanted) -> Found:
    """Observe what is there."""
    found = Found()
    names = [wanted.owner.name, wanted.monitor.name]
    cursor.execute(
        "SELECT rolname, rolcanlogin, rolsuper OR rolcreatedb OR rolcreaterole OR rolreplication OR rolbypassrls,"
        " rolconnlimit, rolpassword FROM pg_authid WHERE rolname = ANY(%s)",
        (names,),
    )
    for name, login, elevated, limit, verifier in cursor.fetchall():
        found.roles[name] = {"login": login, "elevated": elevated, "connection_limit": limit, "verifier": verifier}
    cursor.execute(
        "SELECT pg_get_userbyid(datdba), EXISTS (SELECT FROM aclexplode(coalesce(datacl, acldefault('d', datdba)))"
        " WHERE grantee = 0) FROM pg_database WHERE datname = %s",
        (wanted.database,),
    )
    for owner, public in cursor.fetchall():
        found.database_owner, found.public_may_connect = owner, public
    if wanted.monitor.name in found.roles:
        cursor.execute("SELECT pg_has_role(%s, 'pg_monitor', 'MEMBER')", (wanted.monitor.name,))
        found.monitor_is_member = bool(cursor.fetchone()[0])
        if found.database_owner is not None:
            # Through the public does not count: that is taken away.
            cursor.execute(
                "SELECT EXISTS (SELECT FROM pg_database, aclexplode(datacl) AS acl WHERE datname = %s"
                " AND acl.grantee = %s::regrole AND acl.privilege_type = 'CONNECT')",
                (wanted.database, quote(wanted.monitor.name)),
            )
            found.monitor_may_connect = bool(cursor.fetchone()[0])
    return found


@contextmanager
def session(port: int, user: str = "postgres", socket: str = "/var/run/postgresql") -> Iterator[Any]:
    """Open a session as the superuser through the local socket, which proves who we are by our effective user."""
    try:
        import psycopg2  # type: ignore[import-untyped,unused-ignore]
    except ImportError as error:
        raise ObjectsError("expected python3-psycopg2 on the host, found none: the role installs it") from error
    entry = pwd.getpwnam(user)
    os.setegid(entry.pw_gid)
    os.seteuid(entry.pw_uid)
    try:
        connection = psycopg2.connect(host=socket, port=port, user=user, dbname="postgres", connect_timeout=10)
    except psycopg2.Error as error:
        raise ObjectsError(f"{socket}:{port}: expected a session as {user}, found: {str(error).strip()}") from error
    finally:
        os.seteuid(0)
        os.setegid(0)
    connection.autocommit = True
    try:
        yield connection
    finally:
        connection.close()


def converge(port: int, wanted: Wanted, check: bool) -> list[str]:
    """Observe and, unless checking, change what differs; return what was or would be done."""
    with session(port) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT pg_is_in_recovery()")
        if cursor.fetchone()[0]:
            raise ObjectsError("expected the leader, found a server in recovery: the leader moved, run again")
        for statement in QUIET:
            cursor.execute(statement)
        steps = plan(wanted, look(cursor, wanted))
        for what, sql in [] if check else steps:
            try:
                cursor.execute(sql)
            except Exception as error:  # noqa: BLE001 - psycopg2 is only on the host, and nothing of it may pass
                # The statement may hold a verifier: only its purpose and PostgreSQL's code go out.
                code = getattr(error, "pgcode", None) or type(error).__name__
                raise ObjectsError(f"{what}: expected success, found {code}") from None
        return [what for what, _sql in steps]
