# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Counts remote calls, the unit of cost of a run."""

from __future__ import annotations

DOCUMENTATION = r"""
name: remote_calls
type: aggregate
short_description: Counts module executions on remote hosts
version_added: 0.1.0
author: Holdfast (@holdfast)
description:
  - A run costs what its remote calls cost, so they are counted. One line per host is shown at the end of the run.
  - A remote call is one module sent to a host over a real connection, also when an action plugin sends several for one
    task, and one command of C(raw) or C(script). Tasks that only work on the controller, skipped tasks and everything
    over the C(local) connection do not count. A delegated task counts for the host that it was delegated to.
  - The plugin never fails a run. When it cannot count it says so.
requirements:
  - Enabled in C(callbacks_enabled).
options:
  file:
    description: File that receives the counts as JSON.
    type: path
    env:
      - name: HOLDFAST_REMOTE_CALLS_FILE
"""

import functools
import json
import os
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase
from ansible.plugins.callback import CallbackBase

LOW_LEVEL_TASKS = {"raw", "script"}


class Tally:
    """One line per remote call, in a nameless file.

    Tasks run in forked workers, which the callback cannot see into, but they inherit the descriptor: lines that are
    appended to a file by several processes do not mix.
    """

    def __init__(self) -> None:
        """Open the file; it has no name, so that a killed run leaves nothing behind."""
        descriptor, name = tempfile.mkstemp(prefix="holdfast-remote-calls-")
        os.close(descriptor)
        self.descriptor = os.open(name, os.O_RDWR | os.O_APPEND)
        Path(name).unlink()
        self.task_vars_host: str | None = None
        self.inside_module = False

    def add(self, host: str, task: str, role: str) -> None:
        """Record one call."""
        os.write(self.descriptor, (json.dumps([host, task, role]) + "\n").encode())

    def counts(self) -> dict[str, dict[str, Any]]:
        """Return the counts per host."""
        size = os.fstat(self.descriptor).st_size
        hosts: dict[str, dict[str, Any]] = {}
        for line in os.pread(self.descriptor, size, 0).decode().splitlines():
            host, task, role = json.loads(line)
            entry = hosts.setdefault(host, {"total": 0, "by_task": Counter(), "by_role": Counter()})
            entry["total"] += 1
            entry["by_task"][task] += 1
            entry["by_role"][role] += 1
        return {
            host: {
                "total": entry["total"],
                "by_task": dict(entry["by_task"]),
                "by_role": dict(entry["by_role"]),
            }
            for host, entry in sorted(hosts.items())
        }


def record(tally: Tally, action: Any, task_vars: dict[str, Any] | None) -> None:
    """Record a call of an action plugin, unless it stays on the controller."""
    try:
        if action._connection.transport == "local":
            return
        task = action._task
        own = (task_vars or {}).get("inventory_hostname") or tally.task_vars_host
        host = task.delegate_to or own or action._play_context.remote_addr
        role = task._role.get_name() if task._role else ""
        tally.add(str(host), task.get_name().strip(), role)
    except Exception:  # noqa: BLE001, S110  # counting must never disturb the work
        pass


def wrap_execute_module(tally: Tally, original: Callable[..., Any]) -> Callable[..., Any]:
    """Count what goes through ActionBase._execute_module, nested calls once each."""

    @functools.wraps(original)
    def counted(self: Any, *args: Any, **kwargs: Any) -> Any:
        record(tally, self, kwargs.get("task_vars"))
        outer, tally.inside_module = tally.inside_module, True
        try:
            return original(self, *args, **kwargs)
        finally:
            tally.inside_module = outer

    return counted


def wrap_low_level(tally: Tally, original: Callable[..., Any]) -> Callable[..., Any]:
    """Count the commands of raw and script, which send no module."""

    @functools.wraps(original)
    def counted(self: Any, *args: Any, **kwargs: Any) -> Any:
        if not tally.inside_module and str(self._task.action).rsplit(".", 1)[-1] in LOW_LEVEL_TASKS:
            record(tally, self, None)
        return original(self, *args, **kwargs)

    return counted


def wrap_run(tally: Tally, original: Callable[..., Any]) -> Callable[..., Any]:
    """Remember the host, which not every action plugin hands on to _execute_module."""

    @functools.wraps(original)
    def remembered(self: Any, tmp: Any = None, task_vars: Any = None) -> Any:
        tally.task_vars_host = (task_vars or {}).get("inventory_hostname")
        return original(self, tmp, task_vars)

    return remembered


class CallbackModule(CallbackBase):  # type: ignore[misc]  # ansible-core ships no types
    """Count the remote calls of a run."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "holdfast.stateful.remote_calls"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Start with nothing counted."""
        super().__init__(*args, **kwargs)
        self.tally: Tally | None = None
        self._originals: dict[str, Any] = {}

    def v2_playbook_on_start(self, playbook: Any) -> None:
        """Put the counters in place before any worker is forked."""
        del playbook
        try:
            self.tally = Tally()
            for name, wrap in (
                ("_execute_module", wrap_execute_module),
                ("_low_level_execute_command", wrap_low_level),
                ("run", wrap_run),
            ):
                self._originals[name] = getattr(ActionBase, name)
                setattr(ActionBase, name, wrap(self.tally, self._originals[name]))
        except Exception as error:  # noqa: BLE001  # counting must never fail a run
            self._display.warning(f"remote_calls: cannot count remote calls: {error}")

    def v2_playbook_on_stats(self, stats: Any) -> None:
        """Show and write the counts."""
        del stats
        for name, original in self._originals.items():
            setattr(ActionBase, name, original)
        self._originals = {}
        if self.tally is None:
            return
        try:
            counts = self.tally.counts()
            os.close(self.tally.descriptor)
            self.tally = None
            self._show(counts)
            self._write(counts)
        except Exception as error:  # noqa: BLE001  # counting must never fail a run
            self._display.warning(f"remote_calls: cannot report remote calls: {error}")

    def _show(self, counts: dict[str, dict[str, Any]]) -> None:
        """Show one line per host."""
        if not counts:
            return
        self._display.banner("REMOTE CALLS")
        width = max(len(host) for host in counts)
        for host, entry in counts.items():
            roles = ", ".join(f"{role or 'play'} {number}" for role, number in entry["by_role"].items())
            self._display.display(f"{host:<{width}} : {entry['total']:>3}  ({roles})")

    def _write(self, counts: dict[str, dict[str, Any]]) -> None:
        """Write the counts for whoever asserts them; complete or not at all."""
        name = self.get_option("file")
        if not name:
            return
        target = Path(name)
        partial = target.with_name(f".{target.name}.{os.getpid()}")
        partial.write_text(json.dumps({"hosts": counts}, indent=2) + "\n", encoding="utf-8")
        partial.replace(target)
