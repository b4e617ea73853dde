# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# ruff: noqa: PTH112
# Strings from the task go straight to system calls: pathlib would only add import time to every call.

"""The calls to systemctl that carry out what host_state_units decided."""

from __future__ import annotations

import os
import subprocess
import time
from typing import Any

from ansible_collections.holdfast.stateful.plugins.module_utils.host_state import HostStateError, Run
from ansible_collections.holdfast.stateful.plugins.module_utils.host_state_units import (
    NOT_THERE,
    PROPERTIES,
    Need,
    clock_offset,
    decide,
    needs_daemon_reload,
    parse_show,
    redact,
    touch_future,
)

SYSTEMCTL_TIMEOUT = 600
SETTLE_SECONDS = 0.6
# Without the last, every enable and disable runs update-rc.d as well, which decides nothing where a native unit exists.
ENVIRONMENT = {
    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
    "LC_ALL": "C.UTF-8",
    "SYSTEMD_COLORS": "0",
    "SYSTEMCTL_SKIP_SYSV": "1",
}


def call(*words: str) -> subprocess.CompletedProcess[str]:
    """Run systemctl or journalctl."""
    try:
        return subprocess.run(
            words,
            env=ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=SYSTEMCTL_TIMEOUT,
            check=False,
        )
    except FileNotFoundError as error:
        raise HostStateError(f"{words[0]}: expected a host run by systemd, found no such program") from error
    except subprocess.TimeoutExpired as error:
        raise HostStateError(
            f"{' '.join(words)}: expected to finish in {SYSTEMCTL_TIMEOUT} s, still running: look at the unit on the"
            " host, then run again"
        ) from error


def disable(names: list[str]) -> None:
    """Disable units; those that can't be enabled are passed over."""
    done = call("systemctl", "disable", "--quiet", "--no-warn", "--", *names)
    if done.returncode != 0:
        raise HostStateError(
            f"units {', '.join(names)}: expected systemctl to disable them, found {done.stderr.strip()}: correct the"
            " cause on the host, then run again"
        )


def show(names: list[str]) -> list[dict[str, str]]:
    """Ask systemd for all units in one call."""
    done = call("systemctl", "show", "--property=" + ",".join(PROPERTIES), "--", *names)
    tables = parse_show(done.stdout)
    if done.returncode != 0 or len(tables) != len(names):
        raise HostStateError(
            f"units {', '.join(names)}: expected systemctl show to describe each, found exit code {done.returncode}:"
            f" {done.stderr.strip() or 'no answer'}: check the unit names and that systemd runs"
        )
    return tables


class Units:
    """The units of one call."""

    def __init__(self, entries: list[dict[str, Any]], words: set[str], run: Run) -> None:
        """Keep what is wanted, and the secret words that must not leave the host in an excerpt of its journal."""
        self.entries = entries
        self.words = words
        self.run = run
        self.tables: dict[str, dict[str, str]] = {}

    def converge(self) -> None:
        """Converge all units; what runs stays untouched unless its files changed."""
        if not self.entries:
            return
        names = [entry["name"] for entry in self.entries]
        if not os.path.isdir("/run/systemd/system"):
            if self.run.lenient:
                return
            raise HostStateError(f"units {', '.join(names)}: expected a host run by systemd, found another init")
        self.observe(names)
        if needs_daemon_reload(list(self.tables.values()), self.run.rewritten):
            self.run.changed = True
            self.run.daemon_reloaded = True
            if not self.run.check:
                self.do("systemd", "daemon-reload")
                self.observe(names)
        for entry in self.entries:
            self.converge_unit(entry)
        self.settle()

    def observe(self, names: list[str]) -> None:
        """Read the state of the units."""
        self.tables = dict(zip(names, show(names), strict=True))

    def converge_unit(self, entry: dict[str, Any]) -> None:
        """Converge one unit."""
        name = entry["name"]
        shown = self.tables[name]
        need = decide(entry, shown, self.run.rewritten, clock_offset())
        if not self.is_there(entry, shown):
            return
        if shown.get("LoadState") == "masked" and need.mask is not False and (need.action == "start" or need.enable):
            raise HostStateError(f"{name}: expected a unit to start or enable, found it masked: set masked: false")
        if need.action == "reload" and shown.get("CanReload") == "no":
            raise HostStateError(
                f"{name}: expected a unit that can reload, found that it has no ExecReload: use restart_on or"
                " pending_restart_on instead of reload_on"
            )
        if need.pending_restart:
            self.run.pending_restart.append(name)
        if need.changes:
            self.run.unit_changed(name)
            self.run.add_diff(f"unit {name}", describe_now(shown), describe_then(shown, need))
        self.note(name, need)
        if not self.run.check:
            self.act(entry, need)

    def is_there(self, entry: dict[str, Any], shown: dict[str, str]) -> bool:
        """Say whether a unit is there to work on; refuse an absent one that has to run."""
        name = entry["name"]
        if shown.get("LoadState") not in NOT_THERE:
            return True
        wanted = entry["state"] == "started" or entry["enabled"]
        if not wanted:
            # A unit that does not exist is stopped and disabled; masking it is possible all the same.
            return entry["masked"] is True
        if self.run.lenient or (self.run.check and self.run.daemon_reloaded):
            self.run.unit_changed(name)
            if entry["state"] == "started":
                self.run.started_units.append(name)
            return False
        raise HostStateError(
            f"{name}: expected a unit that systemd can load, found LoadState={shown.get('LoadState')}: check the unit's"
            " name, the package that brings it, or its file with systemd-analyze verify"
        )

    def note(self, name: str, need: Need) -> None:
        """Report what is done, or would be."""
        if need.action == "start":
            self.run.started_units.append(name)
        elif need.action == "restart":
            self.run.restarted_units.append(name)
        elif need.action == "reload":
            self.run.reloaded_units.append(name)

    def act(self, entry: dict[str, Any], need: Need) -> None:
        """Carry out what a unit needs."""
        name = entry["name"]
        block = ["--no-block"] if entry["no_block"] else []
        # Stopped first: a unit that is masked while it runs can no longer be found by its file.
        if need.action == "stop":
            self.do(name, "stop", *block)
        if need.mask is not None:
            self.do(name, "mask" if need.mask else "unmask")
        if need.enable is not None:
            self.do(name, "enable" if need.enable else "disable")
        if need.reset_failed:
            self.do(name, "reset-failed")
        if need.wait:
            self.do(name, "start")
        if need.action in {"start", "restart", "reload"}:
            touch_future(need.watched, time.time())
            self.do(name, need.action, *block)

    def do(self, name: str, verb: str, *options: str) -> None:
        """Run one systemctl verb."""
        target = [] if verb == "daemon-reload" else ["--", name]
        done = call("systemctl", verb, "--quiet", *options, *target)
        if done.returncode != 0:
            self.fail(name, verb, done.stderr.strip())

    def fail(self, name: str, verb: str, said: str) -> None:
        """Say what a unit should have done, what it did, and what its journal says."""
        found = ""
        log = ""
        if verb != "daemon-reload":
            table = show([name])[0]
            found = ", ".join(f"{key}={table.get(key)}" for key in ("ActiveState", "SubState", "Result"))
            # Only this invocation: older lines may hold what this call does not know to be secret.
            invocation = table.get("InvocationID", "")
            about = [f"_SYSTEMD_INVOCATION_ID={invocation}", "+", f"INVOCATION_ID={invocation}"]
            log = call("journalctl", "--lines=20", "--no-pager", "--output=short-iso", *about).stdout.strip()
        raise HostStateError(
            f"{name}: expected systemctl {verb} to succeed, found {found or 'an error'} ({redact(said, self.words)}):"
            f" read the last lines of its journal, correct the cause and run again.\n{redact(log, self.words)}"
        )

    def settle(self) -> None:
        """Watch the started units for a moment: a process that dies of its configuration does so at once."""
        waiting = {entry["name"] for entry in self.entries if entry["no_block"]}
        names = [name for name in self.run.started_units + self.run.restarted_units if name not in waiting]
        if self.run.check or not names:
            return
        deadline = time.monotonic() + SETTLE_SECONDS
        while True:
            for name, table in zip(names, show(names), strict=True):
                if table.get("ActiveState") == "failed" or table.get("SubState", "").startswith("auto-restart"):
                    self.fail(name, "start", "it ended at once")
            if time.monotonic() >= deadline:
                return
            time.sleep(0.2)


def describe_now(shown: dict[str, str]) -> str:
    """Describe a unit as found."""
    return f"{shown.get('UnitFileState') or shown.get('LoadState')}, {shown.get('ActiveState')}\n"


def describe_then(shown: dict[str, str], need: Need) -> str:
    """Describe a unit as it will be."""
    file_state = shown.get("UnitFileState") or shown.get("LoadState")
    if need.enable is not None:
        file_state = "enabled" if need.enable else "disabled"
    if need.mask:
        file_state = "masked"
    active = {"start": "active", "stop": "inactive", "restart": "active (restarted)", "reload": "active (reloaded)"}
    return f"{file_state}, {active.get(need.action or '', shown.get('ActiveState'))}\n"
