"""Which interface can carry one more address, and why none can."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.holdfast.stateful.plugins.filter.network import FilterModule, interface_for

FACTS: dict[str, Any] = {
    "interfaces": ["lo", "eth0", "eth1"],
    "default_ipv4": {"address": "10.0.0.1", "interface": "eth0"},
    "lo": {"device": "lo", "ipv4": {"address": "127.0.0.1", "netmask": "255.0.0.0"}},
    "eth0": {
        "device": "eth0",
        "ipv4": {"address": "10.0.0.1", "netmask": "255.255.255.0"},
        "ipv4_secondaries": [{"address": "10.0.0.100", "netmask": "255.255.255.255"}],
    },
    "eth1_5": {"device": "eth1.5", "ipv4": {"address": "10.5.0.1", "netmask": "255.255.0.0"}},
    "down": {"device": "down"},
}


@pytest.mark.parametrize(
    ("own", "address", "wanted", "found"),
    [
        ("10.0.0.1", "10.0.0.100", "", "eth0"),
        ("10.0.0.1", "10.0.0.7", "eth0", "eth0"),
        ("10.0.0.1", "10.5.3.4", "eth1.5", "eth1.5"),
        ("10.5.0.1", "10.5.3.4", "", "eth1.5"),
    ],
)
def test_carrier(own: str, address: str, wanted: str, found: str) -> None:
    assert interface_for(FACTS, own, address, wanted) == {"interface": found, "problem": ""}


@pytest.mark.parametrize(
    ("own", "address", "wanted", "said"),
    [
        ("10.0.0.1", "10.0.1.7", "", "in the network of eth0, found 10.0.0.0/24"),
        ("10.0.0.1", "10.0.0.255", "", "to be a host's address"),
        ("10.0.0.1", "10.0.0.0", "", "to be a host's address"),
        ("10.0.0.1", "10.5.3.4", "", "in the network of eth0"),
        ("10.0.0.1", "10.0.0.7", "eth9", "expected interface eth9"),
        ("10.0.0.1", "10.0.0.7", "down", "expected interface down"),
        ("10.0.0.9", "10.0.0.7", "", "an interface with 10.0.0.9, found lo 127.0.0.1/8, eth0 10.0.0.1/24"),
    ],
)
def test_what_no_interface_can_carry(own: str, address: str, wanted: str, said: str) -> None:
    found = interface_for(FACTS, own, address, wanted)
    assert found["interface"] == ""
    assert said in found["problem"]


def test_facts_that_were_not_gathered_are_no_interface() -> None:
    assert "found none" in interface_for({}, "10.0.0.1", "10.0.0.7")["problem"]


def test_filter_is_registered() -> None:
    assert FilterModule().filters() == {"interface_for": interface_for}
