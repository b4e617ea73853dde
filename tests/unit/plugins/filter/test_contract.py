# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters on resolved contracts."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.holdfast.stateful.plugins.filter.contract import (
    FilterModule,
    certificate_names,
    cluster_lines,
    clusters_elsewhere,
    engine_services,
    firewall_redirects,
    firewall_rules,
    local_names,
    services_on_host,
    virtual_address,
)


def member(name: str, number: int) -> dict[str, str]:
    return {"name": name, "address": f"10.0.0.{number}"}


CONTRACTS: dict[str, Any] = {
    "sessions": {
        "engine": "redis",
        "members": [member("a", 1), member("b", 2)],
        "clients": ["10.9.0.0/16"],
        "endpoints": [
            {"name": "redis", "port": 6379, "source": "clients"},
            {"name": "sentinel", "port": 26379, "source": "clients"},
        ],
        "settings": {},
    },
    "orders-db": {
        "engine": "postgres",
        "members": [member("a", 1), member("c", 3)],
        "clients": ["10.8.0.0/16"],
        "endpoints": [
            {"name": "postgres", "port": 5432, "source": "clients"},
            {"name": "restapi", "port": 8008, "source": "members"},
            {"name": "read-write", "port": 5000, "source": "local"},
            {"name": "etcd-client", "port": 2379, "source": "members"},
        ],
        "settings": {"etcd": {"members": [member("d", 4)]}},
    },
}


def test_services_on_a_host_are_found_by_engine() -> None:
    assert services_on_host(CONTRACTS, "a") == {"postgres": "orders-db", "redis": "sessions"}
    assert services_on_host(CONTRACTS, "b") == {"redis": "sessions"}
    assert services_on_host(CONTRACTS, "nowhere") == {}


def test_only_the_port_of_the_server_opens_to_a_standby_site() -> None:
    contract = CONTRACTS["orders-db"]
    settings = {**contract["settings"], "standby_sites": [{"service": "b", "members": [member("x", 77)]}]}
    rules = firewall_rules({"orders-db": {**contract, "settings": settings}}, "a")
    assert [rule["port"] for rule in rules if "10.0.0.77" in rule["sources"]] == [5432]


def test_a_member_reaches_its_own_service_by_names_of_its_own() -> None:
    contract = CONTRACTS["orders-db"]
    names = {"read_write_name": "orders-db-rw", "read_only_name": "orders-db-ro", "address": "127.0.0.2"}
    with_entry = {**CONTRACTS, "orders-db": {**contract, "settings": {**contract["settings"], "haproxy": names}}}
    found = [{"name": f"orders-db-{kind}", "address": "127.0.0.2"} for kind in ("ro", "rw")]
    assert local_names(with_entry, "c") == found
    assert local_names(with_entry, "b") == []


def test_a_host_is_known_by_the_files_of_its_clusters() -> None:
    contract = CONTRACTS["orders-db"]
    contracts = {**CONTRACTS, "orders-db": {**contract, "settings": {**contract["settings"], "scope": "orders-db"}}}
    store = {"path": "/etc/etcd/etcd.env", "line": "ETCD_DATA_DIR=/var/lib/etcd/orders-db"}
    scope = {"path": "/etc/patroni/config.yml", "line": 'scope: "orders-db"'}
    assert [cluster_lines(contracts, host) for host in "abcd"] == [[scope], [], [scope], [store]]


def test_a_host_that_leaves_one_cluster_is_seen_in_others() -> None:
    other = {**CONTRACTS["orders-db"], "members": [member("x", 8)], "settings": {"etcd": {"members": [member("y", 9)]}}}
    contracts = {**CONTRACTS, "bills-db": other, "shared-db": {**CONTRACTS["orders-db"], "members": [member("z", 7)]}}
    found = {host: clusters_elsewhere(contracts, host, "orders-db") for host in "abcdxyz"}
    assert {host: services for host, services in found.items() if services} == {
        "x": ["bills-db"],
        "y": ["bills-db"],
        "z": ["shared-db"],
    }, "neither other engines nor a shared store count"


def test_services_of_an_engine_are_found() -> None:
    assert engine_services(CONTRACTS, "redis") == ["sessions"]
    assert engine_services(CONTRACTS, "rabbitmq") == []


def test_ports_open_to_clients_and_members_as_declared() -> None:
    rules = {rule["port"]: rule for rule in firewall_rules(CONTRACTS, "a")}
    assert list(rules) == [5432, 6379, 8008, 26379]
    assert rules[5432]["sources"] == ["10.0.0.1", "10.0.0.3", "10.0.0.4", "10.8.0.0/16"]
    assert rules[8008]["sources"] == ["10.0.0.1", "10.0.0.3", "10.0.0.4"]
    assert rules[6379] == {
        "port": 6379,
        "protocol": "tcp",
        "sources": ["10.0.0.1", "10.0.0.2", "10.9.0.0/16"],
        "comment": "sessions: redis",
    }


def test_ports_of_the_consensus_store_open_where_it_runs_and_nowhere_else() -> None:
    assert [rule["port"] for rule in firewall_rules(CONTRACTS, "d")] == [2379]
    assert firewall_rules(CONTRACTS, "d")[0]["sources"] == ["10.0.0.1", "10.0.0.3", "10.0.0.4"]
    assert firewall_rules(CONTRACTS, "nowhere") == []


MOVING = {"address": "10.0.0.100", "name": "orders.example"}
HAPROXY = {"read_write_name": "orders-db-rw", "read_only_name": "orders-db-ro", "address": "127.0.0.2"}
WITH_ADDRESS: dict[str, Any] = {
    **CONTRACTS,
    "orders-db": {
        **CONTRACTS["orders-db"],
        "settings": {**CONTRACTS["orders-db"]["settings"], "haproxy": HAPROXY, "virtual_address": MOVING},
    },
}


def test_members_tell_each_other_who_holds_the_address_and_nobody_else_may() -> None:
    rules = [rule for rule in firewall_rules(WITH_ADDRESS, "a") if rule["protocol"] == "vrrp"]
    assert rules == [{"protocol": "vrrp", "sources": ["10.0.0.1", "10.0.0.3"], "comment": "orders-db: virtual address"}]
    for host in ("b", "d", "nowhere"):
        assert not [rule for rule in firewall_rules(WITH_ADDRESS, host) if rule["protocol"] == "vrrp"]


def test_ports_for_clients_lead_from_the_address_to_each_members_own() -> None:
    found = {"address": "10.0.0.100", "port": 5432, "to": "10.0.0.3", "comment": "orders-db: postgres"}
    assert firewall_redirects(WITH_ADDRESS, "c") == [found]
    assert firewall_redirects(WITH_ADDRESS, "b") == firewall_redirects(WITH_ADDRESS, "d") == []
    assert firewall_redirects(CONTRACTS, "c") == []


def test_only_members_prove_the_address_and_its_name() -> None:
    assert certificate_names(WITH_ADDRESS, "c") == {
        "names": ["orders-db-ro", "orders-db-rw", "orders.example"],
        "addresses": ["10.0.0.3", "10.0.0.100"],
    }
    assert certificate_names(WITH_ADDRESS, "b") == {"names": [], "addresses": ["10.0.0.2"]}
    assert certificate_names(WITH_ADDRESS, "d") == {"names": [], "addresses": []}


def test_a_host_in_two_services_has_its_address_once_and_no_name_that_is_empty() -> None:
    settings = {**WITH_ADDRESS["orders-db"]["settings"], "virtual_address": {**MOVING, "name": ""}}
    found = certificate_names({**CONTRACTS, "orders-db": {**WITH_ADDRESS["orders-db"], "settings": settings}}, "a")
    assert found == {"names": ["orders-db-ro", "orders-db-rw"], "addresses": ["10.0.0.1", "10.0.0.100"]}


def test_whether_a_host_may_come_to_hold_an_address() -> None:
    assert virtual_address(WITH_ADDRESS, "a") == MOVING
    assert virtual_address(WITH_ADDRESS, "b") == virtual_address(CONTRACTS, "a") == {}


@pytest.mark.parametrize("bad", [None, [], "x", {"a": 1}, {"a": {"engine": "redis"}}])
def test_anything_but_contracts_is_refused(bad: Any) -> None:
    for call in (
        lambda: services_on_host(bad, "a"),
        lambda: firewall_rules(bad, "a"),
        lambda: engine_services(bad, "x"),
        lambda: firewall_redirects(bad, "a"),
        lambda: certificate_names(bad, "a"),
        lambda: virtual_address(bad, "a"),
    ):
        with pytest.raises(AnsibleFilterError):
            call()


def test_every_filter_is_registered() -> None:
    assert set(FilterModule().filters()) == {
        "also_from",
        "cluster_lines",
        "clusters_elsewhere",
        "services_on_host",
        "engine_services",
        "firewall_rules",
        "firewall_redirects",
        "certificate_names",
        "virtual_address",
        "local_names",
    }


def test_members_that_are_about_to_leave_stay_welcome() -> None:
    rules = [{"port": 1, "sources": ["192.0.2.2"]}, {"port": 2, "sources": []}]
    also_from = FilterModule().filters()["also_from"]
    assert [rule["sources"] for rule in also_from(rules, ["192.0.2.1"])] == [["192.0.2.1", "192.0.2.2"], ["192.0.2.1"]]
    assert also_from(rules, []) == rules
    assert rules[1]["sources"] == []
