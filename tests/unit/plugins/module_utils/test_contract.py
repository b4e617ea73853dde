# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A contract has the shape of ARCHITECTURE.md, and every setting in it has a reason."""

from __future__ import annotations

import copy
import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.holdfast.stateful.plugins.module_utils.contract import Host, refusal, resolve, resolve_catalog
from ansible_collections.holdfast.stateful.plugins.module_utils.contract_placement import claims_on, place
from ansible_collections.holdfast.stateful.plugins.module_utils.contract_postgres import lag_bytes, timers
from ansible_collections.holdfast.stateful.plugins.module_utils.contract_rabbitmq import heartbeat, net_ticktime
from ansible_collections.holdfast.stateful.plugins.module_utils.contract_redis import down_after_ms, max_lag_seconds
from ansible_collections.holdfast.stateful.plugins.module_utils.contract_schema import validate_entry

ROOT = Path(__file__).resolve().parents[4]
TODAY = datetime.date(2026, 11, 23)
SHAPE = {
    "service", "engine", "environment", "owner", "escalation", "change_window", "tuning_profile", "version", "members",
    "matrix", "budget", "topology", "endpoints", "clients", "settings", "backup", "decisions", "advisories",
}  # fmt: skip
SETTINGS = {
    "postgres": {
        *("port", "restapi_port", "scope", "database", "app_user", "major", "patroni", "parameters", "etcd"),
        *("haproxy", "pooler", "pooler_config", "leader_death", "watchdog", "objects"),
    },
    "redis": {"port", "sentinel_port", "sentinel_name", "quorum", "app_user", "auto_restart", "config", "sentinel"},
    "rabbitmq": {"port", "management_port", "dist_port", "epmd_port", "tool_ports", "vhost", "app_user", "config"},
}


def lab_catalog() -> dict[str, Any]:
    text = (ROOT / "inventories/lab/group_vars/all/service_catalog.yml").read_text(encoding="utf-8")
    catalog: dict[str, Any] = yaml.safe_load(text.replace("{{ lab_network }}", "10.99.0.0/24"))["service_catalog"]
    return catalog


def lab_groups(memory: int | None = 1536) -> dict[str, list[Host]]:
    hosts = [Host(f"lab{n}", f"10.99.0.1{n}", memory) for n in (1, 2, 3)]
    return {"orders_db": hosts, "sessions": hosts, "events": hosts}


def lab(memory: int | None = 1536) -> dict[str, dict[str, Any]]:
    found = resolve_catalog(lab_catalog(), lab_groups(memory), today=TODAY)
    assert found.violations == ()
    return found.to_dict()


def value_at(contract: dict[str, Any], setting: str) -> Any:
    """Return what a decision's path names; the last part may hold dots, as RabbitMQ's keys do."""
    node: Any = contract
    rest = setting
    while rest:
        key = max((key for key in node if rest == key or rest.startswith(key + ".")), key=len)
        node, rest = node[key], rest[len(key) + 1 :]
    return node


def leaves(node: Any, path: str = "settings") -> list[str]:
    if isinstance(node, dict):
        return [leaf for key, value in node.items() for leaf in leaves(value, f"{path}.{key}")]
    return [path]


def test_contracts_have_the_documented_shape() -> None:
    for contract in lab().values():
        assert set(contract) == SHAPE
        assert set(contract["settings"]) == SETTINGS[contract["engine"]]
        assert set(contract["topology"]) == {"members", "quorum", "synchronous", "synchronous_nodes"}
        assert {key for point in contract["endpoints"] for key in point} == {"name", "port", "source"}


@pytest.mark.parametrize("memory", [None, 1536, 65536])
def test_every_decision_is_visible_and_every_setting_has_a_reason(memory: int | None) -> None:
    for contract in lab(memory).values():
        for decision in contract["decisions"]:
            assert value_at(contract, decision["setting"]) == decision["value"]
            assert len(decision["because"]) > 5
        decided = [decision["setting"] for decision in contract["decisions"]]
        assert len(decided) == len(set(decided))
        assert set(leaves(contract["settings"])) <= set(decided)


def test_lab_contract_keeps_its_promises() -> None:
    contracts = lab()
    postgres = contracts["orders-db"]["settings"]
    assert postgres["patroni"]["synchronous_mode"] is True
    assert postgres["patroni"]["synchronous_mode_strict"] is True
    assert postgres["patroni"]["ttl"] == 20
    assert postgres["patroni"]["primary_start_timeout"] == 0
    assert contracts["orders-db"]["backup"]["retention_lock_days"] == 2555
    redis = contracts["sessions"]["settings"]
    assert redis["config"]["maxmemory-policy"] == "noeviction"
    assert redis["config"]["appendonly"] == "yes"
    assert redis["config"]["min-replicas-to-write"] == 1
    assert redis["quorum"] == 2
    assert contracts["events"]["settings"]["config"]["cluster_partition_handling"] == "pause_minority"


def test_members_keep_the_order_of_the_inventory() -> None:
    groups = {name: list(reversed(hosts)) for name, hosts in lab_groups().items()}
    found = resolve_catalog(lab_catalog(), groups, today=TODAY)
    assert [member["name"] for member in found.contracts["sessions"].body["members"]] == ["lab3", "lab2", "lab1"]


@pytest.mark.parametrize(
    ("rpo", "synchronous", "strict"), [(0, True, True), (5, True, False), (19, True, False), (20, False, False)]
)
def test_an_rpo_below_ttl_needs_synchronous_replication(rpo: int, synchronous: bool, strict: bool) -> None:
    catalog = lab_catalog()
    catalog["orders-db"]["budget"] = {"rpo_seconds": rpo, "rto_seconds": 30, "planned_outage_ms": 5000}
    contract = resolve("orders-db", catalog["orders-db"], lab_groups(), catalog, today=TODAY).to_dict()
    assert contract["settings"]["patroni"]["synchronous_mode"] is synchronous
    assert contract["settings"]["patroni"]["synchronous_mode_strict"] is strict
    assert contract["topology"]["synchronous"] is synchronous


@pytest.mark.parametrize("rto", [21, 29, 30, 44, 45, 60, 89, 90, 149, 150, 3600])
def test_patroni_timers_follow_patronis_rules_and_meet_the_budget(rto: int) -> None:
    ttl, loop_wait, retry_timeout, _start = timers(rto)
    assert loop_wait + 2 * retry_timeout <= ttl
    assert ttl >= 20
    assert loop_wait >= 1
    assert retry_timeout >= 3
    assert ttl + 1 <= rto


def test_derived_numbers_stay_inside_what_the_engines_take() -> None:
    assert [lag_bytes(rpo) // 2**20 for rpo in (0, 1, 60, 10**6)] == [1, 1, 60, 1024]
    assert [down_after_ms(rto) for rto in (5, 7, 9, 900)] == [1000, 3000, 5000, 5000]
    assert [max_lag_seconds(rpo) for rpo in (3, 5, 11, 900)] == [2, 4, 10, 10]
    for rto in (12, 15, 30, 60, 600):
        assert 2 * heartbeat(rto) + 2 <= max(rto, 12)
        assert net_ticktime(rto) * 1.25 + 2 <= max(rto, 12)


@pytest.mark.parametrize("memory", [1536, 2048, 4096, 16384, 262144])
def test_memory_of_all_services_fits_on_the_host(memory: int) -> None:
    contracts = lab(memory)
    parameters = contracts["orders-db"]["settings"]["parameters"]
    buffers = int(parameters["shared_buffers"].removesuffix("MB"))
    sorts = parameters["max_connections"] * int(parameters["work_mem"].removesuffix("kB")) // 1024
    redis = contracts["sessions"]["settings"]["config"]["maxmemory"] * 1.5 / 2**20 + 64
    rabbitmq = int(
        contracts["events"]["settings"]["config"]["total_memory_available_override_value"].removesuffix("MiB")
    )
    assert buffers + sorts + redis + rabbitmq + 128 + 256 <= memory


def test_a_few_megabytes_more_or_less_change_nothing() -> None:
    assert lab(1987) == lab(1990)


def test_claims_name_every_part_of_a_host() -> None:
    placed = []
    for service, raw in lab_catalog().items():
        entry, _problems = validate_entry(service, raw)
        assert entry
        placed.append(place(entry, lab_groups()))
    assert set(claims_on(placed[0].members[0], placed)) == {
        "operating system", "orders-db", "orders-db (etcd)", "sessions", "events",
    }  # fmt: skip


def test_unknown_memory_is_told_and_uses_the_floors() -> None:
    assert any("is not known" in text for text in lab(None)["orders-db"]["advisories"])
    assert lab(None)["orders-db"]["settings"]["parameters"]["shared_buffers"] == "96MB"


def test_a_pure_cache_evicts_and_never_restarts_empty() -> None:
    catalog = lab_catalog()
    catalog["sessions"]["data"] = [{"name": "pages", "class": "cacheable"}]
    settings = resolve("sessions", catalog["sessions"], lab_groups(), catalog, today=TODAY).to_dict()["settings"]
    assert settings["config"]["maxmemory-policy"] == "allkeys-lru"
    assert settings["config"]["appendonly"] == "no"
    assert settings["config"]["save"] == ""
    assert settings["config"]["min-replicas-to-write"] == 0
    assert settings["auto_restart"] is False


def test_self_hosting_is_called_the_worse_trade_where_it_is() -> None:
    catalog = lab_catalog()
    catalog["events"] |= {"environment": "production", "escalation": "email:team", "backup_class": "bronze"}
    texts = resolve("events", catalog["events"], lab_groups(), catalog, today=TODAY).to_dict()["advisories"]
    assert sum("the worse trade" in text for text in texts) == 2


def test_resolve_reports_its_own_service_only_and_refuses_to_pretend() -> None:
    catalog = lab_catalog()
    broken = copy.deepcopy(catalog["events"]) | {"budget": {}}
    catalog["events"] = broken
    assert resolve("sessions", catalog["sessions"], lab_groups(), catalog, today=TODAY).violations == ()
    contract = resolve("events", broken, lab_groups(), catalog, today=TODAY)
    assert len(contract.violations) == 3
    with pytest.raises(ValueError, match="events is refused"):
        contract.to_dict()
    text = refusal(contract.violations)
    assert "3 violations" in text
    assert "service_catalog.events.budget.rto_seconds" in text
