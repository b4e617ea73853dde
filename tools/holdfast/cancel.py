"""End a run on Ctrl-C or SIGTERM: first kindly, then by force, and leave no process behind.

Ansible's workers are leaders of their own sessions, so killing ansible's process group would orphan them. Ansible
passes SIGINT on to its workers; we send that, wait, and then look for what is left.
"""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType

from holdfast.environment import RUN_ID

GRACE_SECONDS = 4.0
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True, slots=True)
class Process:
    """A process of this machine; ``started`` (clock ticks since boot) tells it from a later one with the same id."""

    pid: int
    parent: int
    started: int
    command: str

    @property
    def is_shared_connection(self) -> bool:
        """An ssh connection kept open for the next run: not part of this one."""
        return self.command.startswith("ssh: ") or "[mux]" in self.command

    def alive(self) -> bool:
        """Whether it still runs; a zombie does not."""
        now = read_process(self.pid)
        return now is not None and now.started == self.started

    def kill(self, number: int) -> None:
        """Send a signal, unless the process is gone."""
        if self.alive():
            with suppress(OSError):
                os.kill(self.pid, number)


def read_process(pid: int) -> Process | None:
    """The process with this id, or ``None`` when there is none (or only a zombie)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace").strip()
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] == "Z" else Process(pid, int(fields[1]), int(fields[19]), command)


def descendants(pid: int) -> list[Process]:
    """Children, grandchildren and so on of a process, parents first."""
    everything = [p for p in (read_process(int(e.name)) for e in Path("/proc").iterdir() if e.name.isdigit()) if p]
    found: list[Process] = []
    parents = {pid}
    while True:
        level = [p for p in everything if p.parent in parents]
        if not level:
            return found
        found += level
        parents = {p.pid for p in level}


def left_over(run_id: str) -> list[Process]:
    """Ansible processes of a run, wherever they hang in the process tree."""
    mark = f"{RUN_ID}={run_id}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with suppress(OSError):
            if mark in (entry / "environ").read_bytes().split(b"\0"):
                process = read_process(int(entry.name))
                if process and "ansible-playbook" in process.command:
                    found.append(process)
    return found


class Cancellation:
    """Signal handling around one run. Use as a context manager; ask :meth:`must_kill` from the runner's loop."""

    def __init__(self, run_id: str, grace: float = GRACE_SECONDS) -> None:
        """Prepare; ``grace`` is how many seconds ansible gets to end by itself."""
        self.requested = False
        self.by = ""
        self._over = False
        self._hard = False
        self._told: set[tuple[int, int]] = set()
        self._seen: dict[int, Process] = {}
        self._since = 0.0
        self._run_id = run_id
        self._grace = grace
        self._before: dict[int, object] = {}

    def __enter__(self) -> Cancellation:
        """Take the signals over."""
        self._before = {number: signal.signal(number, self._on_signal) for number in _SIGNALS}
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        """Give the signals back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if self._over:
            return  # ansible has ended: all that is left is to write down what happened
        if self.requested and number == signal.SIGINT:
            self._hard = True
            self._look()
            for process in self._seen.values():
                process.kill(signal.SIGKILL)
            return
        if not self.requested:
            self.requested, self._since, self.by = True, time.monotonic(), signal.Signals(number).name
            os.write(2, b"\nCancelling: waiting for ansible to stop (Ctrl-C again kills it) ...\n")
        self._interrupt()

    def _look(self) -> list[Process]:
        alive = [p for p in descendants(os.getpid()) if not p.is_shared_connection]
        self._seen.update({p.pid: p for p in alive})
        return alive

    def _interrupt(self) -> None:
        """SIGINT, once, to ansible-playbook itself: it tells its workers."""
        for process in self._look():
            key = (process.pid, process.started)
            if process.parent == os.getpid() and "ansible-playbook" in process.command and key not in self._told:
                self._told.add(key)
                process.kill(signal.SIGINT)

    def must_kill(self) -> bool:
        """For ansible-runner's ``cancel_callback``: whether the time for kindness is over."""
        if not self.requested:
            return False
        self._interrupt()
        return self._hard or time.monotonic() - self._since > self._grace

    def mop_up(self) -> None:
        """After the run: end what is left of it, if it was cancelled; later signals are ignored."""
        self._over = True
        if not self.requested:
            return
        self._look()
        for number, wait in ((signal.SIGTERM, 1.0), (signal.SIGKILL, 1.0)):
            self._seen.update({p.pid: p for p in left_over(self._run_id)})
            for process in self._seen.values():
                process.kill(number)
            until = time.monotonic() + wait
            while any(p.alive() for p in self._seen.values()) and time.monotonic() < until:
                time.sleep(0.05)
