# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# ruff: noqa: PTH112, PTH118
# Strings from the task go straight to system calls: pathlib would only add import time to every call.

"""What systemd units need: observed from unit times and file times, so an aborted run loses nothing."""

from __future__ import annotations

import os
import re
import stat
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.holdfast.stateful.plugins.module_utils.host_state import UNIT_DIRECTORIES, normalise_absent

PROPERTIES = (
    "Id",
    "LoadState",
    "ActiveState",
    "SubState",
    "UnitFileState",
    "NeedDaemonReload",
    "CanReload",
    "Result",
    "ReloadResult",
    "ActiveEnterTimestampMonotonic",
    "StateChangeTimestampMonotonic",
    "ExecMainStartTimestampMonotonic",
    "FragmentPath",
    "DropInPaths",
    "InvocationID",
    "Type",
)

ENABLED_STATES = {"enabled", "static", "generated", "alias", "indirect", "linked", "transient"}
ACTIVE_STATES = {"active", "reloading", "refreshing"}
# Types whose start is over when systemctl returns: the service has said so, or has ended. Only services have a type.
SETTLED_TYPES = {"notify", "notify-reload", "oneshot", ""}
NOT_THERE = {"not-found", "error", "bad-setting"}


def parse_show(text: str) -> list[dict[str, str]]:
    """Split the output of C(systemctl show) into one table per unit, in the order asked."""
    tables: list[dict[str, str]] = []
    for block in text.strip("\n").split("\n\n"):
        tables.append(dict(line.split("=", 1) for line in block.split("\n") if "=" in line))
    return tables


def realtime(monotonic_us: str, offset: float) -> float:
    """Convert systemd's monotonic microseconds to the clock that stamps files; 0 when it never happened."""
    value = int(monotonic_us) if monotonic_us.isdigit() else 0
    return value / 1e6 + offset if value else 0.0


def clock_offset() -> float:
    """Return what to add to a monotonic time: today's offset, so that a clock stepped after boot does not mislead."""
    return time.time() - time.clock_gettime(time.CLOCK_MONOTONIC)


def newest(paths: Iterable[str]) -> float:
    """Return the newest change below the paths; links count with their target, directories with what they hold."""
    latest = 0.0
    for path in paths:
        for found in walk(path):
            for read in (os.lstat, os.stat):
                try:
                    latest = max(latest, read(found).st_mtime)
                except OSError:
                    continue
    return latest


def walk(path: str) -> Iterable[str]:
    """Yield the path, and everything below it when it is a directory."""
    yield path
    if os.path.isdir(path):
        for base, directories, files in os.walk(path):
            for name in directories + files:
                # Temporary files of an unfinished write are not configuration yet.
                if ".holdfast-" not in name:
                    yield os.path.join(base, name)


def touch_future(paths: Iterable[str], now: float) -> None:
    """Stamp files from the future with now, so that they cause one restart and not one on every run."""
    for path in paths:
        for found in walk(path):
            try:
                info = os.lstat(found)
                if info.st_mtime > now and not stat.S_ISLNK(info.st_mode):
                    os.utime(found, (info.st_atime, now), follow_symlinks=False)
            except OSError:
                continue


@dataclass
class Need:
    """What one unit needs, decided before anything is done."""

    mask: bool | None = None
    enable: bool | None = None
    reset_failed: bool = False
    action: str | None = None
    wait: bool = False
    pending_restart: bool = False
    watched: list[str] = field(default_factory=list)

    @property
    def changes(self) -> bool:
        """Say whether anything about the unit will change."""
        return self.mask is not None or self.enable is not None or self.action is not None


def touched(paths: list[str], changed: Iterable[str]) -> bool:
    """Say whether this run changed one of the watched paths or something below it."""
    return any(path == watched or path.startswith(watched.rstrip("/") + "/") for path in changed for watched in paths)


def decide(
    entry: dict[str, Any],
    shown: dict[str, str],
    changed: list[str],
    offset: float,
    newest_of: Callable[[Iterable[str]], float] = newest,
) -> Need:
    """Compare a unit with its entry."""
    need = Need()
    load, active = shown.get("LoadState", ""), shown.get("ActiveState", "")
    file_state, sub = shown.get("UnitFileState", ""), shown.get("SubState", "")
    masked = load == "masked" or file_state.startswith("masked")
    if entry["masked"] is not None and entry["masked"] != masked:
        need.mask = entry["masked"]
    if entry["enabled"] is True and file_state not in ENABLED_STATES:
        need.enable = True
    elif entry["enabled"] is False and file_state in {"enabled", "enabled-runtime", "linked"}:
        need.enable = False
    if entry["state"] == "stopped":
        need.action = "stop" if active in ACTIVE_STATES | {"activating", "deactivating"} else None
        return need
    if entry["state"] == "started" and (active not in ACTIVE_STATES):
        retrying = active == "activating" and sub.startswith("auto-restart")
        if active == "activating" and not retrying:
            need.wait = not entry["no_block"]
        else:
            need.reset_failed = active == "failed"
            need.action = "start"
            return need
    if active not in ACTIVE_STATES | {"activating"}:
        return need
    decide_refresh(entry, shown, changed, offset, newest_of, need)
    return need


def decide_refresh(
    entry: dict[str, Any],
    shown: dict[str, str],
    changed: list[str],
    offset: float,
    newest_of: Callable[[Iterable[str]], float],
    need: Need,
) -> None:
    """Decide on restart, mark and reload of a unit that runs."""
    begins = [
        realtime(shown.get(name, ""), offset)
        for name in ("ActiveEnterTimestampMonotonic", "ExecMainStartTimestampMonotonic")
    ]
    # A service reads its configuration when its process starts, which may be minutes before it is active.
    begin = min([moment for moment in begins if moment] or [0.0])
    if begin and shown.get("ActiveState") != "activating":
        last_change = realtime(shown.get("StateChangeTimestampMonotonic", ""), offset)
    else:
        last_change = begin

    def is_stale(paths: list[str], since: float) -> bool:
        return bool(paths) and (touched(paths, changed) or (bool(since) and newest_of(paths) > since))

    if is_stale(entry["restart_on"], begin):
        need.action = "restart"
        need.watched = entry["restart_on"]
        return
    if is_stale(entry["pending_restart_on"], begin):
        need.pending_restart = True
    reload_failed = bool(entry["reload_on"]) and shown.get("ReloadResult", "success") not in {"success", ""}
    if is_stale(entry["reload_on"], last_change) or reload_failed:
        need.action = "reload"
        need.watched = entry["reload_on"]


def split_going(entries: list[dict[str, Any]], absent: list[Any]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Split units into those that are to be stopped and whose own file is to be removed, and all others."""
    gone = {normalise_absent(entry)[0] for entry in absent}

    def is_going(entry: dict[str, Any]) -> bool:
        return entry["state"] == "stopped" and any(folder + entry["name"] in gone for folder in UNIT_DIRECTORIES)

    return [entry for entry in entries if is_going(entry)], [entry for entry in entries if not is_going(entry)]


def needs_daemon_reload(tables: list[dict[str, str]], changed: list[str]) -> bool:
    """Say whether systemd's picture of its unit files is stale."""
    return any(path.startswith(UNIT_DIRECTORIES) for path in changed) or any(
        table.get("NeedDaemonReload") == "yes" for table in tables
    )


_SECRET_WORD = re.compile(r"(?i)((?:passw|passphrase|secret|token|cookie|credential|api[-_]?key)\S*?[\s:=\"']+)\S+")


def secret_words(contents: Iterable[bytes]) -> set[str]:
    """Return the words of secret files that are long enough to be a secret."""
    words: set[str] = set()
    for data in contents:
        words.update(word for word in re.split(r"[\s=:\"',;]+", data.decode("utf-8", "replace")) if len(word) >= 8)
    return words


def redact(text: str, words: set[str]) -> str:
    """Remove from a log excerpt what a secret file holds and what looks like a secret."""
    for word in sorted(words, key=len, reverse=True):
        text = text.replace(word, "********")
    return _SECRET_WORD.sub(r"\1********", text)
