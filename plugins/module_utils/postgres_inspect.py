# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Asks one PostgreSQL member what an inspection wants to know, each question bounded in time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ansible_collections.holdfast.stateful.plugins.module_utils.postgres_inspect_queries import (
    EXTENSION,
    LARGEST,
    MEASURE,
    questions,
)
from ansible_collections.holdfast.stateful.plugins.module_utils.postgres_objects import ObjectsError, quote

PAGE = 8192
OLDEST = 15


@contextmanager
def connect(params: Mapping[str, Any], database: str) -> Iterator[Any]:
    """Yield a cursor of a read-only session over verified TLS."""
    try:
        import psycopg2  # type: ignore[import-untyped,unused-ignore]
    except ImportError as error:
        raise ObjectsError("expected python3-psycopg2 on the host, found none: the role installs it") from error
    limit = int(params["timeout"] * 1000)
    try:
        connection = psycopg2.connect(
            host=params["address"],
            port=params["port"],
            dbname=database,
            user=params["user"],
            password=params["password"],
            sslmode="verify-full",
            sslrootcert=params["ca"],
            connect_timeout=10,
            application_name="holdfast-inspect",
            options=f"-c statement_timeout={limit} -c lock_timeout=500 -c search_path=pg_catalog"
            " -c default_transaction_read_only=on",
        )
    except psycopg2.Error as error:
        where = f"{params['address']}:{params['port']}/{database}"
        raise ObjectsError(f"{where}: expected a session as {params['user']}, found: {str(error).strip()}") from error
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            yield cursor
    finally:
        connection.close()


class Inspection:
    """What was seen, and what could not be."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.cluster: dict[str, Any] = {}
        self.databases: dict[str, dict[str, Any]] = {}
        self.unobserved: list[str] = []

    def ask(self, cursor: Any, what: str, sql: str, values: tuple[Any, ...] = ()) -> list[dict[str, Any]] | None:
        """Return the answer as dictionaries; a question without one is remembered, never taken for "nothing"."""
        try:
            cursor.execute(sql, values or None)
            names = [column[0] for column in cursor.description]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
        except Exception as error:  # noqa: BLE001 - psycopg2 is only on the host
            lines = str(error).strip().splitlines() or [type(error).__name__]
            self.unobserved.append(f"{what}: {lines[0][:200]}")
            return None


def inspect(params: Mapping[str, Any]) -> Inspection:
    """Ask everything."""
    found = Inspection()
    for number, database in enumerate(params["databases"]):
        with connect(params, database) as cursor:
            cursor.execute("SELECT current_setting('server_version_num')::int, pg_is_in_recovery()")
            version, standby = cursor.fetchone()
            major = int(version) // 10000
            if major < OLDEST:
                raise ObjectsError(f"expected PostgreSQL {OLDEST} or later, found {major}")
            if number == 0:
                found.cluster = {"major": major, "version": f"{major}.{version % 10000}", "standby": bool(standby)}
                for query in questions(major, database=False):
                    found.cluster[query.name] = found.ask(cursor, query.name, query.sql)
            here = found.databases.setdefault(database, {})
            for query in questions(major, database=True):
                here[query.name] = found.ask(cursor, f"{database}: {query.name}", query.sql)
            # A standby has the same pages as its leader: measuring them once is enough.
            here["measured_tables"] = None if standby else measure(cursor, database, params, found)
    return found


def measure(cursor: Any, database: str, params: Mapping[str, Any], found: Inspection) -> list[dict[str, Any]] | None:
    """Measure the free and dead space of the largest tables, skipping pages the visibility map vouches for."""
    extension = found.ask(cursor, f"{database}: extension pgstattuple", EXTENSION)
    if not extension:
        if extension is not None:
            found.unobserved.append(f"{database}: bloat: extension pgstattuple is missing, run site.yml")
        return None
    pages = params["thresholds"]["table_mb"] * 1024 * 1024 // PAGE
    rows: list[dict[str, Any]] = []
    for table in found.ask(cursor, f"{database}: largest tables", LARGEST, (pages,)) or []:
        name = f"{database}: bloat of {table['nspname']}.{table['relname']}"
        sql = MEASURE.format(schema=quote(extension[0]["nspname"]))
        for seen in found.ask(cursor, name, sql, (table["oid"],)) or []:
            rows.append({"schema": table["nspname"], "table": table["relname"], **seen})
    return rows
