# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from ansible_collections.holdfast.stateful.plugins.module_utils import postgres_host as host

OURS = host.DataDirectory("/d", 20, "7", "17")


@pytest.mark.parametrize(
    ("data", "initialize", "blocker"),
    [
        (host.DataDirectory("/d"), None, ""),
        (host.DataDirectory("/d"), "7", ""),
        (OURS, "7", ""),
        (OURS, "8", "expected cluster db with system identifier 8, found 7"),
        (OURS, None, "knows no cluster db"),
        (OURS, "", "knows no cluster db"),
        (host.DataDirectory("/d", 1), None, "found 1 entries that are no PostgreSQL cluster"),
        (host.DataDirectory("/d", 5, None, "17"), "7", "no PostgreSQL cluster"),
        (host.DataDirectory("/d", 20, "7", "15"), "7", "expected PostgreSQL 17, found a cluster of PostgreSQL 15"),
    ],
)
def test_where_patroni_may_start(data: host.DataDirectory, initialize: str | None, blocker: str) -> None:
    found = host.start_blocker(data, initialize, "17", "db")
    assert (blocker in found) if blocker else found == ""


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (OURS, "does not say whether they are of cluster db: refused. Bring the store back"),
        (host.DataDirectory("/d", 1), "no PostgreSQL cluster"),
        (host.DataDirectory("/d", 20, "7", "15"), "found a cluster of PostgreSQL 15"),
    ],
)
def test_without_the_store_no_data_is_ours(data: host.DataDirectory, said: str) -> None:
    assert said in host.unknown_owner(data, "17", "db", "refused")


def test_what_the_watchdog_does(tmp_path: Path) -> None:
    device, descriptors = tmp_path / "watchdog", tmp_path / "proc" / "7" / "fd"
    descriptors.mkdir(parents=True)
    (descriptors / "3").symlink_to("/dev/null")
    group = device.parent.stat().st_gid

    def state(pid: int = 7, of: int | None = group) -> str:
        return host.watchdog_state(pid, of, device, tmp_path / "proc")

    assert state() == "none"
    device.touch(mode=0o600)
    assert state() == "closed"
    device.chmod(0o660)
    assert (state(), state(0), state(8), state(of=group + 1), state(of=None)) == ("ready",) * 3 + ("closed",) * 2
    (descriptors / "4").symlink_to(device)
    assert (state(), state(8)) == ("active", "ready")


def test_reading_a_data_directory(tmp_path: Path) -> None:
    assert host.read_data_directory(str(tmp_path / "none")).entries == 0
    assert host.read_data_directory(str(tmp_path)).entries == 0
    (tmp_path / "PG_VERSION").write_text("17\n")
    (tmp_path / "global").mkdir()
    (tmp_path / "global" / "pg_control").write_bytes(struct.pack("=Q", 7711233217995656974) + b"rest")
    found = host.read_data_directory(str(tmp_path))
    assert (found.entries, found.major, found.system_identifier) == (2, "17", "7711233217995656974")
    (tmp_path / "global" / "pg_control").write_bytes(b"cut")
    assert host.read_data_directory(str(tmp_path)).system_identifier is None


@pytest.mark.parametrize(("leader", "blocked"), [(None, False), ("a", False), ("x", True), ("", True)])
def test_an_empty_host_joins_no_scope_that_another_cluster_leads(leader: str | None, blocked: bool) -> None:
    found = host.scope_blocker(leader, ["a", "b"], "db")
    assert ("another cluster uses this scope" in found) is blocked
