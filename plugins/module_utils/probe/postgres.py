# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The PostgreSQL probe: libpq with several hosts, any of whose poolers leads to the leader, and verify-full."""

from __future__ import annotations

import contextlib
import dataclasses
import socket
import time

import psycopg

from .base import Check, Probe, ProbeError, Target, refused

TABLE = "holdfast_probe"
#: How long a host that could not be reached is left out, as pgjdbc does (hostRecheckSeconds).
RECHECK_SECONDS = 10.0
REACH_SECONDS = 1.0


class PostgresProbe(Probe):
    """Records are rows of a table; a commit is the acknowledgement."""

    _connection: psycopg.Connection[tuple[object, ...]] | None = None

    def __init__(self, target: Target) -> None:
        """Take the target; nothing is connected yet."""
        super().__init__(target)
        # Until when a host is left out.
        self._unreachable: dict[str, float] = {}

    def _hosts(self) -> list[tuple[str, int]]:
        """Return the hosts that can be reached, or all of them: libpq would wait for a dead one at every connection."""
        seen = self._unreachable
        for host, port in self.target.hosts:
            if time.monotonic() < seen.get(host, 0.0):
                continue
            try:
                socket.create_connection((host, port), timeout=REACH_SECONDS).close()
            except OSError:
                seen[host] = time.monotonic() + RECHECK_SECONDS
            else:
                seen.pop(host, None)
        return [item for item in self.target.hosts if item[0] not in seen] or list(self.target.hosts)

    def _connect(self, **overrides: object) -> psycopg.Connection[tuple[object, ...]]:
        target, hosts = self.target, self._hosts()
        options: dict[str, object] = {
            "host": ",".join(host for host, _port in hosts),
            "port": ",".join(str(port) for _host, port in hosts),
            "dbname": target.database,
            "user": target.user,
            "password": target.password,
            "sslmode": "verify-full",
            "sslrootcert": target.ca_file,
            "connect_timeout": max(2, int(target.timeout)),
            "application_name": "holdfast-probe",
            "keepalives_idle": 2,
            "keepalives_interval": 1,
            "keepalives_count": 3,
            "tcp_user_timeout": int(target.timeout * 1000),
            # A pooler gives each transaction a server of its own: nothing may depend on what was prepared on the last.
            "prepare_threshold": None,
        }
        return psycopg.connect(autocommit=True, **{**options, **overrides})  # type: ignore[arg-type]

    def open(self) -> str:
        """Connect to the first pooler that answers."""
        self.close()
        try:
            self._connection = self._connect()
            row = self._connection.execute(
                "select host(inet_server_addr()), s.version, s.cipher from (select) as here"
                " left join pg_stat_ssl s on s.pid = pg_backend_pid() and s.ssl"
            ).fetchone()
            # "if not exists" looks before it creates: two clients that begin together both see nothing.
            with contextlib.suppress(psycopg.errors.UniqueViolation, psycopg.errors.DuplicateTable):
                self._connection.execute(
                    f"create table if not exists {TABLE} (run text, seq bigint, at timestamptz default now())"
                )
        except psycopg.Error as error:
            raise ProbeError(f"{self.target.service}: {str(error).strip()}") from error
        # Asked of our own side; what the pooler speaks behind it, a second login may not see: it has become its role.
        if row is None or not self._connection.pgconn.ssl_in_use:
            raise ProbeError(f"{self.target.service}: connected without TLS")
        info, seen = self._connection.info, " ".join(str(item) for item in row[1:] if item)
        return f"{info.host}:{info.port}, then {row[0]} accepts writes{', ' if seen else ''}{seen}"

    def close(self) -> None:
        """Disconnect."""
        with contextlib.suppress(Exception):
            if self._connection is not None:
                self._connection.close()
        self._connection = None

    def _execute(self, query: str, *values: object) -> psycopg.Cursor[tuple[object, ...]]:
        if self._connection is None:
            self.open()
        if self._connection is None:
            raise ProbeError(f"{self.target.service}: not connected")
        try:
            return self._connection.execute(query, values)
        except psycopg.Error as error:
            self.close()
            raise ProbeError(f"{self.target.service}: {str(error).strip()}") from error

    def write(self, run: str, sequence: int) -> None:
        """Insert and commit one row."""
        self._execute(f"insert into {TABLE} (run, seq) values (%s, %s)", run, sequence)  # noqa: S608 - a constant

    def read(self, run: str) -> list[int]:
        """Return the rows' numbers."""
        query = f"select seq from {TABLE} where run = %s order by seq"  # noqa: S608 - a constant
        rows = self._execute(query, run).fetchall()
        return [int(str(row[0])) for row in rows]

    def forget(self, run: str) -> None:
        """Delete the run's rows."""
        self._execute(f"delete from {TABLE} where run = %s", run)  # noqa: S608 - a constant

    def refusals(self) -> list[Check]:
        """Plain text, a wrong password and a foreign certificate authority."""
        wrong = dataclasses.replace(self.target, password="not-the-password")  # noqa: S106
        expected = (psycopg.OperationalError,)
        return [
            refused(
                "plain text is refused",
                lambda: self._connect(sslmode="disable", sslrootcert="").close(),
                expected,
                "SSL required",
            ),
            refused(
                "a wrong password is refused",
                lambda: PostgresProbe(wrong)._connect().close(),
                expected,
                "SASL authentication failed",
                "password authentication failed",
            ),
        ]
