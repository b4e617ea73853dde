# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sessions with one PgBouncer: its admin console, and the path to the leader that its clients use."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

ADMIN_DATABASE = "pgbouncer"
PATH_DATABASE = "holdfast_path"
DEADMAN = "holdfast-pgbouncer-deadman"
# A session that asks for the path names itself, so that logs tell it from applications.
APPLICATION = "holdfast-switchover"
# The first PgBouncer that says whether all of it is paused; one before tells it by how it refuses a pause.
TELLS_STATE = (1, 19)
NO_DATABASE = "holdfast_asks_if_all_is_paused"


class PoolerError(Exception):
    """A pooler could not be asked, or refused: a sentence that names the member."""


@dataclass(frozen=True)
class Login:
    """How every pooler of a service is reached."""

    port: int
    user: str
    password: str = field(repr=False)
    ca: str = ""


@dataclass(frozen=True)
class State:
    """What a pooler says of itself: whether anything is paused, and whether its dead-man watches."""

    databases: tuple[str, ...]
    paused: tuple[str, ...]
    watched: bool


class Session:
    """One session with one member's pooler; ``database`` is its console or one of its databases."""

    def __init__(self, member: Mapping[str, Any], login: Login, database: str, timeout: float = 2.0) -> None:
        """Connect, or raise with what was found."""
        try:
            import psycopg2  # type: ignore[import-untyped,unused-ignore]
        except ImportError as error:
            raise PoolerError("expected python3-psycopg2 on the host, found none: the role installs it") from error
        self.where = f"{member['name']} ({member['address']}:{login.port}, {database})"
        self.error: Any = psycopg2.Error
        try:
            self.connection = psycopg2.connect(
                host=member["address"],
                port=login.port,
                dbname=database,
                user=login.user,
                password=login.password,
                sslmode="verify-full",
                sslrootcert=login.ca,
                connect_timeout=max(2, int(timeout)),
                application_name=APPLICATION,
            )
            self.connection.autocommit = True
        except psycopg2.Error as error:
            raise PoolerError(f"{self.where}: expected a session, found: {str(error).strip()}") from None

    def run(self, command: str) -> list[dict[str, Any]]:
        """Send one command and return its rows."""
        try:
            with self.connection.cursor() as cursor:
                cursor.execute(command)
                if cursor.description is None:
                    return []
                names = [column[0] for column in cursor.description]
                return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
        except self.error as error:
            raise PoolerError(f"{self.where}: {command}: {str(error).strip()}") from None

    def version(self) -> tuple[int, ...]:
        """Return the pooler's version, as every session begins with it."""
        said = str(self.connection.get_parameter_status("server_version"))
        found = re.match(r"(\d+)\.(\d+)", said)
        if not found:
            raise PoolerError(f"{self.where}: expected a version such as 1.24.1/bouncer, found {said}")
        return int(found[1]), int(found[2])

    def close(self) -> None:
        """End the session."""
        with contextlib.suppress(self.error):
            self.connection.close()


def quoted(database: str) -> str:
    """Return a database's name as the console takes it; it knows no escapes, so only plain names pass."""
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,63}", database):
        raise PoolerError(f"expected a plain database name, found {database!r}")
    return f'"{database}"'


def read_state(session: Session) -> State:
    """Ask a console for everything that a gate needs."""
    whole = [] if is_active(session) else ["*"]
    rows = session.run("SHOW DATABASES")
    clients = session.run("SHOW CLIENTS")
    return State(
        tuple(str(row["name"]) for row in rows),
        (*whole, *(str(row["name"]) for row in rows if str(row["paused"]) != "0")),
        any(str(row.get("application_name")) == DEADMAN for row in clients),
    )


def is_active(session: Session) -> bool:
    """Say whether the pooler as a whole is neither paused nor suspended."""
    if session.version() < TELLS_STATE:
        try:
            session.run(f"PAUSE {quoted(NO_DATABASE)}")
        except PoolerError as error:
            # It looks whether all is paused before it looks for the database.
            if "no such database" in str(error) or "already suspended/paused" in str(error):
                return "no such database" in str(error)
            raise
        raise PoolerError(f"{session.where}: expected no database {NO_DATABASE}, found one: remove it")
    modes = {str(row["key"]): str(row["value"]) for row in session.run("SHOW STATE")}
    if "active" not in modes:
        raise PoolerError(f"{session.where}: SHOW STATE: expected the key active, found {sorted(modes)}")
    return modes["active"] == "yes"


def read_path(session: Session) -> str:
    """Return the address of the server at the end of the path, or "" while that server does not take writes."""
    rows = session.run("SELECT pg_is_in_recovery() AS standby, host(inet_server_addr()) AS address")
    return "" if not rows or rows[0]["standby"] else str(rows[0]["address"])


def users_of(session: Session, names: Sequence[str]) -> dict[str, list[str]]:
    """Return from which addresses clients of this pooler are logged in as each of the users."""
    found: dict[str, set[str]] = {}
    for row in session.run("SHOW CLIENTS"):
        if row.get("user") in names:
            found.setdefault(str(row["user"]), set()).add(str(row.get("addr")))
    return {user: sorted(addresses) for user, addresses in found.items()}


def renew_servers(session: Session) -> None:
    """Let every server connection be replaced as soon as its transaction ends; clients notice nothing."""
    session.run("RECONNECT")


def busy(session: Session, databases: tuple[str, ...]) -> list[str]:
    """Return who holds server connections of these databases, for a message."""
    rows = session.run("SHOW SERVERS")
    found = [row for row in rows if row.get("database") in databases and row.get("state") == "active"]
    return sorted({f"{row.get('user')} in {row.get('database')}" for row in found})
