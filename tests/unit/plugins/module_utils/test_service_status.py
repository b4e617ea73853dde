"""A service is healthy only when every member was seen, works, and agrees on who leads."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from ansible_collections.holdfast.stateful.plugins.module_utils.service_status import (
    WORKING,
    status_requests,
    summarise,
)
from hypothesis import given
from hypothesis import strategies as st

Seen = dict[str, Any]
NAMES = ("h1", "h2", "h3")


def contract(engine: str, *, rpo: int = 10, lag: int | None = 5, synchronous_nodes: int = 0) -> dict[str, Any]:
    return {
        "engine": engine,
        "members": [{"name": name, "address": f"192.0.2.{number}"} for number, name in enumerate(NAMES, 1)],
        "settings": {"port": 1000, "pooler": {"port": 1000}},
        "budget": {"rpo_seconds": rpo, "max_replica_lag_seconds": lag},
        "topology": {"members": 3, "quorum": 2, "synchronous_nodes": synchronous_nodes},
    }


def member(role: str, lag: float | None = 0.0, **more: Any) -> Seen:
    state = "streaming" if role == "sync_standby" else "running"
    return {"host_role": role, "state": state, "version": "1.2", "lag_seconds": lag, "problems": [], **more}


POSTGRES = {
    "h1": member("leader", leader="h1", leader_since="2026-11-01T00:00:00+00:00"),
    "h2": member("sync_standby", leader="h1"),
    "h3": member("replica", leader="h1"),
}
REDIS = {name: member("leader" if name == "h2" else "replica", leader="h2") for name in NAMES}
RABBITMQ = {name: member("member", None, leader="h3") for name in NAMES}
GOOD = {"postgres": POSTGRES, "redis": REDIS, "rabbitmq": RABBITMQ}
ENGINES = sorted(GOOD)


def status(engine: str, seen: dict[str, Seen | None], **of_contract: Any) -> dict[str, Any]:
    observed = {name: None if item is None else {"a-service": item} for name, item in seen.items()}
    (found,) = summarise({"a-service": contract(engine, **of_contract)}, observed)
    return found


def changed(engine: str, damage: dict[str, Seen | None]) -> dict[str, Seen | None]:
    """The good observation with some keys of some members changed; None is a member that was not seen."""
    seen: dict[str, Seen | None] = copy.deepcopy(GOOD[engine])
    for name, item in damage.items():
        seen[name] = None if item is None else {**GOOD[engine][name], **item}
    return seen


@pytest.mark.parametrize(("engine", "leader"), [("postgres", "h1"), ("redis", "h2"), ("rabbitmq", "h3")])
def test_all_is_well(engine: str, leader: str | None) -> None:
    found = status(engine, GOOD[engine])
    assert found["healthy"]
    assert found["problems"] == []
    assert found["leader"] == leader
    assert found["budget"]["kept"]
    assert found["endpoint"] == "192.0.2.1:1000,192.0.2.2:1000,192.0.2.3:1000"
    assert [item["host"] for item in found["members"]] == list(NAMES)


def test_since_when_is_the_leaders_word() -> None:
    assert status("postgres", POSTGRES)["leader_since"] == "2026-11-01T00:00:00+00:00"
    assert status("redis", REDIS)["leader_since"] is None


UNHEALTHY: list[tuple[str, str, dict[str, Seen | None], str]] = [
    *(("not seen", engine, {"h2": None}, "h2: not observed") for engine in ENGINES),
    *(("state unknown", engine, {"h3": {"state": "unknown"}}, "h3: unknown") for engine in ENGINES),
    *(("no state", engine, {"h3": {"state": None}}, "h3: unknown") for engine in ENGINES),
    *(
        ("no role", engine, {"h3": {"host_role": None, "state": "running"}}, "h3: running, but its role is unknown")
        for engine in ENGINES
    ),
    *(("starting", engine, {"h3": {"state": "starting"}}, "h3: starting") for engine in ENGINES),
    *(("stopped", engine, {"h1": {"state": "stopped"}}, "h1: stopped") for engine in ENGINES),
    *(("a problem", engine, {"h3": {"problems": ["disk full"]}}, "h3: disk full") for engine in ENGINES),
    *(("versions", engine, {"h3": {"version": "1.3"}}, "different versions: 1.2, 1.3") for engine in ENGINES),
    ("two leaders", "postgres", {"h2": {"host_role": "leader"}}, "2 members say that they lead (h1, h2)"),
    ("two masters", "redis", {"h3": {"host_role": "master"}}, "2 members say that they lead (h2, h3)"),
    ("no leader", "postgres", {"h1": {"host_role": "replica"}}, "no member leads"),
    ("no master", "redis", {"h2": {"host_role": "replica"}}, "no member leads"),
    ("leader not seen", "postgres", {"h1": None}, "no member leads"),
    ("leader's role unknown", "postgres", {"h1": {"host_role": None}}, "no member leads"),
    ("another leader named", "postgres", {"h3": {"leader": "h2"}}, "disagree on who leads: h1, h2"),
    ("a stranger named", "redis", {"h1": {"leader": "192.0.2.99"}}, "disagree on who leads: 192.0.2.99, h2"),
]


@pytest.mark.parametrize(("engine", "damage", "problem"), [row[1:] for row in UNHEALTHY], ids=[r[0] for r in UNHEALTHY])
def test_never_healthy(engine: str, damage: dict[str, Seen | None], problem: str) -> None:
    found = status(engine, changed(engine, damage))
    assert not found["healthy"]
    assert any(problem in said for said in found["problems"]), found["problems"]
    assert not found["budget"]["kept"]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    "observed",
    [
        {},
        {"h1": None},
        {"h1": {}},
        {"h1": {"another": {}}},
        {"h9": {"a-service": POSTGRES["h1"]}},
        {"h1": {"a-service": {}}},
    ],
    ids=["nobody asked", "no answer", "an empty answer", "of another service", "of a stranger", "nothing in it"],
)
def test_nothing_seen_is_not_healthy(engine: str, observed: dict[str, Any]) -> None:
    (found,) = summarise({"a-service": contract(engine)}, observed)
    assert not found["healthy"]
    assert found["leader"] is None
    assert {item["state"] for item in found["members"]} == {"unknown"}
    assert len(found["problems"]) >= 3


def test_queues_have_leaders_of_their_own() -> None:
    """Members need not agree on who leads most queues: then nobody does, and all is well."""
    found = status("rabbitmq", changed("rabbitmq", {"h1": {"leader": "h1"}, "h2": {"leader": None}}))
    assert found["healthy"]
    assert found["leader"] is None
    assert found["leader_since"] is None


BUDGET: list[tuple[str, str, dict[str, Seen | None], dict[str, Any], str]] = [
    ("lag", "postgres", {"h3": {"lag_seconds": 5.1}}, {}, "h3 lags 5.1 s, the budget is 5 s"),
    ("lag of Redis", "redis", {"h1": {"lag_seconds": 60.0}}, {}, "h1 lags 60.0 s"),
    ("lag not seen", "postgres", {"h3": {"lag_seconds": None}}, {}, "h3: replication lag was not observed"),
    ("one away", "rabbitmq", {"h3": None}, {}, "1 of 3 members don't work"),
    ("majority away", "rabbitmq", {"h3": None, "h2": {"state": "stopped"}}, {}, "1 of 3 members work, 2 are needed"),
    (
        "not synchronous",
        "postgres",
        {"h2": {"host_role": "replica"}},
        {"rpo": 0, "synchronous_nodes": 1},
        "RPO 0 needs 1",
    ),
    ("too few", "postgres", {}, {"rpo": 0, "synchronous_nodes": 2}, "1 synchronous standbys, RPO 0 needs 2"),
    (
        "synchronous, but not streaming",
        "postgres",
        {"h2": {"state": "stopped"}},
        {"rpo": 0, "synchronous_nodes": 1},
        "0 synchronous standbys",
    ),
]


@pytest.mark.parametrize(
    ("engine", "damage", "of_contract", "reason"), [row[1:] for row in BUDGET], ids=[r[0] for r in BUDGET]
)
def test_budget_is_not_kept(
    engine: str, damage: dict[str, Seen | None], of_contract: dict[str, Any], reason: str
) -> None:
    found = status(engine, changed(engine, damage), **of_contract)
    assert not found["budget"]["kept"]
    assert any(reason in said for said in found["budget"]["reasons"]), found["budget"]["reasons"]


@pytest.mark.parametrize(
    ("engine", "damage", "of_contract"),
    [
        ("postgres", {"h3": {"lag_seconds": 5.0}}, {}),
        ("postgres", {"h3": {"lag_seconds": 900.0}}, {"lag": None}),
        ("postgres", {"h3": {"lag_seconds": None}}, {"lag": None}),
        ("postgres", {"h1": {"lag_seconds": None}}, {}),
        ("postgres", {}, {"rpo": 0, "synchronous_nodes": 1}),
        ("postgres", {"h2": {"host_role": "replica"}}, {"rpo": 10, "synchronous_nodes": 1}),
        ("rabbitmq", {}, {"rpo": 0}),
    ],
    ids=[
        "at the limit",
        "no limit",
        "not seen, no limit",
        "a leader has no lag",
        "synchronous",
        "RPO allows it",
        "quorum",
    ],
)
def test_budget_is_kept(engine: str, damage: dict[str, Seen | None], of_contract: dict[str, Any]) -> None:
    found = status(engine, changed(engine, damage), **of_contract)
    assert found["budget"]["kept"], found["budget"]["reasons"]


def test_the_budget_itself_is_shown() -> None:
    budget = status("redis", REDIS, rpo=7)["budget"]
    assert budget["rpo_seconds"] == 7
    assert budget["max_replica_lag_seconds"] == 5


def test_services_come_in_order_and_apart() -> None:
    contracts = {"b": contract("redis"), "a": contract("postgres")}
    observed = {name: {"a": POSTGRES[name], "b": REDIS[name]} for name in NAMES}
    observed["h3"].pop("b")
    found = summarise(contracts, observed)
    assert [(item["service"], item["healthy"]) for item in found] == [("a", True), ("b", False)]


STATES = st.sampled_from([*sorted(WORKING), "stopped", "starting", "unknown", "", None])
ROLES = st.sampled_from(["leader", "primary", "master", "replica", "sync_standby", "member", "unknown", None])
MEMBER = st.none() | st.fixed_dictionaries(
    {"host_role": ROLES, "state": STATES},
    optional={
        "lag_seconds": st.none() | st.floats(min_value=0, max_value=1e6),
        "leader": st.none() | st.sampled_from(NAMES),
        "version": st.none() | st.sampled_from(["1.2", "1.3"]),
        "problems": st.lists(st.just("broken"), max_size=1),
    },
)


@given(st.sampled_from(ENGINES), st.fixed_dictionaries(dict.fromkeys(NAMES, MEMBER)))
def test_healthy_means_all_seen_working_and_one_leader(engine: str, seen: dict[str, Seen | None]) -> None:
    found = status(engine, seen, rpo=0, synchronous_nodes=1)
    leading = [name for name, item in seen.items() if item and item["host_role"] in ("leader", "primary", "master")]
    if found["healthy"]:
        assert all(item and item["state"] in WORKING and not item.get("problems") for item in seen.values())
        assert engine == "rabbitmq" or len(leading) == 1
        assert len({item["version"] for item in seen.values() if item and item.get("version")}) <= 1
    if found["budget"]["kept"]:
        assert found["healthy"]
    if engine == "rabbitmq":
        assert found["leader"] in {None, *(item.get("leader") for item in seen.values() if item)}
    else:
        assert found["leader"] == (leading[0] if len(leading) == 1 else None)


@pytest.mark.parametrize(("host", "services"), [("h1", ["orders"]), ("h2", ["orders", "sessions"]), ("d1", [])])
def test_requests_are_for_the_services_on_the_host(host: str, services: list[str]) -> None:
    orders = {**contract("postgres"), "service": "orders", "decisions": ["a table"]}
    sessions = {**contract("redis"), "service": "sessions", "decisions": []}
    sessions["members"] = sessions["members"][1:]
    secrets = {"orders/monitor": "secret-of-orders", "sessions/monitor": "secret-of-sessions", "orders/app": "other"}
    found, unasked = status_requests({"sessions": sessions, "orders": orders}, host, secrets)
    assert unasked == []
    assert [item["contract"]["service"] for item in found] == services
    for item in found:
        assert item["credentials"]["password"] == f"secret-of-{item['contract']['service']}"
        assert "decisions" not in item["contract"], "only what an observer reads is copied to the host"


def test_a_service_without_a_password_hides_no_other() -> None:
    catalog = {name: {**contract("postgres"), "service": name} for name in ("orders", "ledger")}
    found, unasked = status_requests(catalog, "h1", {"orders/monitor": "x"})
    assert [item["contract"]["service"] for item in found] == ["orders"]
    assert unasked == ["ledger"]
