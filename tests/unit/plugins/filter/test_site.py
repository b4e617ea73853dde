"""What playbooks hand from contracts to roles and modules."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.holdfast.stateful.plugins.filter import site

GROUPS = {"db": ["h1", "h2", "h3"], "dcs": ["d1", "d2", "d3"], "cache": ["h3", "h4"]}
DB = {"engine": "postgres", "members_group": "db"}
DB_APART = {"engine": "postgres", "members_group": "db", "dcs": {"members_group": "dcs"}}
CACHE = {"engine": "redis", "members_group": "cache"}


@pytest.mark.parametrize(
    ("catalog", "host", "engines"),
    [
        ({"a": DB}, "h1", ["any", "etcd", "postgres"]),
        ({"a": DB_APART}, "h1", ["any", "postgres"]),
        ({"a": DB_APART}, "d2", ["any", "etcd"]),
        ({"a": DB | {"dcs": {}}}, "h1", ["any", "etcd", "postgres"]),
        ({"a": DB | {"dcs": None}}, "h1", ["any", "etcd", "postgres"]),
        ({"a": DB, "b": CACHE}, "h3", ["any", "etcd", "postgres", "redis"]),
        ({"a": DB, "b": CACHE}, "h4", ["any", "redis"]),
        ({"a": DB, "b": CACHE}, "backup1", []),
        ({"a": {"engine": "redis"}}, "h1", []),
        ({"a": {"engine": "redis", "members_group": "nobody"}}, "h1", []),
        ({}, "h1", []),
    ],
    ids=[
        "consensus beside the members", "consensus elsewhere", "a host of the consensus store", "an empty dcs",
        "no dcs", "two engines", "one of two", "a host without a service",
        "no group", "an unknown group", "an empty catalog",
    ],
)  # fmt: skip
def test_engines_on_host(catalog: dict[str, Any], host: str, engines: list[str]) -> None:
    assert site.engines_on_host(catalog, host, GROUPS) == engines


def contract(service: str, engine: str, members: list[str], **settings: Any) -> dict[str, Any]:
    return {
        "service": service,
        "engine": engine,
        "members": [{"name": name, "address": f"192.0.2.{number}"} for number, name in enumerate(members, 1)],
        "settings": {"port": 1000, "sentinel_port": 2000, "sentinel_name": service, "app_user": "app", **settings},
        "budget": {"rpo_seconds": 10, "max_replica_lag_seconds": 5},
        "topology": {"members": 3, "quorum": 2},
        "decisions": [{"setting": "x", "value": "y", "because": "z"}],
    }


ORDERS = contract(
    "orders",
    "postgres",
    ["h1", "h2"],
    database="o",
    etcd={"members": [{"name": "d1"}, {"name": "h1"}]},
    pooler={"port": 6432, "database_read_only": "o_ro"},
)
SESSIONS = contract("sessions", "redis", ["h2", "h3"])
CONTRACTS = {"sessions": SESSIONS, "orders": ORDERS}
PASSWORDS = {"orders": "secret-of-orders", "sessions": "secret-of-sessions"}


@pytest.mark.parametrize(
    ("host", "engine", "service"),
    [
        ("h1", "postgres", "orders"),
        ("h2", "redis", "sessions"),
        ("d1", "etcd", "orders"),
        ("h1", "etcd", "orders"),
    ],
)
def test_contract_of(host: str, engine: str, service: str) -> None:
    assert site.contract_of(CONTRACTS, host, engine)["service"] == service


@pytest.mark.parametrize(("host", "engine"), [("h3", "postgres"), ("h1", "redis"), ("h2", "etcd"), ("h1", "rabbitmq")])
def test_no_contract_is_an_error_that_names_host_and_engine(host: str, engine: str) -> None:
    with pytest.raises(AnsibleFilterError, match=rf"{host}.*{engine}"):
        site.contract_of(CONTRACTS, host, engine)


def test_probe_targets_carry_their_own_password() -> None:
    found = site.probe_targets(CONTRACTS, "/ca.crt", PASSWORDS)
    assert [(item["connection"]["service"], item["password"]) for item in found] == sorted(PASSWORDS.items())
    assert all(item["connection"]["ca_file"] == "/ca.crt" for item in found)
    assert not any(password in str(item["connection"]) for item in found for password in PASSWORDS.values())


def member(role: str, leader: str) -> dict[str, Any]:
    return {"host_role": role, "state": "running", "version": "1", "lag_seconds": 0.0, "leader": leader}


@pytest.mark.parametrize(
    ("answer", "healthy"),
    [
        ({"services": {"sessions": member("replica", "h2")}}, True),
        ({"services": None}, False),
        ({"services": {}}, False),
        ({"unreachable": True}, False),
        ({"failed": True, "msg": "no Python"}, False),
        ({}, False),
    ],
    ids=["seen", "none", "empty", "unreachable", "failed", "skipped"],
)
def test_a_host_without_an_answer_makes_its_services_unhealthy(answer: dict[str, Any], healthy: bool) -> None:
    answers = [{"services": {"sessions": member("leader", "h2")}}, answer]
    (found,) = site.service_status({"sessions": SESSIONS}, ["h2", "h3"], answers)
    assert found["healthy"] is healthy


def test_answers_are_never_mixed_up_with_hosts() -> None:
    with pytest.raises(ValueError, match="zip"):
        site.service_status({"sessions": SESSIONS}, ["h2", "h3"], [{}])


def test_filters_are_registered() -> None:
    assert set(site.FilterModule().filters()) >= {"engines_on_host", "contract_of", "service_status"}
