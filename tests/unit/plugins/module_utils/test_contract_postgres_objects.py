# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What declared objects resolve to: the short form, ownership, memberships, limits, and what the audit writes."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.holdfast.stateful.plugins.module_utils.contract import Host, resolve

HOSTS = {"db": [Host(f"h{n}", f"10.0.1.{n}", 4096) for n in (1, 2, 3)]}
ENTRY = {
    "engine": "postgres",
    "version": {"series": "17"},
    "environment": "lab",
    "owner": "team",
    "escalation": "pager:team",
    "members_group": "db",
    "data": [{"name": "a", "class": "durable"}],
    "budget": {"rpo_seconds": 0, "rto_seconds": 30, "planned_outage_ms": 5000},
    "backup_class": "gold",
    "clients": ["10.0.0.0/16"],
    "database": "orders",
    "app_user": "orders_app",
}


def contract(objects: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    return resolve("svc", {**ENTRY, **({"objects": objects} if objects else {}), **more}, HOSTS).to_dict()


def objects_of(objects: dict[str, Any] | None = None) -> dict[str, Any]:
    found: dict[str, Any] = contract(objects)["settings"]["objects"]
    return found


def by_name(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in rows}


def test_the_short_form_is_a_database_that_the_application_owns() -> None:
    found = objects_of()
    assert [(base["name"], base["owner"]) for base in found["databases"]] == [("orders", "orders_app")]
    assert [(role["name"], role["secret"], role["connection_limit"]) for role in found["logins"]] == [
        ("orders_app", "app", -1)
    ]
    assert {role["name"]: role["member_of"] for role in found["groups"]} == {
        "orders_read": [],
        "orders_write": ["orders_read"],
        "orders_owner": ["orders_write", "orders_app"],
    }
    assert found["hba"] == found["partitions"] == []


def test_the_long_form_of_the_same_is_the_same() -> None:
    long = {"databases": [{"name": "orders", "owner": "orders_app"}], "logins": [{"name": "orders_app"}]}
    assert objects_of(long) == objects_of()


def test_another_database_belongs_to_its_group_and_so_does_its_schema() -> None:
    found = objects_of(
        {"databases": [{"name": "stats", "schemas": [{"name": "raw"}, {"name": "x", "owner": "orders_app"}]}]}
    )
    base = by_name(found["databases"])["stats"]
    assert base["owner"] == "stats_owner"
    assert base["schemas"] == [{"name": "raw", "owner": "stats_owner"}, {"name": "x", "owner": "orders_app"}]
    assert by_name(found["groups"])["stats_owner"]["member_of"] == ["stats_write"]


def test_a_login_among_the_owners_acts_as_the_owner() -> None:
    logins = by_name(
        objects_of(
            {
                "logins": [
                    {"name": "migrator", "member_of": ["team"]},
                    {"name": "reader", "member_of": ["orders_read"], "connection_limit": 3},
                ],
                "groups": [{"name": "team", "member_of": ["orders_owner"]}],
            }
        )["logins"]
    )
    assert logins["migrator"]["acts_as"] == {"orders": "orders_app"}
    assert logins["reader"]["acts_as"] == logins["orders_app"]["acts_as"] == {}
    assert [logins[name]["connection_limit"] for name in ("migrator", "reader")] == [10, 3]
    assert logins["migrator"]["secret"] == "migrator"


def test_partitions_name_their_database() -> None:
    table = {"table": "t", "column": "at", "interval": "day"}
    (found,) = objects_of({"partitions": [table]})["partitions"]
    assert (found["database"], found["schema"], found["premake"], found["expired"]) == ("orders", "public", 4, "detach")


@pytest.mark.parametrize(
    ("data_class", "audit"),
    [("retained", "write,ddl,role"), ("durable", "ddl,role"), ("replayable", "role"), ("cacheable", "role")],
)
def test_the_audit_follows_the_data_class(data_class: str, audit: str) -> None:
    item = {"name": "a", "class": data_class, **({"retention_days": 30} if data_class == "retained" else {})}
    found = contract(data=[item])
    parameters = found["settings"]["parameters"]
    assert parameters["pgaudit.log"] == audit
    assert parameters["pgaudit.log_parameter"] == "off"
    assert "pgaudit" in parameters["shared_preload_libraries"]
    because = {item["setting"]: item["because"] for item in found["decisions"]}
    assert len(because["settings.parameters.pgaudit.log"]) > 20


def test_what_will_not_work_as_hoped_is_said() -> None:
    crowd = [{"name": f"tenant{n}", "connection_limit": 100} for n in range(3)]
    row = {"user": "tenant0", "database": "orders", "network": "10.0.3.0/24"}
    advice = " ".join(contract({"logins": crowd, "hba": [row]})["advisories"])
    assert "Login tenant1 has no row" in advice
    assert "Login tenant0" not in advice
    assert "add up to more than max_connections" in advice
    assert "add up" not in " ".join(contract()["advisories"])
