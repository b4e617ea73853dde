# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# ruff: noqa: PTH105, PTH108, PTH118, PTH208
# Strings from the task go straight to system calls: pathlib would only add import time to every call.

"""Writing one file so that a kill leaves the old or the new, never half."""

from __future__ import annotations

import os
import shlex
import stat
import subprocess
import tempfile
from typing import Any

from ansible_collections.holdfast.stateful.plugins.module_utils.host_state import HostStateError, parse_mode

VALIDATE_TIMEOUT = 120


def write_file(entry: dict[str, Any], content: bytes, uid: int, gid: int) -> None:
    """Write a file atomically: complete, owned, validated and on disk before it takes the name."""
    path = entry["path"]
    parent, base = os.path.split(path)
    prefix = f".{base}.holdfast-"
    remove_leftovers(parent, prefix)
    descriptor, temporary = tempfile.mkstemp(prefix=prefix, dir=parent)
    try:
        with os.fdopen(descriptor, "wb") as handle:
            handle.write(content)
            handle.flush()
            os.fchown(handle.fileno(), uid, gid)
            os.fchmod(handle.fileno(), parse_mode(entry["mode"], path))
            os.fsync(handle.fileno())
        if entry["validate"]:
            validate(entry, temporary)
        # Units are restarted when this time is newer than their start, so it is the time of the rename.
        os.utime(temporary)
        os.replace(temporary, path)
    except BaseException:
        if os.path.lexists(temporary):
            os.unlink(temporary)
        raise
    sync_directory(parent)


def remove_leftovers(parent: str, prefix: str) -> None:
    """Remove temporary files that a killed run left for this very file."""
    for name in os.listdir(parent):
        if name.startswith(prefix):
            leftover = os.path.join(parent, name)
            if stat.S_ISREG(os.lstat(leftover).st_mode):
                os.unlink(leftover)


def sync_directory(path: str) -> None:
    """Put a rename on disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def validate(entry: dict[str, Any], temporary: str) -> None:
    """Run the validate command on the temporary file."""
    path, command = entry["path"], entry["validate"]
    if command.count("%s") != 1:
        raise HostStateError(f"{path}: expected validate with one %s, found {command!r}: correct the task")
    words = [word.replace("%s", temporary) for word in shlex.split(command)]
    try:
        done = subprocess.run(
            words,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=VALIDATE_TIMEOUT,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise HostStateError(f"{path}: expected to run {words[0]} to validate it, found: {error}") from error
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip())[-2000:].replace(temporary, path)
        # A validator likes to quote the line it dislikes.
        said = "(output hidden: the file is secret)" if entry["secret"] else said
        raise HostStateError(
            f"{path}: expected {words[0]} to accept the new content, found exit code {done.returncode}: the old file"
            f" is untouched; correct the template. It said: {said}"
        )
