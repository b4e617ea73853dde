# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Judges what an inspection of PostgreSQL saw: findings with what was seen, what was expected, and what to do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

MIB = 1024 * 1024
#: Where PostgreSQL refuses new transactions; it warns 40 million before.
WRAPAROUND = 2**31 - 3_000_000
#: Thresholds and their defaults; the module documents them.
THRESHOLDS: dict[str, int] = {
    "long_transaction_seconds": 300,
    "idle_in_transaction_seconds": 60,
    "lock_wait_seconds": 5,
    "connections_percent": 80,
    "wraparound_percent": 30,
    "slot_retained_mb": 1024,
    "requested_checkpoints_percent": 50,
    "table_mb": 64,
    "index_mb": 8,
    "dead_percent": 20,
    "bloat_percent": 40,
    "scans": 100,
    "unused_days": 14,
}
Row = Mapping[str, Any]
Findings = Iterator[dict[str, str]]


def finding(severity: str, kind: str, thing: str, seen: str, expected: str, do: str) -> dict[str, str]:
    """Return one finding."""
    return {"severity": severity, "kind": kind, "thing": thing, "seen": seen, "expected": expected, "do": do}


def judge(cluster: Row, databases: Mapping[str, Row], limits: Mapping[str, int]) -> list[dict[str, str]]:
    """Return all findings of one member; what a standby merely copies is left to its leader."""
    found = [*connections(cluster, limits), *transactions(cluster, limits), *lock_chains(cluster, limits)]
    found += slots(cluster, limits)
    if not cluster.get("standby"):
        found += [*wraparound(cluster, databases, limits), *prepared(cluster, limits), *checkpoints(cluster, limits)]
        for name, seen in databases.items():
            found += [*indexes(name, seen), *tables(name, seen, limits)]
    order = {"critical": 0, "warning": 1, "info": 2}
    return sorted(found, key=lambda item: (order[item["severity"]], item["kind"], item["thing"]))


def rows(seen: Row, name: str) -> Sequence[Row]:
    """Return an answer; a question that could not be asked is reported elsewhere."""
    return seen.get(name) or []


def who(row: Row) -> str:
    """Return a session in words."""
    place = f" from {row['client']}" if row.get("client") else ""
    program = f" ({row['application']})" if row.get("application") else ""
    return f"process {row['pid']} of {row['role']} in {row['database']}{place}{program}"


def connections(cluster: Row, limits: Mapping[str, int]) -> Findings:
    """Yield connection pressure, of the cluster and of each role with a limit."""
    percent = limits["connections_percent"]
    for row in rows(cluster, "connections"):
        room = row["most"] - row["reserved"]
        if row["used"] * 100 >= room * percent:
            severity = "critical" if row["used"] * 100 >= room * 95 else "warning"
            seen = f"{row['used']} of {room} connections, {row['active']} of them at work"
            do = "put a pooler in front, or lower the limits of the tenants; more connections cost memory"
            yield finding(severity, "connections", "the cluster", seen, f"below {percent} %", do)
    for row in rows(cluster, "role_connections"):
        if row["used"] * 100 >= row["most"] * percent:
            severity = "critical" if row["used"] >= row["most"] else "warning"
            seen = f"{row['used']} of {row['most']} connections"
            do = "close idle ones, use a pool of its own size, or raise connection_limit in the catalog"
            yield finding(severity, "connections", f"role {row['role']}", seen, f"below {percent} %", do)


def transactions(cluster: Row, limits: Mapping[str, int]) -> Findings:
    """Yield transactions that hold back vacuum and planned leader moves."""
    for row in rows(cluster, "transactions"):
        idle = str(row["state"] or "").startswith("idle in transaction")
        if idle and row["state_seconds"] >= limits["idle_in_transaction_seconds"]:
            seen = f"idle in a transaction for {row['state_seconds']:.0f} s, open for {row['seconds']:.0f} s"
            expected = f"less than {limits['idle_in_transaction_seconds']} s idle"
            do = f"have the program commit before it waits; to end it now: SELECT pg_terminate_backend({row['pid']})"
            yield finding("warning", "idle_in_transaction", who(row), seen, expected, do)
        elif row["seconds"] >= limits["long_transaction_seconds"]:
            seen = f"a transaction open for {row['seconds']:.0f} s, {row['state']}"
            expected = f"less than {limits['long_transaction_seconds']} s"
            do = f"split it, or move it to a replica; to stop its statement: SELECT pg_cancel_backend({row['pid']})"
            yield finding("warning", "long_transaction", who(row), seen, expected, do)


def lock_chains(cluster: Row, limits: Mapping[str, int]) -> Findings:
    """Yield, for each session at the head of a queue, everybody who waits behind it."""
    waiting = {row["pid"]: row for row in rows(cluster, "lock_waits")}
    sessions = {row["pid"]: row for row in rows(cluster, "sessions")}
    heads: dict[int, list[Row]] = {}
    for row in waiting.values():
        for head in heads_of(row["pid"], waiting):
            heads.setdefault(head, []).append(row)
    for head, behind in sorted(heads.items()):
        longest = max(row["seconds"] for row in behind)
        if longest < limits["lock_wait_seconds"]:
            continue
        queue = ", ".join(f"{row['pid']} of {row['role']} ({row['mode']} on {row['object']})" for row in behind[:10])
        thing = who(sessions[head]) if head in sessions else f"process {head}"
        state = f", {sessions[head]['state']}" if head in sessions else ""
        seen = f"blocks {len(behind)} for up to {longest:.0f} s{state}: {queue}"
        do = f"find out what it waits for; to end it: SELECT pg_terminate_backend({head})"
        yield finding("critical", "lock_chain", thing, seen, f"waits below {limits['lock_wait_seconds']} s", do)


def heads_of(pid: int, waiting: Mapping[int, Row]) -> set[int]:
    """Return who is at the head of the queue that a process waits in; in a circle, everybody of it that is left."""
    heads: set[int] = set()
    seen = {pid}
    todo = list(waiting[pid]["blocked_by"])
    while todo:
        other = todo.pop()
        if other in seen:
            continue
        seen.add(other)
        if other in waiting and waiting[other]["blocked_by"]:
            todo += waiting[other]["blocked_by"]
        else:
            heads.add(other)
    return heads


def prepared(cluster: Row, limits: Mapping[str, int]) -> Findings:
    """Yield prepared transactions that nobody ended."""
    for row in rows(cluster, "prepared"):
        if row["seconds"] >= limits["long_transaction_seconds"]:
            seen, expected = f"prepared {row['seconds']:.0f} s ago", f"less than {limits['long_transaction_seconds']} s"
            do = f"ask its owner, then in {row['database']}: COMMIT PREPARED or ROLLBACK PREPARED '{row['gid']}'"
            thing = f"prepared transaction {row['gid']} of {row['role']}"
            yield finding("critical", "prepared_transaction", thing, seen, expected, do)


def wraparound(cluster: Row, databases: Mapping[str, Row], limits: Mapping[str, int]) -> Findings:
    """Yield databases whose oldest row comes near to where PostgreSQL stops taking writes."""
    for row in rows(cluster, "wraparound"):
        for word, age, start in (
            ("transaction", row["xid_age"], row["xid_start"]),
            ("multixact", row["multixact_age"], row["multixact_start"]),
        ):
            percent = age * 100 // WRAPAROUND
            # Autovacuum begins by itself at its own limit: only what it did not manage is news.
            if percent < limits["wraparound_percent"] or age < start * 1.1:
                continue
            old = [
                f"{table['schema']}.{table['table']}"
                for table in rows(databases.get(row["database"], {}), "oldest_tables")
            ]
            severity = "critical" if percent >= 75 else "warning"
            seen = f"{word} age {age}, {percent} % of what there is" + (
                f"; oldest: {', '.join(old[:3])}" if old else ""
            )
            do = "end old transactions, slots and prepared transactions, then VACUUM FREEZE the oldest tables"
            thing = f"database {row['database']}"
            yield finding(severity, "wraparound", thing, seen, f"below {limits['wraparound_percent']} %", do)


def slots(cluster: Row, limits: Mapping[str, int]) -> Findings:
    """Yield slots that hold WAL on the disk, and lost ones."""
    for row in rows(cluster, "slots"):
        thing, held = f"replication slot {row['slot']}", (row["retained_bytes"] or 0) // MIB
        if row["wal_status"] == "lost":
            do = "rebuild its consumer, then drop the slot"
            yield finding("critical", "slot", thing, "its WAL is gone", "WAL that its consumer still needs", do)
        elif held >= limits["slot_retained_mb"]:
            use = "in use" if row["active"] else "not in use"
            do = "start its consumer, or drop the slot if nobody will come back for it"
            seen, expected = f"holds {held} MiB of WAL, {use}", f"less than {limits['slot_retained_mb']} MiB"
            yield finding("warning" if row["active"] else "critical", "slot", thing, seen, expected, do)


def checkpoints(cluster: Row, limits: Mapping[str, int]) -> Findings:
    """Yield checkpoints that come because WAL ran out of room instead of by the clock."""
    for row in rows(cluster, "checkpoints"):
        both = row["timed"] + row["requested"]
        if both >= 20 and row["requested"] * 100 >= both * limits["requested_checkpoints_percent"]:
            seen = f"{row['requested']} of {both} checkpoints were asked for"
            do = "raise max_wal_size, unless backups and leader moves asked for them"
            expected = f"below {limits['requested_checkpoints_percent']} %"
            yield finding("warning", "checkpoints", "the cluster", seen, expected, do)


def indexes(database: str, seen: Row) -> Findings:
    """Yield indexes that cost writes and serve nobody; unused ones need all members, see the filter."""
    for row in rows(seen, "duplicate_indexes"):
        first, *others = row["indexes"]
        thing = f"index {database}/{row['schema']}.{', '.join(others)}"
        do = f"DROP INDEX CONCURRENTLY, and keep {first}"
        yield finding("info", "duplicate_index", thing, f"the same as {first}", "one index for one purpose", do)
    for row in rows(seen, "invalid_indexes"):
        thing = f"index {database}/{row['schema']}.{row['index']}"
        do = f"REINDEX INDEX CONCURRENTLY, or drop it: a CREATE INDEX CONCURRENTLY on {row['table']} failed"
        yield finding("warning", "invalid_index", thing, "not valid: written to, never read", "a valid index", do)


def tables(database: str, seen: Row, limits: Mapping[str, int]) -> Findings:
    """Yield tables that want an index, a vacuum, or to be packed."""
    least = limits["table_mb"] * MIB
    for row in rows(seen, "scanned_tables"):
        if row["bytes"] >= least and row["scans"] >= limits["scans"] and row["scans"] > row["index_scans"]:
            detail = f"{row['scans']} scans of {row['rows_per_scan']} rows each, {row['index_scans']} by index"
            do = "look for the statement in pg_stat_statements, and at EXPLAIN for the column it filters by"
            expected = "large tables read by index"
            yield finding("warning", "missing_index", f"table {name(database, row)}", detail, expected, do)
    for row in rows(seen, "dead_rows"):
        both = row["dead"] + row["live"]
        if row["bytes"] >= least and row["dead"] * 100 >= both * limits["dead_percent"]:
            when = "never vacuumed" if row["vacuum_seconds"] is None else f"vacuumed {row['vacuum_seconds']:.0f} s ago"
            detail = f"{row['dead']} of {both} rows are dead, {when}"
            do = "look for old transactions and slots that hold vacuum back, then VACUUM it"
            expected = f"below {limits['dead_percent']} %"
            yield finding("warning", "dead_rows", f"table {name(database, row)}", detail, expected, do)
    for row in rows(seen, "measured_tables"):
        empty = row["dead_tuple_len"] + row["approx_free_space"]
        if row["table_len"] >= least and empty * 100 >= row["table_len"] * limits["bloat_percent"]:
            detail = f"{empty // MIB} of {row['table_len'] // MIB} MiB are dead or free"
            do = "lower its autovacuum_vacuum_scale_factor; to give the space back: VACUUM FULL in a window"
            expected = f"below {limits['bloat_percent']} %"
            yield finding("info", "bloat", f"table {name(database, row)}", detail, expected, do)


def name(database: str, row: Row) -> str:
    """Return a table's full name."""
    return f"{database}/{row['schema']}.{row['table']}"


def unused(answers: Sequence[Mapping[str, Any]], limits: Mapping[str, int]) -> list[dict[str, str]]:
    """Return the indexes that no member used for long enough; what serves a replica's readers is in use."""
    common: dict[str, Row] | None = None
    for answer in answers:
        here = {
            f"{database}/{row['schema']}.{row['index']}": row
            for database, seen in answer["databases"].items()
            if all(row["seconds"] >= limits["unused_days"] * 86400 for row in rows(seen, "statistics"))
            and rows(seen, "statistics")
            for row in rows(seen, "unused_indexes")
            if row["bytes"] >= limits["index_mb"] * MIB
        }
        common = here if common is None else {key: row for key, row in common.items() if key in here}
    return [
        finding(
            "info",
            "unused_index",
            f"index {key}",
            f"{row['bytes'] // MIB} MiB on table {row['table']}, never read on any member",
            f"used at least once in {limits['unused_days']} days",
            "make sure no yearly report needs it, then DROP INDEX CONCURRENTLY",
        )
        for key, row in sorted((common or {}).items())
    ]
