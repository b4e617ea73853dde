"""The address is taken over within the promised time, its timers follow from the budget, and explain says why."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from ansible_collections.holdfast.stateful.plugins.module_utils import contract_virtual
from ansible_collections.holdfast.stateful.plugins.module_utils.contract import Host, resolve
from ansible_collections.holdfast.stateful.plugins.module_utils.contract_types import Budget

TODAY = datetime.date(2026, 11, 23)
HOSTS = {"db": [Host(f"h{n}", f"192.0.2.{n}", 1536) for n in (1, 2, 3)]}
ENTRY: dict[str, Any] = {
    "engine": "postgres",
    "version": {"series": "17"},
    "environment": "lab",
    "owner": "team-orders",
    "escalation": "pager:orders",
    "members_group": "db",
    "data": [{"name": "orders", "class": "durable"}],
    "budget": {"rpo_seconds": 0, "rto_seconds": 30, "planned_outage_ms": 5000},
    "backup_class": "gold",
    "virtual_address": {"address": "192.0.2.100", "name": "orders.example"},
}


def budget(rto: int) -> Budget:
    return Budget(0, rto, 5000, 5)


@pytest.mark.parametrize(("rto", "advert"), [(21, 500), (30, 500), (40, 660), (45, 750), (48, 800), (3600, 800)])
def test_how_often_the_holder_says_that_it_is_there(rto: int, advert: int) -> None:
    assert contract_virtual.advert_ms(budget(rto)) == advert


@pytest.mark.parametrize("rto", range(21, 200))
def test_taking_over_is_a_small_part_of_recovery(rto: int) -> None:
    assert contract_virtual.advert_ms(budget(rto)) % 10 == 0, "VRRP counts in hundredths of a second"
    assert contract_virtual.takeover_ms(budget(rto)) <= 4000
    assert contract_virtual.takeover_ms(budget(rto)) < rto * 1000 // 5


def test_the_settings_of_a_service_and_why() -> None:
    contract = resolve("orders-db", ENTRY, HOSTS, today=TODAY)
    body = contract.to_dict()
    assert body["settings"]["virtual_address"] == {
        "address": "192.0.2.100",
        "name": "orders.example",
        "interface": "",
        "router_id": 157,
        "priority": 200,
        "advert_ms": 500,
        "check_ms": 500,
        "takeover_ms": 2609,
    }
    told = {item["setting"]: item["because"] for item in contract.decisions}
    assert all(told[f"settings.virtual_address.{name}"] for name in body["settings"]["virtual_address"])
    assert "rto_seconds 30" in told["settings.virtual_address.advert_ms"]
    assert any("may hold it both" in text for text in body["advisories"])


def test_a_service_without_one_has_no_trace_of_it() -> None:
    body = resolve(
        "orders-db", {k: v for k, v in ENTRY.items() if k != "virtual_address"}, HOSTS, today=TODAY
    ).to_dict()
    assert "virtual_address" not in body["settings"]
    assert not [item for item in body["decisions"] if "virtual" in item["setting"]]


def test_the_priority_stays_above_nothing_when_a_member_sees_no_leader() -> None:
    assert 1 <= contract_virtual.PRIORITY - 100 < contract_virtual.PRIORITY <= 254
