# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a source and a follower configure, and what a follower does not promise."""

from __future__ import annotations

import datetime
from typing import Any

from ansible_collections.holdfast.stateful.plugins.module_utils.contract import Host, resolve_catalog

TODAY = datetime.date(2026, 11, 23)
GROUPS = {
    "a": [Host(f"a{n}", f"10.0.1.{n}", 4096) for n in (1, 2, 3)],
    "b": [Host(f"b{n}", f"10.0.2.{n}", 4096) for n in (1, 2, 3)],
}


def site(service: str, letter: str, net: int) -> dict[str, Any]:
    return {"service": service, "members": [{"name": f"{letter}{n}", "address": f"10.0.{net}.{n}"} for n in (1, 2, 3)]}


def entry(group: str, **more: Any) -> dict[str, Any]:
    return {
        "engine": "postgres",
        "version": {"series": "17"},
        "environment": "lab",
        "owner": "team-a",
        "escalation": "pager:a",
        "members_group": group,
        "data": [{"name": "a", "class": "durable"}],
        "budget": {"rpo_seconds": 0, "rto_seconds": 30, "planned_outage_ms": 5000},
        "backup_class": "gold",
        "database": "orders",
        "app_user": "orders_app",
        **more,
    }


def resolve(**services: dict[str, Any]) -> dict[str, Any]:
    found = resolve_catalog({key.replace("_", "-"): value for key, value in services.items()}, GROUPS, today=TODAY)
    assert found.violations == ()
    return {key: contract.body for key, contract in found.contracts.items()}


BOTH = {
    "orders_db": entry("a", standby_sites=[site("orders-db-b", "b", 2)]),
    "orders_db_b": entry("b", standby_of=site("orders-db", "a", 1)),
}


def test_the_follower_names_every_member_of_its_source_and_its_own_slot() -> None:
    body = resolve(**BOTH)["orders-db-b"]
    assert body["settings"]["patroni"]["standby_cluster"] == {
        "host": "10.0.1.1,10.0.1.2,10.0.1.3",
        "port": 5432,
        "primary_slot_name": "orders_db_b",
        "create_replica_methods": ["basebackup"],
    }


def test_the_source_keeps_that_slot_and_nothing_else_changes_there() -> None:
    with_site, alone = resolve(**BOTH)["orders-db"], resolve(orders_db=entry("a"))["orders-db"]
    patroni = dict(with_site["settings"]["patroni"])
    assert patroni.pop("slots") == {"orders_db_b": {"type": "physical"}}
    assert patroni == alone["settings"]["patroni"]
    assert with_site["topology"] == alone["topology"]
    assert "standby_sites" not in alone["settings"]


def test_a_follower_promises_no_synchronous_standby_but_is_ready_to() -> None:
    body = resolve(**BOTH)["orders-db-b"]
    assert (body["topology"]["synchronous"], body["topology"]["synchronous_nodes"]) == (False, 0)
    assert body["settings"]["patroni"]["synchronous_mode_strict"] is True
    assert body["settings"]["patroni"]["synchronous_node_count"] == 1


def test_the_contract_says_what_a_standby_site_does_not_keep() -> None:
    bodies = resolve(**BOTH)
    assert any("rpo_seconds 0 is kept within this site" in text for text in bodies["orders-db"]["advisories"])
    assert any("never promoted automatically" in text for text in bodies["orders-db-b"]["advisories"])


def test_after_the_promotion_the_same_entry_without_the_key_promises_again() -> None:
    body = resolve(orders_db_b=entry("b"))["orders-db-b"]
    assert "standby_cluster" not in body["settings"]["patroni"]
    assert body["topology"]["synchronous_nodes"] == 1
