"""Names and addresses of a lab: the same for the same checkout, others for another, and short enough for the kernel."""

from __future__ import annotations

import ipaddress
from pathlib import Path

import pytest
from ansible_collections.holdfast.stateful.plugins.module_utils.lab.identity import DEFAULT_NAME, identify
from hypothesis import given
from hypothesis import strategies as st

LONGEST_DEVICE_NAME = 15
NAMES = st.from_regex(r"[a-z][a-z0-9-]{0,19}", fullmatch=True)
CHECKOUTS = st.lists(st.text("abcdefgh-_.0123456789", min_size=1, max_size=12), min_size=1, max_size=4).map(
    lambda parts: "/checkouts/" + "/".join(part.replace("..", "x") for part in parts)
)


@given(CHECKOUTS, NAMES)
def test_the_same_lab_is_found_again(checkout: str, name: str) -> None:
    assert identify(checkout, name) == identify(checkout, name)


@given(CHECKOUTS, NAMES)
def test_everything_fits(checkout: str, name: str) -> None:
    lab = identify(checkout, name)
    assert len(lab.bridge) <= LONGEST_DEVICE_NAME
    assert len(f"vb-{lab.id}-abcdef") <= LONGEST_DEVICE_NAME, "a host's name has up to six letters"
    network = ipaddress.ip_network(lab.network)
    assert network.subnet_of(ipaddress.ip_network("10.128.0.0/9"))
    assert network.prefixlen == 24
    assert ipaddress.ip_address(lab.gateway) in network
    assert all(lab.id in part for part in (lab.bridge, lab.nft_table, lab.machine_dir))
    assert lab.state_dir.startswith(lab.checkout)
    assert lab.to_dict()["id"] == lab.id


def test_many_checkouts_do_not_collide() -> None:
    labs = [identify(f"/checkouts/{number}", name) for number in range(150) for name in (DEFAULT_NAME, "second")]
    assert len({lab.id for lab in labs}) == len(labs)
    assert len({lab.bridge for lab in labs}) == len(labs)
    assert len({lab.machine_dir for lab in labs}) == len(labs)
    # 32768 networks: two labs may get the same one, which preflight refuses; nearly all must not.
    assert len({lab.network for lab in labs}) > 0.98 * len(labs)


def test_a_name_and_a_path_do_not_run_into_each_other() -> None:
    assert identify("/checkouts/a", "b").id != identify("/checkouts/a:b", DEFAULT_NAME).id
    assert identify("/checkouts/a", "b").state_dir != identify("/checkouts/a", "c").state_dir


def test_a_link_to_a_checkout_is_the_checkout(tmp_path: Path) -> None:
    (tmp_path / "checkout").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "checkout")
    assert identify(str(tmp_path / "link")) == identify(str(tmp_path / "checkout"))


@pytest.mark.parametrize("name", ["", "A", "1a", "-a", "a b", "a/b", "a_b", "a" * 21, "ä", "a;rm", "a.b"])
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="HOLDFAST_LAB"):
        identify("/checkouts/a", name)
