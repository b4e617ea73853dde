"""The verifier in PgBouncer's user list belongs to the password and is stable; plans are made from what was seen."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.holdfast.stateful.plugins.filter.postgres import FilterModule, stable_verifier
from ansible_collections.holdfast.stateful.plugins.module_utils.postgres_objects import scram_matches
from ansible_collections.holdfast.stateful.plugins.module_utils.postgres_restart_order import SHARED

FILTERS = FilterModule().filters()
plan, without_nulls = FILTERS["postgres_restart_plan"], FILTERS["without_nulls"]


def seen(leader: str = "a", pending: bool = False) -> dict[str, Any]:
    return {"x": {"leader": leader, "pending": pending, "running": SHARED, "wanted": SHARED, "waits_for": []}}


def test_phases_from_what_was_registered() -> None:
    found = plan({"a": seen(pending=True), "b": seen(pending=True), "c": seen()}, ["a", "b"], "x")
    assert found == {"standbys": ["b"], "leader": ["a"], "standbys_again": []}


@pytest.mark.parametrize("other", [{}, {"x": {"failed": True}}, {"x": "text"}])
def test_a_member_that_was_not_observed_stops(other: dict[str, Any]) -> None:
    with pytest.raises(AnsibleFilterError, match=r"^b: expected"):
        plan({"a": seen(), "b": other}, ["a", "b"], "x")
    with pytest.raises(AnsibleFilterError, match=r"^b: expected"):
        plan({"a": seen()}, ["a", "b"], "x")


def test_members_that_disagree_stop() -> None:
    with pytest.raises(AnsibleFilterError, match="expected one leader"):
        plan({"a": seen("a"), "b": seen("b")}, ["a", "b"], "x")


def test_missing_values_stop() -> None:
    broken = seen()
    broken["x"]["running"] = {}
    with pytest.raises(AnsibleFilterError, match="shared-memory"):
        plan({"a": broken}, ["a"], "x")


def test_nulls_are_left_out_at_every_depth() -> None:
    assert without_nulls({"a": None, "b": {"c": None, "d": 0}, "e": [None]}) == {"b": {"d": 0}, "e": [None]}


def test_every_port_that_serves_a_certificate() -> None:
    member = {"name": "a", "address": "192.0.2.1"}
    etcd = {"members": [member], "client_port": 3, "peer_port": 4}
    contract = {"members": [member], "settings": {"port": 1, "pooler": {"port": 5}, "restapi_port": 2, "etcd": etcd}}
    found = FILTERS["tls_endpoints"](contract)
    assert [(item["port"], item["postgres"]) for item in found] == [
        (1, True),
        (5, True),
        (2, False),
        (3, False),
        (4, False),
    ]
    assert all(item["name"] == "a" for item in found)


def test_a_verifier_is_stable_and_belongs_to_its_password() -> None:
    found = stable_verifier("hush hush", "orders-db/pooler-admin")
    assert found == FilterModule().filters()["scram_verifier"]("hush hush", "orders-db/pooler-admin")
    assert scram_matches("hush hush", found)
    assert not scram_matches("hush", found)
    assert "hush" not in found


def test_another_scope_has_another_salt() -> None:
    assert stable_verifier("hush", "a") != stable_verifier("hush", "b")


def test_every_role_that_has_a_password_is_rotated() -> None:
    logins = [
        {"name": "orders_app", "secret": "app"},
        {"name": "bob", "secret": "bob"},
        {"name": "eve", "secret": "eve"},
    ]
    hba = [{"user": "bob", "database": "one"}, {"user": "bob", "database": "two"}]
    settings = {"database": "orders", "objects": {"logins": logins, "hba": hba}, "pooler": {"lookup_user": "look"}}
    found = FILTERS["postgres_rotatable"](settings, "m")
    assert found == {
        "app": {"role": "orders_app", "database": "orders"},
        "bob": {"role": "bob", "database": "one"},
        "eve": {"role": "eve", "database": ""},
        "monitor": {"role": "m", "database": "postgres"},
        "pooler": {"role": "look", "database": "postgres"},
    }


def test_a_user_of_the_store_has_a_second_one_with_the_same_grants_once_it_has_a_password() -> None:
    found = FILTERS["postgres_store_users"]("db", ["p1", ""], ["h1", "h2"])
    assert [(user["name"], user["password"]) for user in found] == [
        ("patroni-db", "p1"),
        ("patroni-db-release", "h1"),
        ("patroni-db-release_b", "h2"),
    ]
    assert found[0]["grants"] == [{"access": "READWRITE", "prefix": "/service/db/"}]
    assert found[1]["grants"] == found[2]["grants"]
    assert {"access": "WRITE", "key": "/service/db/leader"} in found[1]["grants"]
    assert FILTERS["postgres_store_roots"](["r1", "r2"]) == [
        {"name": "root", "password": "r1"},
        {"name": "root_b", "password": "r2"},
    ]


def test_a_store_user_without_its_first_password_is_refused() -> None:
    with pytest.raises(AnsibleFilterError, match=r"patroni-db: expected its password .* found none"):
        FILTERS["postgres_store_users"]("db", ["", "p2"], ["h1", ""])
