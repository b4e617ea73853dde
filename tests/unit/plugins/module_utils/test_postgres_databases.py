# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from ansible_collections.holdfast.stateful.plugins.module_utils import postgres_databases as databases

WANTED = databases.Database("orders", "app", 50, {"statement_timeout": "30s"})


def good() -> databases.DatabaseFound:
    grants = frozenset({"mon CONNECT", "orders_read CONNECT", "orders_write TEMPORARY", "app CREATE"})
    return databases.DatabaseFound("app", 50, grants, {"statement_timeout": "30s"})


def steps(found: databases.DatabaseFound | None) -> list[str]:
    return [step.what for step in databases.plan_database(WANTED, found, "mon")]


def test_nothing_to_do() -> None:
    assert steps(good()) == []
    assert list(databases.drift([WANTED], {"orders": good()})) == []


def test_a_new_database_is_closed_before_anybody_is_let_in() -> None:
    assert steps(None) == [
        "create database orders",
        "keep the public out of orders",
        "grant connect on orders to mon",
        "grant connect on orders to orders_read",
        "grant temporary on orders to orders_write",
        "set statement_timeout of database orders to 30s",
    ]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"owner": "x"}, "give database orders to app (it belongs to x)"),
        ({"connection_limit": -1}, "limit the connections to orders"),
        ({"grants": good().grants | {"PUBLIC TEMPORARY"}}, "keep the public out of orders"),
        ({"grants": good().grants - {"mon CONNECT"}}, "grant connect on orders to mon"),
        ({"settings": {}}, "set statement_timeout of database orders to 30s"),
    ],
)
def test_one_thing_to_do(change: dict[str, Any], expected: str) -> None:
    assert steps(dataclasses.replace(good(), **change)) == [expected]


def test_what_is_not_declared_is_reported() -> None:
    seen = dataclasses.replace(good(), settings={"statement_timeout": "30s", "jit": "on"})
    assert list(databases.drift([WANTED], {"orders": seen, "old": good()})) == [
        "database old is not declared",
        "database orders has a setting jit, which is not declared",
    ]
