# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.holdfast.stateful.plugins.module_utils import postgres_findings as findings

LIMITS = findings.THRESHOLDS
MIB = 2**20


def session(pid: int, **more: Any) -> dict[str, Any]:
    base = {"pid": pid, "role": "app", "database": "orders", "application": "web", "client": "10.0.0.9"}
    return {**base, "state": "active", **more}


def waiting(pid: int, by: list[int], seconds: float = 10.0) -> dict[str, Any]:
    return session(pid, blocked_by=by, mode="AccessShareLock", object="t", seconds=seconds)


def kinds(cluster: dict[str, Any], databases: dict[str, Any] | None = None) -> list[tuple[str, str]]:
    found = findings.judge(cluster, databases or {}, LIMITS)
    assert all(item[key] for item in found for key in ("thing", "seen", "expected", "do"))
    return [(item["kind"], item["severity"]) for item in found]


def room(used: int) -> dict[str, Any]:
    return {"connections": [{"most": 103, "reserved": 3, "used": used, "active": 1}]}


CLUSTER = [
    (room(79), []),
    (room(80), [("connections", "warning")]),
    (room(95), [("connections", "critical")]),
    ({"role_connections": [{"role": "a", "most": 10, "used": 7}]}, []),
    ({"role_connections": [{"role": "a", "most": 10, "used": 8}]}, [("connections", "warning")]),
    ({"role_connections": [{"role": "a", "most": 10, "used": 10}]}, [("connections", "critical")]),
    ({"transactions": [session(1, seconds=299.0, state_seconds=299.0)]}, []),
    ({"transactions": [session(1, seconds=300.0, state_seconds=1.0)]}, [("long_transaction", "warning")]),
    (
        {"transactions": [session(1, seconds=61.0, state_seconds=60.0, state="idle in transaction (aborted)")]},
        [("idle_in_transaction", "warning")],
    ),
    ({"lock_waits": [waiting(2, [1], 4.9)]}, []),
    ({"lock_waits": [waiting(2, [1])]}, [("lock_chain", "critical")]),
    (
        {"prepared": [{"gid": "g", "role": "a", "database": "d", "seconds": 301.0}]},
        [("prepared_transaction", "critical")],
    ),
    ({"slots": [{"slot": "s", "active": True, "wal_status": "reserved", "retained_bytes": 1023 * MIB}]}, []),
    (
        {"slots": [{"slot": "s", "active": True, "wal_status": "extended", "retained_bytes": 1024 * MIB}]},
        [("slot", "warning")],
    ),
    (
        {"slots": [{"slot": "s", "active": False, "wal_status": "extended", "retained_bytes": 1024 * MIB}]},
        [("slot", "critical")],
    ),
    (
        {"slots": [{"slot": "s", "active": False, "wal_status": "lost", "retained_bytes": None}]},
        [("slot", "critical")],
    ),
    ({"checkpoints": [{"timed": 11, "requested": 9}]}, []),
    ({"checkpoints": [{"timed": 10, "requested": 10}]}, [("checkpoints", "warning")]),
    ({"checkpoints": None, "slots": None, "connections": None}, []),
]


@pytest.mark.parametrize(("cluster", "expected"), CLUSTER)
def test_the_cluster(cluster: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    assert kinds(cluster) == expected


def age(xid: int, multixact: int = 1) -> dict[str, Any]:
    ages = {"xid_age": xid, "multixact_age": multixact, "xid_start": 200_000_000, "multixact_start": 400_000_000}
    return {"wraparound": [{"database": "orders", **ages}]}


@pytest.mark.parametrize(
    ("cluster", "expected"),
    [
        (age(210_000_000), []),
        (age(700_000_000), [("wraparound", "warning")]),
        (age(1_700_000_000), [("wraparound", "critical")]),
        (age(1, 1_000_000_000), [("wraparound", "warning")]),
    ],
)
def test_wraparound(cluster: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    assert kinds(cluster) == expected
    assert kinds({**cluster, "standby": True}) == [], "a standby has its leader's rows"


def test_wraparound_names_the_oldest_tables() -> None:
    tables = {"orders": {"oldest_tables": [{"schema": "public", "table": "old"}]}}
    (found,) = findings.judge(age(700_000_000), tables, LIMITS)
    assert "public.old" in found["seen"]


def test_a_chain_is_told_from_its_head() -> None:
    cluster = {
        "lock_waits": [waiting(2, [1]), waiting(3, [2], 20.0), waiting(4, [2, 1]), waiting(9, [8])],
        "sessions": [session(1, state="idle in transaction"), session(8)],
    }
    found = findings.judge(cluster, {}, LIMITS)
    assert [item["thing"].split()[1] for item in found] == ["1", "8"]
    assert "blocks 3 for up to 20 s, idle in transaction" in found[0]["seen"]


def test_a_circle_has_no_head_and_ends() -> None:
    rows = {2: waiting(2, [3]), 3: waiting(3, [2])}
    assert findings.heads_of(2, rows) == set()


def table(**more: Any) -> dict[str, Any]:
    return {"schema": "public", "table": "t", "bytes": 64 * MIB, **more}


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        ({"scanned_tables": [table(scans=100, rows_per_scan=5, index_scans=99)]}, [("missing_index", "warning")]),
        ({"scanned_tables": [table(scans=100, rows_per_scan=5, index_scans=100)]}, []),
        ({"scanned_tables": [table(scans=99, rows_per_scan=5, index_scans=0)]}, []),
        ({"scanned_tables": [table(scans=100, rows_per_scan=5, index_scans=0, bytes=1)]}, []),
        ({"dead_rows": [table(dead=20, live=80, vacuum_seconds=None)]}, [("dead_rows", "warning")]),
        ({"dead_rows": [table(dead=19, live=81, vacuum_seconds=5.0)]}, []),
        (
            {"measured_tables": [table(table_len=100 * MIB, dead_tuple_len=10 * MIB, approx_free_space=30 * MIB)]},
            [("bloat", "info")],
        ),
        ({"measured_tables": [table(table_len=100 * MIB, dead_tuple_len=0, approx_free_space=39 * MIB)]}, []),
        ({"measured_tables": None}, []),
        ({"duplicate_indexes": [table(indexes=["a", "b"])]}, [("duplicate_index", "info")]),
        ({"invalid_indexes": [table(index="i")]}, [("invalid_index", "warning")]),
    ],
)
def test_a_database(seen: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    assert kinds({}, {"orders": seen}) == expected
    assert kinds({"standby": True}, {"orders": seen}) == []


def test_the_worst_comes_first() -> None:
    cluster = {**room(95), "transactions": [session(1, seconds=300.0, state_seconds=1.0)]}
    assert kinds(cluster, {"d": {"duplicate_indexes": [table(indexes=["a", "b"])]}}) == [
        ("connections", "critical"),
        ("long_transaction", "warning"),
        ("duplicate_index", "info"),
    ]


def member(*indexes: str, days: float = 20, size: int = 9 * MIB) -> dict[str, Any]:
    rows = [{"schema": "public", "table": "t", "index": name, "bytes": size} for name in indexes]
    return {"databases": {"orders": {"statistics": [{"seconds": days * 86400}], "unused_indexes": rows}}}


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ([member("a", "b"), member("b", "c")], ["index orders/public.b"]),
        ([member("a"), member()], []),
        ([member("a"), member("a", days=13)], []),
        ([member("a", size=MIB)], []),
        ([{"databases": {"orders": {"statistics": None, "unused_indexes": None}}}], []),
        ([], []),
    ],
)
def test_an_index_is_unused_where_no_member_used_it_for_long(answers: list[Any], expected: list[str]) -> None:
    assert [item["thing"] for item in findings.unused(answers, LIMITS)] == expected
