"""Cgroups of lab hosts: which hierarchies are found, which limits are written, and that nothing survives."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from ansible_collections.holdfast.stateful.plugins.module_utils.lab.cgroups import HostCgroups, hierarchies
from ansible_collections.holdfast.stateful.plugins.module_utils.lab.process import LabError

V2 = "35 24 0:30 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
V1 = """\
29 24 0:26 / /sys/fs/cgroup ro,nosuid,nodev,noexec shared:9 - tmpfs tmpfs ro,mode=755
33 29 0:29 / /sys/fs/cgroup/systemd rw,nosuid shared:11 - cgroup cgroup rw,xattr,name=systemd
36 29 0:33 / /sys/fs/cgroup/memory rw,nosuid shared:15 - cgroup cgroup rw,memory
37 29 0:34 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:16 - cgroup cgroup rw,cpu,cpuacct
38 29 0:35 / /sys/fs/cgroup/cpuset rw,nosuid - cgroup cgroup rw,cpuset
"""
HYBRID = V1 + "34 29 0:30 / /sys/fs/cgroup/unified rw,nosuid shared:10 - cgroup2 cgroup2 rw,nsdelegate\n"
OTHER = "24 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n22 24 0:21 / /proc rw - proc proc rw\n"
OF_A_CONTAINER = "40 29 0:33 /docker/abc /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"

OLD = {
    "/sys/fs/cgroup/systemd": {"xattr", "name=systemd"},
    "/sys/fs/cgroup/memory": {"memory"},
    "/sys/fs/cgroup/cpu,cpuacct": {"cpu", "cpuacct"},
    "/sys/fs/cgroup/cpuset": {"cpuset"},
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (V2, {"/sys/fs/cgroup": {"unified"}}),
        (V1, OLD),
        (HYBRID, OLD | {"/sys/fs/cgroup/unified": {"unified"}}),
        (OTHER + V2, {"/sys/fs/cgroup": {"unified"}}),
        (OTHER + V2 + OF_A_CONTAINER, {"/sys/fs/cgroup": {"unified"}}),
    ],
    ids=["version 2", "version 1", "hybrid", "among others", "a bind mount of a sub-tree"],
)
def test_hierarchies(text: str, expected: dict[str, set[str]]) -> None:
    assert {str(mount): controllers for mount, controllers in hierarchies(text)} == expected


@pytest.mark.parametrize("text", ["", OTHER, OF_A_CONTAINER])
def test_no_hierarchy_is_an_error(text: str) -> None:
    with pytest.raises(LabError, match="mount cgroup2"):
        hierarchies(text)


def version1(tmp_path: Path, *, memory: str, cpu: str) -> HostCgroups:
    """A host's groups in folders that look like two hierarchies of version 1."""
    for folder, file, value in (("memory", "memory.limit_in_bytes", memory), ("cpu", "cpu.cfs_quota_us", cpu)):
        group = tmp_path / folder / "holdfast-1-lab1"
        group.mkdir(parents=True)
        (group / file).write_text(value + "\n")
    return HostCgroups("1-lab1", [(tmp_path / "memory", {"memory"}), (tmp_path / "cpu", {"cpu", "cpuacct"})])


def version2(tmp_path: Path, *, memory: str, cpu: str) -> HostCgroups:
    group = tmp_path / "holdfast-1-lab1"
    group.mkdir(parents=True)
    (tmp_path / "cgroup.controllers").write_text("cpuset cpu io memory pids\n")
    (tmp_path / "cgroup.subtree_control").write_text("cpu io memory pids\n")
    (group / "memory.max").write_text(memory + "\n")
    (group / "cpu.max").write_text(cpu + "\n")
    return HostCgroups("1-lab1", [(tmp_path, {"unified"})])


UNLIMITED = str((2**63 - 1) // os.sysconf("SC_PAGESIZE") * os.sysconf("SC_PAGESIZE"))


@pytest.mark.parametrize(
    ("now", "wanted", "changed", "then"),
    [
        ((UNLIMITED, "-1"), (0, 0.0), False, (UNLIMITED, "-1")),
        ((UNLIMITED, "-1"), (512, 1.5), True, (str(512 * 2**20), "150000")),
        ((str(512 * 2**20), "150000"), (512, 1.5), False, (str(512 * 2**20), "150000")),
        ((str(512 * 2**20), "150000"), (0, 0.0), True, (UNLIMITED, "-1")),
    ],
)
def test_limits_of_version_1(
    now: tuple[str, str], wanted: tuple[int, float], changed: bool, then: tuple[str, str], tmp_path: Path
) -> None:
    groups = version1(tmp_path, memory=now[0], cpu=now[1])
    assert groups.create(*wanted) is changed
    assert (tmp_path / "memory/holdfast-1-lab1/memory.limit_in_bytes").read_text().strip() == then[0]
    assert (tmp_path / "cpu/holdfast-1-lab1/cpu.cfs_quota_us").read_text().strip() == then[1]
    assert groups.create(*wanted) is False


@pytest.mark.parametrize(
    ("now", "wanted", "changed", "then"),
    [
        (("max", "max 100000"), (0, 0.0), False, ("max", "max 100000")),
        (("max", "max 100000"), (512, 0.5), True, (str(512 * 2**20), "50000 100000")),
        ((str(512 * 2**20), "50000 100000"), (0, 0.0), True, ("max", "max 100000")),
    ],
)
def test_limits_of_version_2(
    now: tuple[str, str], wanted: tuple[int, float], changed: bool, then: tuple[str, str], tmp_path: Path
) -> None:
    groups = version2(tmp_path, memory=now[0], cpu=now[1])
    assert groups.create(*wanted) is changed
    assert (tmp_path / "holdfast-1-lab1/memory.max").read_text().strip() == then[0]
    assert (tmp_path / "holdfast-1-lab1/cpu.max").read_text().strip() == then[1]
    assert groups.create(*wanted) is False


def test_controllers_are_handed_down_only_where_that_was_not_done(tmp_path: Path) -> None:
    groups = version2(tmp_path, memory="max", cpu="max 100000")
    (tmp_path / "cgroup.subtree_control").write_text("cpu io pids\n")
    groups.create(0, 0.0)
    assert (tmp_path / "cgroup.subtree_control").read_text() == "+memory"


def test_a_cpuset_starts_with_what_its_parent_has(tmp_path: Path) -> None:
    group = tmp_path / "holdfast-1-lab1"
    group.mkdir()
    for item, value in (("cpuset.cpus", "0-1\n"), ("cpuset.mems", "0\n")):
        (tmp_path / item).write_text(value)
        (group / item).write_text("\n")
    HostCgroups("1-lab1", [(tmp_path, {"cpuset"})]).create(0, 0.0)
    assert (group / "cpuset.cpus").read_text() == "0-1\n"
    assert (group / "cpuset.mems").read_text() == "0\n"


def test_processes_are_found_in_sub_groups_too(tmp_path: Path) -> None:
    groups = HostCgroups("1-lab1", [(tmp_path, {"unified"})])
    inner = tmp_path / "holdfast-1-lab1/payload/system.slice"
    inner.mkdir(parents=True)
    (inner / "cgroup.procs").write_text("7\n8\n")
    (tmp_path / "holdfast-1-lab1/cgroup.procs").write_text("6\n")
    (tmp_path / "cgroup.procs").write_text("1\n")
    assert groups.processes() == {6, 7, 8}


def test_there_is_nothing_to_kill_or_remove_in_a_host_that_never_was(tmp_path: Path) -> None:
    groups = HostCgroups("1-lab1", [(tmp_path, {"unified"})])
    assert groups.processes() == set()
    assert groups.kill() is False
    assert groups.remove() is False


def test_what_survives_sigkill_is_named(tmp_path: Path) -> None:
    groups = HostCgroups("1-lab1", [(tmp_path, {"unified"})])
    (tmp_path / "holdfast-1-lab1").mkdir()
    child = subprocess.Popen(["sleep", "60"])
    # A file, unlike the kernel, goes on naming a process that has gone.
    (tmp_path / "holdfast-1-lab1/cgroup.procs").write_text(f"{child.pid}\n")
    with pytest.raises(LabError, match=str(child.pid)):
        groups.kill(deadline_seconds=0.1)
    assert child.wait(timeout=5) == -9


def test_groups_are_removed_deepest_first(tmp_path: Path) -> None:
    (tmp_path / "holdfast-1-lab1/payload/system.slice").mkdir(parents=True)
    groups = HostCgroups("1-lab1", [(tmp_path, {"unified"})])
    assert groups.remove() is True
    assert list(tmp_path.iterdir()) == []
    assert groups.remove() is False
