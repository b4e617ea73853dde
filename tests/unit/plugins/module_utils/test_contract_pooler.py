"""Settings of the client entry: every pool together fits into one server, and every timer into the budget."""

from __future__ import annotations

import pytest
from ansible_collections.holdfast.stateful.plugins.module_utils import contract_pooler
from ansible_collections.holdfast.stateful.plugins.module_utils.contract import resolve
from ansible_collections.holdfast.stateful.plugins.module_utils.contract_types import Budget, Host

ENTRY = {
    "engine": "postgres",
    "version": {"series": "17"},
    "environment": "lab",
    "owner": "team-orders",
    "escalation": "pager:orders",
    "members_group": "db",
    "data": [{"name": "orders", "class": "durable"}],
    "budget": {"rpo_seconds": 0, "rto_seconds": 30, "planned_outage_ms": 5000, "max_replica_lag_seconds": 5},
    "backup_class": "gold",
    "database": "orders",
}
HOSTS = {"db": [Host(f"h{n}", f"192.0.2.{n}", 1536) for n in (1, 2, 3)]}


def budget(planned: int = 5000, rto: int = 30) -> Budget:
    return Budget(0, rto, planned, 5)


def test_the_settings_of_a_service() -> None:
    settings = resolve("orders-db", ENTRY, HOSTS).to_dict()["settings"]
    assert settings["pooler"] == {
        "port": 6432,
        "database_read_only": "orders_ro",
        "databases": [{"name": "orders", "read_only": "orders_ro"}],
        "lookup_user": "holdfast_pooler",
        "admin_user": "holdfast_pooler_admin",
        "deadman_seconds": 20,
        "pause_ms": 2000,
    }
    assert settings["haproxy"]["read_write_name"] == "orders-db-rw"
    assert settings["haproxy"]["max_lag"] == "5MB"
    assert settings["haproxy"]["session_access"] is False
    assert settings["pooler_config"]["pool_mode"] == "transaction"


def test_every_setting_says_why() -> None:
    contract = resolve("orders-db", ENTRY, HOSTS)
    told = {item["setting"] for item in contract.decisions if item["because"]}
    for section in ("pooler", "pooler_config", "haproxy"):
        assert {f"settings.{section}.{name}" for name in contract.to_dict()["settings"][section]} <= told


@pytest.mark.parametrize("direct", [False, True])
def test_clients_reach_haproxy_only_where_it_is_declared(direct: bool) -> None:
    points = resolve("orders-db", {**ENTRY, "session_access": direct}, HOSTS).to_dict()["endpoints"]
    sources = {point["name"]: point["source"] for point in points}
    expected = "clients" if direct else "local"
    assert {sources[name] for name in ("read-write", "read-only", "synchronous")} == {expected}
    assert (sources["pooler"], sources["postgres"]) == ("clients", "members")


@pytest.mark.parametrize("maximum", [40, 60, 100, 200])
@pytest.mark.parametrize("members", [3, 5, 7])
@pytest.mark.parametrize("direct", [False, True])
def test_all_pools_fit_into_one_server(maximum: int, members: int, direct: bool) -> None:
    size = contract_pooler.server_connections(maximum, members, direct)
    assert size >= 1
    own = contract_pooler.LOOKUP_CONNECTIONS + contract_pooler.PATH_CONNECTIONS
    assert size == 1 or members * (size + own) + contract_pooler.NOT_FOR_APPLICATIONS <= maximum
    assert size <= contract_pooler.server_connections(maximum, members, False)


@pytest.mark.parametrize("planned", [1, 1000, 2500, 5000, 60000])
def test_a_pause_ends_long_before_the_dead_man(planned: int) -> None:
    limit = contract_pooler.deadman_seconds(budget(planned))
    assert limit >= 10
    assert limit >= 4 * planned / 1000
    assert 300 <= contract_pooler.pause_ms(budget(planned)) <= 5000
    assert contract_pooler.pause_ms(budget(planned)) / 1000 <= limit / 2


@pytest.mark.parametrize(("rto", "interval"), [(22, 1000), (30, 1000), (40, 1333), (45, 1500), (300, 1500)])
def test_haproxy_asks_often_enough(rto: int, interval: int) -> None:
    assert contract_pooler.check_interval_ms(budget(rto=rto)) == interval


def test_a_query_waits_as_long_as_recovery_was_promised_and_longer_than_any_pause() -> None:
    config = resolve("orders-db", ENTRY, HOSTS).to_dict()["settings"]["pooler_config"]
    assert config["query_wait_timeout"] == 30
    slow = {**ENTRY, "budget": {**ENTRY["budget"], "planned_outage_ms": 20000}}  # type: ignore[dict-item]
    assert resolve("orders-db", slow, HOSTS).to_dict()["settings"]["pooler_config"]["query_wait_timeout"] == 85


@pytest.mark.parametrize(("series", "prepared"), [("15", False), ("17", True)])
def test_an_old_pooler_keeps_no_prepared_statements_and_explain_says_so(series: str, prepared: bool) -> None:
    contract = resolve("orders-db", {**ENTRY, "version": {"series": series}}, HOSTS).to_dict()
    assert ("max_prepared_statements" in contract["settings"]["pooler_config"]) is prepared
    assert any("prepared statements" in text for text in contract["advisories"]) is not prepared


@pytest.mark.parametrize(("planned", "told"), [(2000, True), (5000, False)])
def test_a_budget_that_an_old_patroni_does_not_keep_is_told(planned: int, told: bool) -> None:
    tight = {**ENTRY["budget"], "planned_outage_ms": planned}  # type: ignore[dict-item]
    contract = resolve("orders-db", {**ENTRY, "version": {"series": "15"}, "budget": tight}, HOSTS).to_dict()
    assert any("hand the lead over" in text for text in contract["advisories"]) is told
