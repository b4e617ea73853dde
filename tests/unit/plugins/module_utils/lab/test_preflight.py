"""What stands in the way of a lab is said all at once, each with its remedy."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.holdfast.stateful.plugins.module_utils.lab.identity import identify
from ansible_collections.holdfast.stateful.plugins.module_utils.lab.preflight import (
    CAP_NET_ADMIN,
    CAP_SYS_ADMIN,
    DISK_PER_HOST_MB,
    DISK_PER_IMAGE_MB,
    PROGRAMS,
    Observed,
    observe,
    problems,
)

LAB = identify("/checkouts/a")
BOTH = 1 << CAP_SYS_ADMIN | 1 << CAP_NET_ADMIN
GOOD = Observed(
    system="Linux",
    architecture="x86_64",
    distribution="debian",
    effective_uid=0,
    capabilities=BOTH,
    missing_programs=(),
    keyring=True,
    overlay=True,
    free_mb=100_000,
    subnet_owner=None,
)


def test_a_machine_that_offers_everything() -> None:
    assert problems(GOOD, LAB, 4, image_cached=False) == []


@pytest.mark.parametrize(
    ("seen", "kind", "remedy"),
    [
        ({"system": "Darwin", "distribution": ""}, "platform", "-i"),
        ({"distribution": "fedora"}, "platform", "Debian"),
        ({"effective_uid": 1000}, "privilege", "root"),
        ({"capabilities": 0}, "privilege", "unprivileged container"),
        ({"capabilities": 1 << CAP_SYS_ADMIN}, "privilege", "CAP_NET_ADMIN"),
        ({"capabilities": 1 << CAP_NET_ADMIN}, "privilege", "CAP_SYS_ADMIN"),
        ({"missing_programs": ("nft", "systemd-nspawn")}, "programs", "apt-get install nftables systemd-container"),
        ({"keyring": False}, "keyring", "apt-get install debian-archive-keyring"),
        ({"overlay": False}, "kernel", "modprobe overlay"),
        ({"free_mb": 10}, "space", "lab down"),
        ({"subnet_owner": "10.0.0.0/8 dev wg0"}, "subnet", "HOLDFAST_LAB"),
        ({"subnet_owner": "could not be observed: no reply"}, "subnet", "HOLDFAST_LAB"),
    ],
)
def test_one_problem(seen: dict[str, Any], kind: str, remedy: str) -> None:
    found = problems(replace(GOOD, **seen), LAB, 4, image_cached=False)
    assert len(found) == 1
    assert found[0].startswith(f"{kind}: ")
    assert remedy in found[0]


def test_all_problems_at_once() -> None:
    bare = Observed("Darwin", "arm64", "", 501, 0, tuple(PROGRAMS), False, False, 0, "x")
    kinds = [problem.partition(":")[0] for problem in problems(bare, LAB, 1, image_cached=False)]
    assert kinds == ["platform", "privilege", "programs", "keyring", "kernel", "space", "subnet"]


@pytest.mark.parametrize(
    ("hosts", "cached", "needed"),
    [
        (0, True, 0),
        (0, False, 0),
        (1, True, DISK_PER_HOST_MB),
        (4, True, 4 * DISK_PER_HOST_MB),
        (4, False, 4 * DISK_PER_HOST_MB + DISK_PER_IMAGE_MB),
    ],
)
def test_space_is_asked_for_what_is_to_be_made(hosts: int, cached: bool, needed: int) -> None:
    assert problems(replace(GOOD, free_mb=needed), LAB, hosts, image_cached=cached) == []
    if needed:
        assert problems(replace(GOOD, free_mb=needed - 1), LAB, hosts, image_cached=cached)


def test_this_machine_can_be_looked_at() -> None:
    seen = observe(LAB)
    assert seen.system == "Linux"
    assert seen.free_mb >= 0
    assert set(seen.missing_programs) <= set(PROGRAMS)
