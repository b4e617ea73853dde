# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.plugins.action import ActionBase
from ansible_collections.holdfast.stateful.plugins.callback import remote_calls


class Action:
    """As much of an action plugin as the counters look at."""

    def __init__(self, task: str = "Ping", action: str = "ping", transport: str = "ssh", **options: Any) -> None:
        role = options.get("role")
        self._connection = SimpleNamespace(transport=transport)
        self._play_context = SimpleNamespace(remote_addr="10.0.0.1")
        self._task = SimpleNamespace(
            action=action,
            delegate_to=options.get("delegate_to"),
            _role=SimpleNamespace(get_name=lambda: role) if role else None,
            get_name=lambda: task,
        )


def call(tally: remote_calls.Tally, action: Action, host: str | None = "h1") -> None:
    execute = remote_calls.wrap_execute_module(tally, lambda _self, **_: None)
    execute(action, task_vars={"inventory_hostname": host} if host else None)


def test_counts_per_host_task_and_role() -> None:
    tally = remote_calls.Tally()
    call(tally, Action(role="redis"))
    call(tally, Action(role="redis"))
    call(tally, Action("Other"), "h2")
    assert tally.counts() == {
        "h1": {"total": 2, "by_task": {"Ping": 2}, "by_role": {"redis": 2}},
        "h2": {"total": 1, "by_task": {"Other": 1}, "by_role": {"": 1}},
    }


def test_the_controller_costs_nothing() -> None:
    tally = remote_calls.Tally()
    call(tally, Action(transport="local"))
    assert tally.counts() == {}


def test_a_delegated_call_is_the_other_hosts() -> None:
    tally = remote_calls.Tally()
    call(tally, Action(delegate_to="h9"))
    assert list(tally.counts()) == ["h9"]


def test_the_host_is_known_even_when_the_action_does_not_hand_it_on() -> None:
    tally = remote_calls.Tally()
    remote_calls.wrap_run(tally, lambda _self, _tmp, _vars: None)(Action(), None, {"inventory_hostname": "h3"})
    call(tally, Action(), None)
    assert list(tally.counts()) == ["h3"]


@pytest.mark.parametrize(
    ("action", "inside", "count"),
    [("ansible.builtin.raw", False, 1), ("script", False, 1), ("ping", False, 0), ("raw", True, 0)],
)
def test_only_raw_commands_count_as_such(action: str, inside: bool, count: int) -> None:
    tally = remote_calls.Tally()
    tally.task_vars_host = "h1"
    tally.inside_module = inside
    remote_calls.wrap_low_level(tally, lambda _self: None)(Action(action=action))
    assert sum(entry["total"] for entry in tally.counts().values()) == count


def test_calls_of_forked_workers_arrive() -> None:
    tally = remote_calls.Tally()
    children = []
    for number in range(8):
        child = os.fork()
        if child == 0:
            for _call in range(100):
                call(tally, Action("x" * 5000), f"h{number}")
            os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)
    assert [entry["total"] for entry in tally.counts().values()] == [100] * 8


def test_a_broken_counter_does_not_disturb_the_work() -> None:
    tally = remote_calls.Tally()
    os.close(tally.descriptor)
    wrapped = remote_calls.wrap_execute_module(tally, lambda _self, **_: "done")
    assert wrapped(Action(), task_vars={"inventory_hostname": "h1"}) == "done"
    assert wrapped(object()) == "done"


def make_plugin(monkeypatch: pytest.MonkeyPatch, file: Path | None) -> tuple[Any, list[str]]:
    plugin = remote_calls.CallbackModule()
    shown: list[str] = []
    plugin._display = SimpleNamespace(banner=shown.append, display=shown.append, warning=shown.append)
    monkeypatch.setattr(plugin, "get_option", lambda _name: str(file) if file else None)
    return plugin, shown


def test_summary_and_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = ActionBase._execute_module
    plugin, shown = make_plugin(monkeypatch, tmp_path / "calls.json")
    plugin.v2_playbook_on_start(None)
    assert ActionBase._execute_module is not original
    call(plugin.tally, Action(role="redis"))
    plugin.v2_playbook_on_stats(None)
    assert ActionBase._execute_module is original
    assert shown == ["REMOTE CALLS", "h1 :   1  (redis 1)"]
    assert json.loads((tmp_path / "calls.json").read_text()) == {
        "hosts": {"h1": {"total": 1, "by_task": {"Ping": 1}, "by_role": {"redis": 1}}}
    }


def test_a_file_that_cannot_be_written_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plugin, shown = make_plugin(monkeypatch, tmp_path / "none" / "calls.json")
    plugin.v2_playbook_on_start(None)
    plugin.v2_playbook_on_stats(None)
    assert "cannot report remote calls" in shown[-1]


def test_a_tally_that_cannot_be_made_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise OSError("no space")

    plugin, shown = make_plugin(monkeypatch, None)
    monkeypatch.setattr(remote_calls, "Tally", fail)
    plugin.v2_playbook_on_start(None)
    plugin.v2_playbook_on_stats(None)
    assert shown == ["remote_calls: cannot count remote calls: no space"]
