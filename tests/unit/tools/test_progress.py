from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from holdfast.events import EventLog
from holdfast.progress import LiveProgress, PlainProgress, choose
from holdfast.redact import Redactor


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


EVENTS = [
    {"event": "playbook_on_play_start", "event_data": {"name": "Orders"}},
    {"event": "playbook_on_task_start", "event_data": {"name": "Configure"}},
    {"event": "runner_on_start", "event_data": {"host": "n1", "task": "Configure"}},
    {"event": "runner_on_failed", "stdout": "fatal: password=hunter22",
     "event_data": {"host": "n2", "task": "Configure", "res": {"msg": "password=hunter22\nmore"}}},
]  # fmt: skip


def feed(progress: PlainProgress | LiveProgress) -> EventLog:
    log = EventLog()
    for event in EVENTS:
        result = log.take(event)
        progress.on_event(event, log, result)
    return log


def test_the_view_fits_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    assert isinstance(choose(Redactor(), verbose=False, colour=True, stream=Terminal()), LiveProgress)
    assert isinstance(choose(Redactor(), verbose=True, colour=True, stream=Terminal()), PlainProgress)
    assert isinstance(choose(Redactor(), verbose=False, colour=True, stream=io.StringIO()), PlainProgress)
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(choose(Redactor(), verbose=False, colour=True, stream=Terminal()), PlainProgress)


def test_plain_lines_name_plays_tasks_and_failures_without_secrets() -> None:
    stream = io.StringIO()
    feed(PlainProgress(stream, Redactor()))
    assert stream.getvalue().splitlines() == [
        "[00:00] play: Orders", "[00:00]   task: Configure", "  failed: [n2] Configure: password=***",
    ]  # fmt: skip


def test_verbose_prints_ansibles_own_output_redacted() -> None:
    stream = io.StringIO()
    feed(PlainProgress(stream, Redactor(), verbose=True))
    assert stream.getvalue() == "fatal: password=***\n"


def test_the_live_view_shows_play_task_hosts_and_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    view = LiveProgress(stream, Redactor(), colour=False)
    feed(view)
    view.close()
    from rich.console import Console

    console = Console(file=io.StringIO(), width=80)
    with console.capture() as capture:
        console.print(view.render())
    text = capture.get()
    for part in ("Orders", "Configure on n1", "host", "unreachable", "n2"):
        assert part in text
    assert "failed: [n2] Configure: password=***" in stream.getvalue()
    assert "hunter22" not in stream.getvalue()


def test_a_run_on_a_real_terminal_is_live_and_ends_with_its_result(
    root: Path, playbook: Callable[[str, str], Path]
) -> None:
    playbook("site.yml", "- name: Look\n  ansible.builtin.command: sleep 0.6\n")
    master, slave = pty.openpty()
    tools = str(Path(__file__).resolve().parents[3] / "tools")
    with subprocess.Popen(
        [sys.executable, "-m", "holdfast", "apply"],
        env={**os.environ, "TERM": "xterm", "PYTHONPATH": tools, "HOLDFAST_ROOT": str(root)},
        stdout=slave, stderr=slave, stdin=slave,
    ) as process:  # fmt: skip
        os.close(slave)
        seen = b""
        try:
            while chunk := os.read(master, 4096):
                seen += chunk
        except OSError:
            pass  # the terminal is gone with the process
        os.close(master)
    assert process.returncode == 0
    assert b"Play one" in seen
    assert b"Look on " in seen
    assert b"apply: done" in seen
