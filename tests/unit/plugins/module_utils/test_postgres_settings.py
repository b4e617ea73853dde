# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.holdfast.stateful.plugins.module_utils import postgres_settings
from ansible_collections.holdfast.stateful.plugins.module_utils.postgres_settings import Setting

KNOWN = {
    item.name: item
    for item in (
        Setting("max_connections", "100", None, "postmaster", "integer", "1", "262143"),
        Setting("superuser_reserved_connections", "3", None, "postmaster", "integer", "0", "262143"),
        Setting("reserved_connections", "0", None, "postmaster", "integer", "0", "262143"),
        Setting("shared_buffers", "16384", "8kB", "postmaster", "integer", "16", "1073741823"),
        Setting("work_mem", "4096", "kB", "user", "integer", "64", "2147483647"),
        Setting("checkpoint_timeout", "300", "s", "sighup", "integer", "30", "86400"),
        Setting("statement_timeout", "0", "ms", "user", "integer", "0", "2147483647"),
        Setting("random_page_cost", "4", None, "user", "real", "0", "1.79769e+308"),
        Setting("wal_level", "replica", None, "postmaster", "enum", None, None, ["minimal", "replica", "logical"]),
        Setting("synchronous_commit", "on", None, "user", "enum", None, None, ["local", "remote_write", "on", "off"]),
        Setting("jit", "on", None, "user", "bool"),
        Setting("block_size", "8192", None, "internal", "integer", "8192", "8192"),
        Setting("log_line_prefix", "", None, "sighup", "string"),
        Setting("pg_stat_statements.max", "5000", None, "postmaster", "integer", "100", "1073741823"),
        Setting("max_wal_senders", "10", None, "postmaster", "integer", "0", "262143"),
        Setting("DateStyle", "ISO", None, "user", "string"),
    )
}


@pytest.mark.parametrize(
    ("value", "unit", "number"),
    [
        ("128MB", "8kB", 16384.0),
        ("0.5 GB", "MB", 512.0),
        (100, None, 100.0),
        ("0x10", None, 16.0),
        ("1.5min", "s", 90.0),
        ("500us", "ms", 0.5),
        ("1d", "min", 1440.0),
        ("128 mb", "8kB", None),  # units are case-sensitive
        ("10s", "kB", None),
        ("10MB", None, None),
        ("many", None, None),
        ("", None, None),
        (True, None, None),
    ],
)
def test_numbers_are_read_as_postgresql_does(value: Any, unit: str | None, number: float | None) -> None:
    assert postgres_settings.to_number(value, unit) == number


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_connections", 200),
        ("max_connections", "25"),
        ("shared_buffers", "128kB"),
        ("work_mem", "4MB"),
        ("checkpoint_timeout", "15min"),
        ("statement_timeout", 0),
        ("random_page_cost", "1.1"),
        ("wal_level", "LOGICAL"),
        ("synchronous_commit", True),
        ("synchronous_commit", "off"),
        ("jit", False),
        ("jit", "off"),
        ("log_line_prefix", "%m"),
        ("pg_stat_statements.max", 200),
        ("auto_explain.log_min_duration", "1s"),
        ("datestyle", "ISO"),
    ],
)
def test_what_postgresql_takes_is_taken(name: str, value: Any) -> None:
    known = {**KNOWN, "datestyle": KNOWN["DateStyle"]}
    assert postgres_settings.problem(name, value, known) == ""


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("max_conections", 200, "found none of that name"),
        ("pg_stat_statements.maxx", 1, "found none of that name"),
        ("max_connections", 300000, "expected 1 to 262143"),
        ("max_connections", "24", "expected at least 25"),
        ("max_wal_senders", 1, "expected at least 3"),
        ("max_connections", "many", "expected a number"),
        ("shared_buffers", "64kB", "expected 16 to 1073741823 8kB"),
        ("shared_buffers", "10s", "expected a number, with or without a unit such as 8kB"),
        ("checkpoint_timeout", "10s", "expected 30 to 86400 s"),
        ("random_page_cost", -1, "expected 0 to"),
        ("wal_level", "archive", "expected one of minimal, replica, logical"),
        ("wal_level", "on", "expected one of"),
        ("jit", "maybe", "expected on or off"),
        ("block_size", 8192, "fixed when the server was built"),
        ("work_mem", ["4MB"], "expected one value"),
    ],
)
def test_what_it_would_refuse_is_refused(name: str, value: Any, said: str) -> None:
    assert said in postgres_settings.problem(name, value, KNOWN)


def test_all_problems_at_once_and_null_is_none() -> None:
    found = postgres_settings.problems({"nonsense": 1, "jit": "x", "work_mem": None, "gone": None}, KNOWN)
    assert [item.split(":")[0] for item in found] == ["jit", "nonsense"]


def test_connections_that_nobody_could_use() -> None:
    found = postgres_settings.problems({"max_connections": 40, "superuser_reserved_connections": 40}, KNOWN)
    assert found == ["max_connections: expected more than the 40 reserved ones, found 40"]
    assert postgres_settings.problems({"max_connections": 41, "superuser_reserved_connections": 40}, KNOWN) == []


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        (
            {"max_connections": 24},
            ["max_connections: expected at least 25, below which Patroni takes its default, found 24"],
        ),
        (
            {"MAX_WAL_SENDERS": "1"},
            ["max_wal_senders: expected at least 3, below which Patroni takes its default, found '1'"],
        ),
        (
            {"max_connections": 30, "superuser_reserved_connections": 30},
            ["max_connections: expected more than the 30 reserved ones, found 30"],
        ),
        ({"max_connections": 100, "work_mem": "4MB", "nonsense": 1}, []),
    ],
)
def test_what_needs_no_server_to_be_seen(parameters: dict[str, Any], said: list[str]) -> None:
    assert postgres_settings.floor_problems(parameters) == said
