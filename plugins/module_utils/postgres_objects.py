# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What all work on PostgreSQL's objects shares: a quiet session on the leader, verifiers, quoting, and steps."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import pwd
import re
import unicodedata
from collections.abc import Iterator, Sequence
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
    # Whoever owns a database could put a function of their own before PostgreSQL's.
    "SET search_path = pg_catalog, pg_temp",
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


def literal(value: str) -> str:
    """Return a text constant; what would need escapes is refused, as no declared value holds it."""
    if "\\" in value or "\0" in value:
        raise ObjectsError(f"expected a plain value, found {value!r}")
    return "'" + value.replace("'", "''") + "'"


@dataclass(frozen=True)
class Step:
    """One change: what it is for, the SQL, where it runs, and whether the SQL holds a verifier."""

    what: str
    sql: str
    database: str = "postgres"
    secret: bool = False


@dataclass
class Outcome:
    """What was or would be changed, and what is there but not declared."""

    changes: list[str] = field(default_factory=list)
    drift: list[str] = field(default_factory=list)


def setting(name: str, value: str) -> tuple[str, str]:
    """Return a setting as PostgreSQL stores it, and as SQL; a search path is a list of names."""
    if name != "search_path":
        return value, literal(value)
    names = [item.strip().strip('"') for item in value.split(",")]
    stored = ", ".join(item if re.fullmatch(r"[a-z_][a-z0-9_]*", item) else quote(item) for item in names)
    return stored, ", ".join(literal(item) for item in names)


def settings_of(rows: Sequence[str] | None) -> dict[str, str]:
    """Return stored settings by name."""
    return dict(row.partition("=")[::2] for row in rows or ())


def execute(cursor: Any, step: Step) -> None:
    """Make one change; a verifier is written to no log, not even to the audit's."""
    try:
        if step.secret:
            cursor.execute("SET pgaudit.log = 'none'")
        cursor.execute(step.sql)
        if step.secret:
            cursor.execute("RESET pgaudit.log")
    except Exception as error:  # noqa: BLE001 - psycopg2 is only on the host, and nothing of it may pass
        # The statement may hold a verifier: only its purpose and PostgreSQL's words go out, and no words then.
        code = getattr(error, "pgcode", None) or type(error).__name__
        said = "" if step.secret else f": {str(error).strip().splitlines()[0][:200]}"
        raise ObjectsError(f"{step.what}: expected success, found {code}{said}") from None


@contextmanager
def session(
    port: int, database: str = "postgres", user: str = "postgres", socket: str = "/var/run/postgresql"
) -> Iterator[Any]:
    """Open a quiet session as the superuser through the local socket; who we are is proven by our effective user."""
    try:
        import psycopg2  # type: ignore[import-untyped,unused-ignore]
    except ImportError as error:
        raise ObjectsError("expected python3-psycopg2 on the host, found none: the role installs it") from error
    entry = pwd.getpwnam(user)
    os.setegid(entry.pw_gid)
    os.seteuid(entry.pw_uid)
    try:
        connection = psycopg2.connect(host=socket, port=port, user=user, dbname=database, connect_timeout=10)
    except psycopg2.Error as error:
        where = f"{socket}:{port}/{database}"
        raise ObjectsError(f"{where}: expected a session as {user}, found: {str(error).strip()}") from error
    finally:
        os.seteuid(0)
        os.setegid(0)
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            for statement in QUIET:
                cursor.execute(statement)
            yield cursor
    finally:
        connection.close()


def in_recovery(cursor: Any) -> bool:
    """Say whether the server is a standby."""
    cursor.execute("SELECT pg_is_in_recovery()")
    return bool(cursor.fetchone()[0])


@contextmanager
def leader_session(port: int, database: str = "postgres") -> Iterator[Any]:
    """Open such a session where changes are possible, and nowhere else."""
    with session(port, database) as cursor:
        if in_recovery(cursor):
            raise ObjectsError("expected the leader, found a server in recovery: the leader moved, run again")
        yield cursor
