# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The gate in front of a node without data, and what is read from the local host."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.holdfast.stateful.plugins.module_utils.rabbitmq_node import (
    boot_failure,
    has_data,
    lost_member,
    parse_names,
    start_blockers,
)


@pytest.mark.parametrize(
    ("data_here", "peers", "opens"),
    [
        (False, {"b": "blank", "c": "blank"}, True),
        (False, {"b": "running", "c": "blank"}, True),
        (False, {"b": "running", "c": "running"}, True),
        (False, {"b": "running", "c": "no answer"}, False),
        (False, {"b": "blank", "c": "its node does not run"}, False),
        (True, {"b": "no answer", "c": "no answer"}, True),
    ],
)
def test_only_a_node_with_data_may_start_alone(data_here: bool, peers: dict[str, str], opens: bool) -> None:
    assert (start_blockers("a", data_here=data_here, peers=peers) == []) is opens


def test_a_lost_member_is_not_started_over_its_old_membership() -> None:
    assert lost_member("a", set()) == ""
    assert "forget_cluster_node rabbit@a' on b" in lost_member("a", {"c", "b"})


def test_epmd_names() -> None:
    answer = b"\x00\x00\x11\x11name rabbit at port 25672\nname rabbit-peerdisc-1 at port 40000\n"
    assert parse_names(answer) == ["rabbit", "rabbit-peerdisc-1"]
    assert parse_names(b"\x00\x00\x11\x11") == []


def test_data_is_what_a_cluster_left(tmp_path: Path) -> None:
    node = tmp_path / "rabbit@a"
    assert not has_data("rabbit@a", str(tmp_path))
    (node / "quorum").mkdir(parents=True)
    assert not has_data("rabbit@a", str(tmp_path))
    (node / "schema.DAT").touch()
    assert has_data("rabbit@a", str(tmp_path))


def test_a_failed_start_is_quoted_in_one_line(tmp_path: Path) -> None:
    log = tmp_path / "error.log"
    log.write_text(
        "BOOT FAILED\n===\nold\n\nBOOT FAILED\n===========\nError during startup: {error,\n   why}\n\nKernel pid x"
    )
    assert boot_failure(str(log)) == "Error during startup: {error, why}"
    assert boot_failure(str(tmp_path / "none")) == "no log"
