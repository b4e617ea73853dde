# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# ruff: noqa: PTH110, PTH123, PTH208
# Strings from the task go straight to system calls: pathlib would only add import time to every call.

"""What host_state looks at before it changes anything: whether what is there belongs to something else."""

from __future__ import annotations

import os
from typing import Any

from ansible_collections.holdfast.stateful.plugins.module_utils.host_state import HostStateError


def require_lines(entries: list[dict[str, Any]]) -> None:
    """Refuse a file that is there and does not have the line that makes it ours."""
    for entry in entries:
        path, line = entry["path"], entry["line"]
        try:
            with open(path, encoding="utf-8", errors="replace") as handle:
                lines = [found.rstrip("\n") for found in handle]
        except FileNotFoundError:
            continue
        except OSError as error:
            raise HostStateError(f"{path}: expected to read it, found: {error.strerror}: check become") from error
        if line in lines:
            continue
        word = line.replace("=", " ").replace(":", " ").split()[0]
        found = next((text for text in lines if text.startswith(word)), "no such line")
        raise HostStateError(
            f"{path}: expected no such file, or one with the line {line!r}, found {found!r}: it belongs to something"
            " else on this host. Nothing was changed. Declare the name that is there again, or retire what is there"
            " and move the file away"
        )


def unclaimed(directories: list[dict[str, Any]]) -> list[str]:
    """Return the directories that hold something although the file that says whose they are is not there."""
    return [
        entry["path"]
        for entry in directories
        if entry.get("claimed_by") and holds_something(entry["path"]) and not os.path.exists(entry["claimed_by"])
    ]


def holds_something(path: str) -> bool:
    """Say whether a directory holds anything; what can't be looked into is an error."""
    try:
        return bool(os.listdir(path))
    except FileNotFoundError:
        return False
    except OSError as error:
        raise HostStateError(f"{path}: expected to look into it, found: {error.strerror}: look at it") from error
