# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Keeps the archives that Ansible makes of modules from one run to the next.

Ansible packs every module with all that it imports, a quarter of a second of work per module, into a folder that is
deleted at the end of the run. Here the archives of installed code stay, under a key that changes with that code, and
the next run finds them where Ansible looks.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from ansible.release import __version__ as ansible_version

# How ansible-core names the folder below its local temporary one (ansible.executor.module_common).
CACHE = "ansiballz_cache"
STORE = "holdfast-payloads"
# What is kept: nothing that a playbook may bring along in a folder of its own.
KEPT = ("ansible.modules.", "ansible_collections.holdfast.stateful.", "ansible_collections.community.")
KEEP_SECONDS = 7 * 86400


def signature(folders: Iterable[Path], installed: Iterable[Path]) -> str:
    """Return what identifies the code: ansible-core, every file in the folders, and when collections were installed."""
    parts = [ansible_version, sys.version]
    for folder in folders:
        for base, directories, files in os.walk(folder):
            directories[:] = sorted(name for name in directories if name != "__pycache__")
            for name in sorted(files):
                found = Path(base, name).stat()
                parts.append(f"{base}/{name} {found.st_size} {found.st_mtime_ns}")
    for manifest in installed:
        with suppress(FileNotFoundError):
            parts.append(f"{manifest} {manifest.stat().st_mtime_ns}")
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:20]


class PayloadStore:
    """The archives of one version of the code."""

    def __init__(self, local_tmp: str, key: str) -> None:
        """Name the folders: that of the run, which Ansible deletes, and that beside it, which stays."""
        self.run = Path(local_tmp) / CACHE
        self.base = Path(local_tmp).parent / STORE
        self.kept = self.base / key

    def lend(self) -> int:
        """Put the kept archives where Ansible looks and return how many; a folder that others may write is not read."""
        if not self.kept.is_dir() or not is_private(self.base) or not is_private(self.kept):
            return 0
        self.run.mkdir(exist_ok=True)
        lent = 0
        for archive in self.kept.iterdir():
            os.link(archive, self.run / archive.name)
            lent += 1
        return lent

    def keep(self) -> int:
        """Keep what this run has packed and return how many archives are new; forget code that nobody runs any more."""
        if not self.run.is_dir():
            return 0
        self.base.mkdir(mode=0o700, exist_ok=True)
        self.kept.mkdir(mode=0o700, exist_ok=True)
        if not is_private(self.base) or not is_private(self.kept):
            return 0
        new = 0
        for archive in self.run.iterdir():
            if archive.name.startswith(KEPT) and not archive.name.endswith((".lock", "-part")):
                new += self._keep_one(archive)
        os.utime(self.kept)
        for other in self.base.iterdir():
            if time.time() - other.stat().st_mtime > KEEP_SECONDS:
                shutil.rmtree(other)
        return new

    def _keep_one(self, archive: Path) -> bool:
        """Keep one archive: on the disk before it has its name, because an empty one would fail every later run."""
        if (self.kept / archive.name).exists():
            return False
        with archive.open("rb") as stream:
            os.fsync(stream.fileno())
        with suppress(FileExistsError):
            os.link(archive, self.kept / archive.name)
        return True


def is_private(folder: Path) -> bool:
    """Say whether only the user may write in the folder: archives are code."""
    found = folder.lstat()
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o022
