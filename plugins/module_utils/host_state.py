# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What host_state's parts share: the argument spec, the error type and the record of one run."""

from __future__ import annotations

import base64
import json
import os
import re
import zlib
from dataclasses import dataclass, field
from typing import Any

STAGES = ("before_packages", "normal")

ARGUMENT_SPEC: dict[str, dict[str, Any]] = {
    "packages": {"type": "list", "elements": "raw", "default": []},
    "packages_ahead": {"type": "list", "elements": "raw", "default": []},
    "directories": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "path": {"type": "path", "required": True},
            "owner": {"type": "str", "default": "root"},
            "group": {"type": "str", "default": "root"},
            "mode": {"type": "raw", "default": "0755"},
            "claimed_by": {"type": "path"},
            "stage": {"type": "str", "choices": list(STAGES), "default": "normal"},
        },
    },
    "files": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "mutually_exclusive": [["template", "content", "src"]],
        "options": {
            "path": {"type": "path", "required": True},
            "template": {"type": "str"},
            "content": {"type": "str"},
            "src": {"type": "str"},
            "owner": {"type": "str", "default": "root"},
            "group": {"type": "str", "default": "root"},
            "mode": {"type": "raw", "default": "0644"},
            "secret": {"type": "bool", "default": False, "no_log": False},
            "validate": {"type": "str"},
            "create_only": {"type": "bool", "default": False},
            "defer": {"type": "bool", "default": False},
            "block": {"type": "str"},
            "stage": {"type": "str", "choices": list(STAGES), "default": "normal"},
        },
    },
    "absent": {"type": "list", "elements": "raw", "default": []},
    "expect": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {"path": {"type": "path", "required": True}, "line": {"type": "str", "required": True}},
    },
    "units": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "name": {"type": "str", "required": True},
            "enabled": {"type": "bool"},
            "state": {"type": "str", "choices": ["started", "stopped"]},
            "masked": {"type": "bool"},
            "no_block": {"type": "bool", "default": False},
            "reload_on": {"type": "list", "elements": "path", "default": []},
            "restart_on": {"type": "list", "elements": "path", "default": []},
            "pending_restart_on": {"type": "list", "elements": "path", "default": []},
        },
    },
}

# What the action plugin adds: tasks cannot give these.
INTERNAL_SPEC: dict[str, dict[str, Any]] = {
    "_contents": {"type": "str", "no_log": True, "default": ""},
}

UNIT_DIRECTORIES = (
    "/etc/systemd/system/",
    "/run/systemd/system/",
    "/usr/local/lib/systemd/system/",
    "/usr/lib/systemd/system/",
    "/lib/systemd/system/",
)


class HostStateError(Exception):
    """A sentence for the operator: the thing, what was expected, what was found, what to do."""


@dataclass
class Run:
    """What one call may do and what it has done so far."""

    check: bool = False
    want_diff: bool = False
    # True in check mode when packages are missing: users, parents and units may come with them.
    lenient: bool = False
    changed: bool = False
    changed_files: list[str] = field(default_factory=list)
    # Those whose content changed: an owner or a mode alone is no reason to restart anything.
    rewritten: list[str] = field(default_factory=list)
    changed_units: list[str] = field(default_factory=list)
    started_units: list[str] = field(default_factory=list)
    restarted_units: list[str] = field(default_factory=list)
    reloaded_units: list[str] = field(default_factory=list)
    pending_restart: list[str] = field(default_factory=list)
    daemon_reloaded: bool = False
    missing_packages: list[str] = field(default_factory=list)
    dpkg_repaired: bool = False
    absent: list[str] = field(default_factory=list)
    unclaimed: list[str] = field(default_factory=list)
    diff: list[dict[str, str]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    # Directories that a real run would have made by now: their children are predicted, not refused.
    planned_directories: set[str] = field(default_factory=set)

    def file_changed(self, path: str, content: bool = True) -> None:
        """Record a change to a file, a directory or a removed path."""
        self.changed = True
        if content:
            self.rewritten.append(path)
        if path not in self.changed_files:
            self.changed_files.append(path)

    def unit_changed(self, name: str) -> None:
        """Record a change to a unit."""
        self.changed = True
        if name not in self.changed_units:
            self.changed_units.append(name)

    def add_diff(self, header: str, before: str, after: str) -> None:
        """Record a before/after pair; callers never hand a secret to it."""
        if self.want_diff:
            self.diff.append({"before_header": header, "after_header": header, "before": before, "after": after})

    def result(self) -> dict[str, Any]:
        """Return the module's result."""
        result: dict[str, Any] = {
            "changed": self.changed,
            "changed_files": self.changed_files,
            "changed_units": self.changed_units,
            "started_units": self.started_units,
            "restarted_units": self.restarted_units,
            "reloaded_units": self.reloaded_units,
            "pending_restart": self.pending_restart,
            "daemon_reloaded": self.daemon_reloaded,
            "missing_packages": self.missing_packages,
            "dpkg_repaired": self.dpkg_repaired,
            "absent": self.absent,
            "unclaimed": self.unclaimed,
        }
        if self.want_diff:
            result["diff"] = self.diff
        return result


def parse_mode(value: Any, path: str) -> int:
    """Return a mode given as a quoted octal string; a bare number is refused because YAML has changed its meaning."""
    if isinstance(value, str) and re.fullmatch(r"[0-7]{3,5}", value) and int(value, 8) <= 0o7777:
        return int(value, 8)
    raise HostStateError(
        f"{path}: expected mode as a quoted octal string such as '0640', found {value!r}: quote it in the task"
    )


def normalise_absent(entry: Any) -> tuple[str, bool]:
    """Return path and recurse of one entry of C(absent)."""
    if isinstance(entry, str):
        path, recurse = entry, False
    elif isinstance(entry, dict) and isinstance(entry.get("path"), str) and set(entry) <= {"path", "recurse"}:
        path, recurse = entry["path"], entry.get("recurse", False)
    else:
        raise HostStateError(f"absent: expected a path or {{path, recurse}}, found {entry!r}")
    if not isinstance(recurse, bool):
        raise HostStateError(f"absent: {path}: expected recurse to be true or false, found {recurse!r}")
    require_safe_path(path)
    return os.path.normpath(path), recurse


def require_safe_path(path: str) -> None:
    """Refuse relative paths and the top of the filesystem: a variable that came out empty must not aim at /etc."""
    clean = os.path.normpath(path)
    if not path.startswith("/") or path.startswith("//") or clean.count("/") < 2 or ".." in path.split("/"):
        raise HostStateError(
            f"{path!r}: expected an absolute path below a top-level directory, without '..': correct the task"
        )


def pack_contents(contents: dict[str, bytes]) -> str:
    """Pack file contents into one opaque string.

    One long no_log value masks only itself; a short secret as its own no_log value would blank parts of other output.
    """
    table = {path: data.decode("latin-1") for path, data in contents.items()}
    return base64.b64encode(zlib.compress(json.dumps(table).encode(), 6)).decode()


def unpack_contents(packed: str) -> dict[str, bytes]:
    """Undo pack_contents."""
    if not packed:
        return {}
    table = json.loads(zlib.decompress(base64.b64decode(packed)))
    return {path: text.encode("latin-1") for path, text in table.items()}
