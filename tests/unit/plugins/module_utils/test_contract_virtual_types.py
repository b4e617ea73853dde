"""The number of a virtual router follows from the service, and from nothing that changes."""

from __future__ import annotations

from ansible_collections.holdfast.stateful.plugins.module_utils.contract_virtual_types import (
    VirtualAddress,
    router_id_of,
    virtual_address_of,
)
from hypothesis import given
from hypothesis import strategies as st


@given(st.text())
def test_a_router_id_is_legal(service: str) -> None:
    assert 1 <= router_id_of(service) <= 255


def test_a_router_id_is_the_same_in_every_run() -> None:
    assert (router_id_of("orders-db"), router_id_of("orders-db-b")) == (157, 253)


def test_what_is_declared() -> None:
    assert virtual_address_of("orders-db", None) is None
    assert virtual_address_of("orders-db", {"address": "192.0.2.1"}) == VirtualAddress("192.0.2.1", 157)
    given_all = {"address": "192.0.2.1", "router_id": 5, "name": "n", "interface": "eth0"}
    assert virtual_address_of("orders-db", given_all) == VirtualAddress("192.0.2.1", 5, "n", "eth0")
