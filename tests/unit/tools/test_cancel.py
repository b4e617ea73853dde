"""Ctrl-C and SIGTERM against real runs, in processes of their own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from holdfast.cancel import Process, descendants, read_process

TOOLS = str(Path(__file__).resolve().parents[3] / "tools")
SLOW = """
- name: Sleep long
  ansible.builtin.command: sleep 61.{marker}
"""
DEAF = """
- name: Ignore signals
  ansible.builtin.command:
    argv:
      - "{python}"
      - -c
      - "import signal, time; [signal.signal(s, signal.SIG_IGN) for s in (2, 15, 1)]; time.sleep(61.{marker})"
"""


def running(marker: str) -> list[str]:
    found = []
    for entry in Path("/proc").iterdir():
        process = read_process(int(entry.name)) if entry.name.isdigit() else None
        if process and f"61.{marker}" in process.command:
            found.append(process.command)
    return found


def wait_for(condition: Callable[[], object], seconds: float = 90) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "waited too long"
        time.sleep(0.05)


@contextmanager
def started(root: Path, marker: str, processes: int) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-m", "holdfast", "apply", "--limit", "n1,n2"],
        env={**os.environ, "PYTHONPATH": TOOLS, "HOLDFAST_ROOT": str(root)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            wait_for(lambda: len(running(marker)) >= processes or process.poll() is not None)
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def ansible_left(root: Path) -> list[str]:
    left = []
    for entry in Path("/proc").iterdir():
        process = read_process(int(entry.name)) if entry.name.isdigit() else None
        if process and "ansible-playbook" in process.command and str(root) in process.command:
            left.append(process.command)
    return left


def summary_of(root: Path) -> dict[str, object]:
    (path,) = (root / ".holdfast" / "runs").glob("*/summary.json")
    data: dict[str, object] = json.loads(path.read_text())
    return data


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_run_cleanly_within_seconds(
    root: Path, playbook: Callable[[str, str], Path], number: signal.Signals
) -> None:
    marker = f"{os.getpid()}{int(number)}"
    playbook("site.yml", SLOW.format(marker=marker))
    with started(root, marker, 2) as process:
        begin = time.monotonic()
        process.send_signal(number)
        _out, err = process.communicate(timeout=60)
        took = time.monotonic() - begin
    assert process.returncode == 130, err
    assert took < 8
    assert "n1: Sleep long" in err
    assert "holdfast apply --limit n1,n2" in err
    summary = summary_of(root)
    assert summary["cancelled"] is True
    assert summary["cancelled_by"] == number.name
    assert summary["exit_code"] == 130
    assert {"host": "n1", "task": "Sleep long"} in summary["in_progress"]  # type: ignore[operator]
    wait_for(lambda: not running(marker) and not ansible_left(root), 5)


def test_what_ignores_signals_is_killed_after_the_grace(root: Path, playbook: Callable[[str, str], Path]) -> None:
    marker = f"{os.getpid()}77"
    playbook("site.yml", DEAF.format(marker=marker, python=sys.executable))
    with started(root, marker, 2) as process:
        begin = time.monotonic()
        process.send_signal(signal.SIGINT)
        _out, err = process.communicate(timeout=60)
        took = time.monotonic() - begin
    assert process.returncode == 130, err
    assert took < 12
    wait_for(lambda: not running(marker) and not ansible_left(root), 5)


def test_a_second_ctrl_c_kills_at_once_and_still_leaves_a_summary(
    root: Path, playbook: Callable[[str, str], Path]
) -> None:
    marker = f"{os.getpid()}78"
    playbook("site.yml", DEAF.format(marker=marker, python=sys.executable))
    with started(root, marker, 2) as process:
        process.send_signal(signal.SIGINT)
        time.sleep(0.3)
        begin = time.monotonic()
        process.send_signal(signal.SIGINT)
        _out, err = process.communicate(timeout=60)
        took = time.monotonic() - begin
    assert process.returncode == 130, err
    assert took < 3.5
    assert summary_of(root)["cancelled"] is True
    assert not running(marker)
    assert not ansible_left(root)


def test_descendants_are_found_and_shared_ssh_connections_spared() -> None:
    with subprocess.Popen(["sh", "-c", "sleep 30 & wait"]) as process:
        wait_for(lambda: len(descendants(os.getpid())) >= 2)
        found = {p.pid: p for p in descendants(os.getpid())}
        assert process.pid in found
        child = next(p for p in found.values() if p.parent == process.pid)
        child.kill(signal.SIGKILL)
        wait_for(lambda: not child.alive())
    assert Process(1, 0, 0, "ssh: /root/.ansible/cp/x [mux]").is_shared_connection
