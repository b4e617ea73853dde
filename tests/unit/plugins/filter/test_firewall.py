"""Rules for nftables: exactly the declared sources, and never an open port by accident."""

from __future__ import annotations

import ipaddress
import re
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.holdfast.stateful.plugins.filter.firewall import FilterModule, nft_redirect, nft_rule
from hypothesis import given
from hypothesis import strategies as st


def rule(*sources: str, **more: Any) -> dict[str, Any]:
    return {"port": 5432, "protocol": "tcp", "sources": list(sources), "comment": "orders-db: postgres"} | more


@pytest.mark.parametrize(
    ("given_rule", "expected"),
    [
        (rule("192.0.2.1"), ["ip saddr { 192.0.2.1 } tcp dport 5432"]),
        (rule("192.0.2.0/24"), ["ip saddr { 192.0.2.0/24 } tcp dport 5432"]),
        (rule("192.0.2.77/24"), ["ip saddr { 192.0.2.0/24 } tcp dport 5432"]),
        (rule("192.0.2.1/32"), ["ip saddr { 192.0.2.1 } tcp dport 5432"]),
        (rule("2001:db8::1"), ["ip6 saddr { 2001:db8::1 } tcp dport 5432"]),
        (
            rule("2001:db8::/64", "192.0.2.1"),
            ["ip saddr { 192.0.2.1 } tcp dport 5432", "ip6 saddr { 2001:db8::/64 } tcp dport 5432"],
        ),
        (rule("192.0.2.1", "192.0.2.0/24"), ["ip saddr { 192.0.2.0/24 } tcp dport 5432"]),
        (rule("192.0.2.1", "192.0.2.1"), ["ip saddr { 192.0.2.1 } tcp dport 5432"]),
        (rule("0.0.0.0/0"), ["ip saddr { 0.0.0.0/0 } tcp dport 5432"]),
        (rule("192.0.2.1", protocol="udp"), ["ip saddr { 192.0.2.1 } udp dport 5432"]),
    ],
    ids=[
        "address", "network", "a host's address with its network", "a network of one", "IPv6", "both families",
        "one inside the other", "twice", "everybody, if declared", "udp",
    ],
)  # fmt: skip
def test_rule(given_rule: dict[str, Any], expected: list[str]) -> None:
    lines = [f'{line} accept comment "orders-db: postgres"' for line in expected]
    assert nft_rule(given_rule) == "\n".join(lines)


def test_protocol_and_comment_have_defaults() -> None:
    assert nft_rule({"port": 22, "sources": ["192.0.2.1"]}) == 'ip saddr { 192.0.2.1 } tcp dport 22 accept comment ""'


@pytest.mark.parametrize("source", ["lab1", "", "192.0.2", "192.0.2.0/33", "192.0.2.1-192.0.2.9", "::g", "192.0.2.1 "])
def test_what_is_no_address_is_refused_with_port_and_source(source: str) -> None:
    with pytest.raises(AnsibleFilterError) as raised:
        nft_rule(rule("192.0.2.1", source))
    assert "5432" in str(raised.value)
    assert repr(source) in str(raised.value)


def test_no_source_does_not_mean_everybody() -> None:
    with pytest.raises(AnsibleFilterError, match="no source"):
        nft_rule(rule())


ADDRESSES = st.ip_addresses().map(str) | st.ip_addresses().map(
    lambda address: f"{address}/{24 if address.version == 4 else 64}"
)


@given(st.lists(ADDRESSES, min_size=1, max_size=8))
def test_what_is_let_in_is_what_was_declared(sources: list[str]) -> None:
    declared = [ipaddress.ip_network(source, strict=False) for source in sources]
    opened = []
    for line in nft_rule(rule(*sources)).splitlines():
        family, items = re.fullmatch(r"(ip6?) saddr \{ (.*) \} tcp dport 5432 accept comment .*", line).groups()  # type: ignore[union-attr]
        networks = [ipaddress.ip_network(item) for item in items.split(", ")]
        assert {network.version for network in networks} == {6 if family == "ip6" else 4}
        opened += networks
    for source in declared:
        assert any(source.version == network.version and source.subnet_of(network) for network in opened)  # type: ignore[arg-type]
    size = sum(network.num_addresses for network in opened)
    assert size <= sum(network.num_addresses for network in declared)


@given(st.text(max_size=200))
def test_a_comment_never_ends_its_string(text: str) -> None:
    line = nft_rule(rule("192.0.2.1", comment=text))
    assert line.count('"') == 2
    assert "\n" not in line
    assert "\\" not in line
    assert line.endswith('"')


def test_vrrp_has_no_port() -> None:
    given_rule = {"protocol": "vrrp", "sources": ["192.0.2.1", "192.0.2.2"], "comment": "x"}
    assert nft_rule(given_rule) == 'ip saddr { 192.0.2.1, 192.0.2.2 } meta l4proto 112 accept comment "x"'
    with pytest.raises(AnsibleFilterError, match="protocol 112"):
        nft_rule({**given_rule, "sources": []})


@pytest.mark.parametrize("port", [None, "", 0, 65536, "5432; accept", True])
def test_a_rule_without_a_port_opens_nothing(port: Any) -> None:
    with pytest.raises(AnsibleFilterError, match="expected a port"):
        nft_rule(rule("192.0.2.1", port=port))


REDIRECT = {"address": "192.0.2.100", "port": 6432, "to": "192.0.2.1", "comment": 'a "b"'}


def test_a_redirect() -> None:
    expected = 'ip daddr 192.0.2.100 tcp dport 6432 dnat ip to 192.0.2.1 comment "a b"'
    assert nft_redirect(REDIRECT) == expected


@pytest.mark.parametrize(
    "wrong", [{"address": "lab1"}, {"address": "192.0.2.0/24"}, {"to": ""}, {"to": "::1"}, {"port": None}]
)
def test_a_redirect_of_what_is_no_address_or_port_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(AnsibleFilterError):
        nft_redirect(REDIRECT | wrong)


def test_filters_are_registered() -> None:
    assert FilterModule().filters() == {"nft_rule": nft_rule, "nft_redirect": nft_redirect}
