# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Resumes this host's PgBouncer when something stays paused for too long, whoever paused it.

Runs as PgBouncer's own user and reaches its console through the unix socket: no password, no network, no PostgreSQL.
"""

from __future__ import annotations

import argparse
import os
import socket
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

NAME = "holdfast-pgbouncer-deadman"
INTERVAL = 0.5
#: The first PgBouncer with SHOW STATE. One before tells it by how it refuses to pause a database that is not there.
TELLS_STATE = (1, 19)
NO_DATABASE = "holdfast_asks_if_all_is_paused"


class Clock:
    """Remembers since when each thing has been paused; "*" is the whole pooler."""

    def __init__(self, limit: float) -> None:
        """Take the seconds that a pause may last."""
        self.limit = limit
        self.since: dict[str, float] = {}
        self.asked = float("-inf")
        self.active = False

    def asks_now(self, now: float) -> bool:
        """Say whether an old PgBouncer is asked again: it logs each question, so twice in a limit and at its end."""
        overdue = now - self.since.get("*", now) >= self.limit
        if now - self.asked < self.limit / 2 and not overdue:
            return False
        self.asked = now
        return True

    def overdue(self, paused: Iterable[str], now: float) -> list[str]:
        """Return what has been paused for longer than the limit."""
        self.since = {name: self.since.get(name, now) for name in paused}
        return sorted(name for name, begin in self.since.items() if now - begin >= self.limit)


def paused_now(modes: dict[str, str], databases: list[dict[str, Any]]) -> list[str]:
    """Return what the console says is paused or suspended. What it does not say clearly counts as paused."""
    whole = [] if modes.get("active") == "yes" else ["*"]
    return whole + [str(row["name"]) for row in databases if str(row.get("paused")) != "0"]


def resume_command(name: str) -> str:
    """Return the console's command."""
    return "RESUME" if name == "*" else f'RESUME "{name}"'


def say(text: str) -> None:
    """Write one line to the journal."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def notify(state: str) -> None:
    """Tell systemd, where it listens."""
    where = os.environ.get("NOTIFY_SOCKET", "")
    if where:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
            channel.connect("\0" + where[1:] if where.startswith("@") else where)
            channel.sendall(state.encode())


def rows(cursor: Any, command: str) -> list[dict[str, Any]]:
    """Run a command of the console and return its rows."""
    cursor.execute(command)
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def tells_state(version: str) -> bool:
    """Say whether a pooler of this version has SHOW STATE."""
    numbers = version.split("/")[0].split(".")
    return (int(numbers[0]), int(numbers[1])) >= TELLS_STATE


def whole_mode(cursor: Any, clock: Clock, tells: bool, now: float) -> dict[str, str]:
    """Return whether the pooler as a whole is active."""
    if tells:
        return {str(row["key"]): str(row["value"]) for row in rows(cursor, "SHOW STATE")}
    if clock.asks_now(now):
        try:
            cursor.execute(f'PAUSE "{NO_DATABASE}"')
        except Exception as error:
            if "no such database" not in str(error) and "already suspended/paused" not in str(error):
                raise
            clock.active = "no such database" in str(error)
    return {"active": "yes"} if clock.active else {}


def look(cursor: Any, clock: Clock, tells: bool = True) -> None:
    """Observe once, and resume what is overdue."""
    now = time.monotonic()
    modes = whole_mode(cursor, clock, tells, now)
    for name in clock.overdue(paused_now(modes, rows(cursor, "SHOW DATABASES")), now):
        what = "the pooler" if name == "*" else f"database {name}"
        say(f"{what} was paused for {clock.limit:g} s: resuming it")
        cursor.execute(resume_command(name))
        if name == "*":
            clock.active = True


def watch(path: str, port: int, clock: Clock, answered: str = "") -> None:
    """Watch over one session until it ends; the time of the file `answered` says when the pooler last did."""
    import psycopg2  # type: ignore[import-untyped,unused-ignore]

    connection = psycopg2.connect(
        host=path, port=port, user="pgbouncer", dbname="pgbouncer", application_name=NAME, connect_timeout=5
    )
    connection.autocommit = True
    try:
        tells = tells_state(str(connection.get_parameter_status("server_version")))
        say("watching")
        with connection.cursor() as cursor:
            while True:
                look(cursor, clock, tells)
                if answered:
                    Path(answered).touch()
                notify("READY=1\nWATCHDOG=1")
                time.sleep(INTERVAL)
    finally:
        connection.close()


def main() -> None:
    """Watch for ever: a pooler that can't be asked now may be there, and paused, a moment later."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--socket", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--answered", default="", help="file whose time says when the pooler last answered")
    given = parser.parse_args()
    clock, last = Clock(given.seconds), ""
    while True:
        try:
            watch(given.socket, given.port, clock, given.answered)
        except Exception as error:  # noqa: BLE001 - nothing may end the watch
            found = f"{type(error).__name__}: {str(error).strip()}"
            if found != last:
                say(f"no session with the pooler: {found}")
            last = found
        notify("READY=1\nWATCHDOG=1")
        time.sleep(INTERVAL)


if __name__ == "__main__":
    main()
