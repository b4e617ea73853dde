# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A cgroup of its own for every lab host, in every hierarchy.

Without it, containers share one subtree and stop each other's units (design.md section 8). The same groups
carry memory and CPU limits, and they are the one reliable list of a host's processes.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

from .process import LabError

PERIOD_US = 100_000


def hierarchies(mountinfo: str | None = None) -> list[tuple[Path, set[str]]]:
    """Return the mounted cgroup hierarchies as (mount point, controllers); `{"unified"}` marks version 2.

    Tmpfs mounts and bind mounts of sub-trees are left out. `mountinfo` is the text of /proc/self/mountinfo.
    """
    text = Path("/proc/self/mountinfo").read_text(encoding="utf-8") if mountinfo is None else mountinfo
    found: list[tuple[Path, set[str]]] = []
    for line in text.splitlines():
        left, _separator, right = line.partition(" - ")
        fields, kind = left.split(), right.split()
        if kind[0] == "cgroup2":
            found.append((Path(fields[4]), {"unified"}))
        elif kind[0] == "cgroup" and fields[3] == "/":
            found.append((Path(fields[4]), set(kind[2].split(",")) - {"rw", "ro"}))
    if not found:
        raise LabError("no cgroup hierarchy is mounted under /sys/fs/cgroup: lab hosts need one; mount cgroup2 there")
    return found


class HostCgroups:
    """The cgroups of one lab host, by the name of its machine."""

    def __init__(self, machine: str, mounts: list[tuple[Path, set[str]]] | None = None) -> None:
        """Take the machine's name; `mounts` is for tests."""
        self.mounts = hierarchies() if mounts is None else mounts
        self.name = f"holdfast-{machine}"

    def paths(self) -> list[tuple[Path, set[str]]]:
        """Return the host's group in each hierarchy with the hierarchy's controllers."""
        return [(mount / self.name, controllers) for mount, controllers in self.mounts]

    def create(self, memory_mb: int, cpus: float) -> bool:
        """Create the groups and set the limits (0 is none); return whether anything changed."""
        changed = False
        for path, controllers in self.paths():
            if "unified" in controllers:
                self._delegate(path.parent)
            if not path.is_dir():
                path.mkdir()
                changed = True
            if "cpuset" in controllers:
                for item in ("cpuset.cpus", "cpuset.mems"):
                    if not (path / item).read_text().strip():
                        (path / item).write_text((path.parent / item).read_text())
        for file, value in self._limits(memory_mb, cpus):
            if file.read_text().split() != value.split():
                file.write_text(value)
                changed = True
        return changed

    @staticmethod
    def _delegate(root: Path) -> None:
        available = (root / "cgroup.controllers").read_text().split()
        enabled = (root / "cgroup.subtree_control").read_text().split()
        for controller in ("memory", "cpu", "io", "pids"):
            if controller in available and controller not in enabled:
                (root / "cgroup.subtree_control").write_text(f"+{controller}")

    def _limits(self, memory_mb: int, cpus: float) -> list[tuple[Path, str]]:
        wanted: list[tuple[Path, str]] = []
        for path, controllers in self.paths():
            if "memory" in controllers:
                page = os.sysconf("SC_PAGESIZE")
                most = (2**63 - 1) // page * page
                wanted.append((path / "memory.limit_in_bytes", str(memory_mb * 2**20 if memory_mb else most)))
            if "cpu" in controllers:
                wanted.append((path / "cpu.cfs_quota_us", str(int(cpus * PERIOD_US)) if cpus else "-1"))
            if "unified" in controllers and (path / "memory.max").exists():
                wanted.append((path / "memory.max", str(memory_mb * 2**20) if memory_mb else "max"))
            if "unified" in controllers and (path / "cpu.max").exists():
                wanted.append((path / "cpu.max", f"{int(cpus * PERIOD_US) if cpus else 'max'} {PERIOD_US}"))
        return wanted

    def join(self) -> None:
        """Move the calling process into the groups (called between fork and exec)."""
        for path, _controllers in self.paths():
            (path / "cgroup.procs").write_text(str(os.getpid()))

    def processes(self) -> set[int]:
        """Return the process ids in the groups and everything below them."""
        pids: set[int] = set()
        for path, _controllers in self.paths():
            for folder, _dirs, files in os.walk(path):
                if "cgroup.procs" in files:
                    with contextlib.suppress(OSError):
                        pids.update(int(pid) for pid in (Path(folder) / "cgroup.procs").read_text().split())
        return pids

    def kill(self, deadline_seconds: float = 20.0) -> bool:
        """SIGKILL every process until none is left; return whether there was any. Raises LabError at the deadline."""
        end = time.monotonic() + deadline_seconds
        any_killed = False
        while pids := self.processes():
            any_killed = True
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            if time.monotonic() > end:
                raise LabError(f"{self.name}: processes {sorted(pids)} survive SIGKILL for {deadline_seconds:.0f} s")
            time.sleep(0.05)
        return any_killed

    def remove(self) -> bool:
        """Remove the groups, deepest first; return whether there was any."""
        changed = False
        for path, _controllers in self.paths():
            for folder, _dirs, _files in os.walk(path, topdown=False):
                self._rmdir(Path(folder))
                changed = True
        return changed

    @staticmethod
    def _rmdir(folder: Path) -> None:
        # A group whose last process has just died stays busy for a moment.
        for _attempt in range(100):
            try:
                folder.rmdir()
            except FileNotFoundError:
                return
            except OSError:
                time.sleep(0.05)
            else:
                return
        raise LabError(f"{folder}: cgroup can't be removed; see its cgroup.procs")
