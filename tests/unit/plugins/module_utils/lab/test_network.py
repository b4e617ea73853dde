"""Whose a subnet is, and which parts of the network are missing, from what `ip` and `nft` print."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.holdfast.stateful.plugins.module_utils.lab import network
from ansible_collections.holdfast.stateful.plugins.module_utils.lab.identity import identify
from ansible_collections.holdfast.stateful.plugins.module_utils.lab.network import LabNetwork
from ansible_collections.holdfast.stateful.plugins.module_utils.lab.process import LabError

LAB = identify("/checkouts/a")
OWN_ADDRESS = [{"ifname": LAB.bridge, "flags": ["UP"], "addr_info": [{"local": LAB.gateway}]}]
OWN_ROUTES = [{"dst": LAB.network, "dev": LAB.bridge}, {"type": "blackhole", "dst": LAB.network}]
Answers = dict[str, Any]


@pytest.fixture
def say(monkeypatch: pytest.MonkeyPatch) -> Callable[[Answers], list[list[str]]]:
    """Let programs print given texts, by the beginning of their command line; returns all command lines."""

    def install(answers: Answers) -> list[list[str]]:
        called: list[list[str]] = []

        def run(argv: Sequence[str], **_options: Any) -> subprocess.CompletedProcess[str]:
            called.append(list(argv))
            answer = next((value for start, value in answers.items() if " ".join(argv).startswith(start)), None)
            text = answer if isinstance(answer, str) else json.dumps(answer)
            return subprocess.CompletedProcess(argv, 1 if answer is None else 0, "" if answer is None else text, "")

        monkeypatch.setattr(network, "run", run)
        return called

    return install


@pytest.mark.parametrize(
    ("routes", "addresses", "owner"),
    [
        ("", "", None),
        ([], [], None),
        (OWN_ROUTES, OWN_ADDRESS, None),
        ([{"dst": LAB.network, "dev": "docker0"}], [], "docker0"),
        ([{"dst": f"{LAB.prefix}.128/25", "dev": "wg0"}], OWN_ADDRESS, "wg0"),
        ([], [{"ifname": "eth1", "addr_info": [{"local": f"{LAB.prefix}.77"}]}], "eth1"),
        ([], [{"ifname": "eth1", "addr_info": [{"local": f"{LAB.prefix}7.7"}]}], None),
        ([], [{"ifname": "eth1"}], None),
    ],
    ids=[
        "no output", "free", "ours", "the same network", "a part of it", "an address in it", "an address like it",
        "no address",
    ],
)  # fmt: skip
def test_whose_the_subnet_is(
    routes: Any, addresses: Any, owner: str | None, say: Callable[[Answers], list[list[str]]]
) -> None:
    say({"ip -json route": routes, "ip -json -4 address": addresses})
    found = LabNetwork(LAB).foreign_owner()
    assert owner in found if owner and found else found is owner


COMPLETE: Answers = {
    "ip route show type blackhole": f"blackhole {LAB.network} metric 4096",
    f"ip -json address show dev {LAB.bridge}": OWN_ADDRESS,
    "nft list table": "table ip x {}",
    "ip -json route": [],
    "ip -json -4 address": [],
}


@pytest.mark.parametrize(
    ("damage", "forward", "missing"),
    [
        ({}, "1", []),
        ({}, "0", ["ip_forward"]),
        ({"ip route show type blackhole": ""}, "1", ["blackhole route"]),
        ({f"ip -json address show dev {LAB.bridge}": None}, "1", ["bridge"]),
        (
            {f"ip -json address show dev {LAB.bridge}": [{"flags": ["UP"], "addr_info": []}]},
            "1",
            ["bridge address"],
        ),
        (
            {f"ip -json address show dev {LAB.bridge}": [{"flags": [], "addr_info": [{"local": LAB.gateway}]}]},
            "1",
            ["bridge address"],
        ),
        ({"nft list table": None}, "1", ["address translation"]),
        (
            {
                "ip route show type blackhole": "",
                f"ip -json address show dev {LAB.bridge}": None,
                "nft list table": None,
            },
            "0",
            ["ip_forward", "blackhole route", "bridge", "address translation"],
        ),
    ],
)
def test_which_parts_are_missing(
    damage: Answers,
    forward: str,
    missing: list[str],
    say: Callable[[Answers], list[list[str]]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    say(COMPLETE | damage)
    (tmp_path / "ip_forward").write_text(f"{forward}\n")
    monkeypatch.setattr(network, "IP_FORWARD", tmp_path / "ip_forward")
    assert LabNetwork(LAB).missing() == missing


def test_a_subnet_of_somebody_else_is_left_alone(say: Callable[[Answers], list[list[str]]]) -> None:
    called = say(COMPLETE | {"ip -json route": [{"dst": LAB.network, "dev": "docker0"}]})
    with pytest.raises(LabError, match=r"docker0.*nothing was changed.*HOLDFAST_LAB"):
        LabNetwork(LAB).create()
    assert not [argv for argv in called if {"add", "replace", "set", "-f"} & set(argv)]


def test_address_translation_is_for_what_leaves_the_lab_only() -> None:
    text = LabNetwork(LAB)._ruleset()
    assert f"table ip {LAB.nft_table} {{" in text
    assert f"ip saddr {LAB.network} ip daddr != {LAB.network} masquerade" in text
    assert text.count("{") == text.count("}")
