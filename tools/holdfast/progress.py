"""Show a run while it goes on: a live view on a terminal, plain lines elsewhere. Always on stderr."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from rich.console import RenderableType

    from holdfast.events import EventLog, TaskResult
    from holdfast.redact import Redactor
    from holdfast.runner import Progress

_BAD = ("failed", "unreachable")


def choose(redactor: Redactor, *, verbose: bool, colour: bool, stream: TextIO | None = None) -> Progress:
    """The view that fits where stderr goes.

    Args:
        redactor: what is shown goes through it.
        verbose: print ansible's own output instead.
        colour: whether colours are welcome.
        stream: stderr unless told otherwise.
    """
    stream = stream or sys.stderr
    if verbose or not stream.isatty() or os.environ.get("TERM", "dumb") == "dumb":
        return PlainProgress(stream, redactor, verbose=verbose)
    return LiveProgress(stream, redactor, colour=colour)


def failure_line(result: TaskResult, redactor: Redactor) -> str:
    """One failed result in a line; the report at the end has all of it."""
    text = (redactor.text(result.message).strip().splitlines() or ["no message"])[0]
    return f"  {result.outcome}: [{result.host}] {redactor.text(result.task)}: {text}"


class PlainProgress:
    """A line per play and task, and every failure: for logs and pipes."""

    def __init__(self, stream: TextIO, redactor: Redactor, *, verbose: bool = False) -> None:
        """Write to ``stream``; with ``verbose`` ansible's own output, redacted, instead."""
        self._stream, self._redactor, self._verbose = stream, redactor, verbose
        self._begin = time.monotonic()

    def on_event(self, event: Mapping[str, Any], log: EventLog, result: TaskResult | None) -> None:
        """Print what is worth a line."""
        kind = event.get("event")
        if self._verbose:
            if event.get("stdout"):
                self._say(self._redactor.text(event["stdout"]))
        elif kind == "playbook_on_play_start":
            self._say(f"[{self._elapsed()}] play: {self._redactor.text(log.play)}")
        elif kind == "playbook_on_task_start":
            self._say(f"[{self._elapsed()}]   task: {self._redactor.text(log.task)}")
        elif result and result.outcome in _BAD:
            self._say(failure_line(result, self._redactor))

    def close(self) -> None:
        """Nothing is left open."""

    def _elapsed(self) -> str:
        minutes, seconds = divmod(int(time.monotonic() - self._begin), 60)
        return f"{minutes:02}:{seconds:02}"

    def _say(self, text: str) -> None:
        self._stream.write(text + "\n")
        self._stream.flush()


class LiveProgress:
    """The current play, task and hosts, and the counts per host, redrawn in place; failures scroll by above."""

    MOST_HOSTS = 12

    def __init__(self, stream: TextIO, redactor: Redactor, *, colour: bool) -> None:
        """Prepare; drawing starts with the first event, after ansible has been forked."""
        self._stream, self._redactor, self._colour = stream, redactor, colour
        self._begin = time.monotonic()
        self._log: EventLog | None = None
        self._live: Any = None

    def on_event(self, event: Mapping[str, Any], log: EventLog, result: TaskResult | None) -> None:
        """Start drawing, and let failures scroll by."""
        self._log = log
        if self._live is None:
            if event.get("event") != "playbook_on_play_start":
                return
            self._open()
        if result and result.outcome in _BAD:
            from rich.text import Text

            self._live.console.print(Text(failure_line(result, self._redactor), style="red"))

    def _open(self) -> None:
        from rich.console import Console
        from rich.live import Live

        console = Console(file=self._stream, no_color=not self._colour, highlight=False)
        self._live = Live(
            console=console, get_renderable=self.render, refresh_per_second=4, transient=True,
            redirect_stdout=False, redirect_stderr=False,
        )  # fmt: skip
        self._live.start()

    def render(self) -> RenderableType:
        """The view as it is now."""
        from rich.table import Table
        from rich.text import Text

        log = self._log
        if log is None:
            return Text("starting")
        minutes, seconds = divmod(int(time.monotonic() - self._begin), 60)
        # The drawing thread reads while the main thread writes: copies first, with no lock to wait for.
        running, counts = dict(log.running), dict(log.counts)
        grid = Table(box=None, padding=(0, 2, 0, 0), title=None, show_edge=False)
        for title in ("host", "ok", "changed", "failed", "unreachable"):
            grid.add_column(
                title, justify="left" if title == "host" else "right", style="dim" if title == "host" else ""
            )
        for host in list(counts)[: self.MOST_HOSTS]:
            c = counts[host]
            style = "red" if c["failed"] or c["unreachable"] else "yellow" if c["changed"] else ""
            grid.add_row(
                host,
                str(c["ok"] + c["changed"]),
                str(c["changed"]),
                str(c["failed"]),
                str(c["unreachable"]),
                style=style,
            )
        if len(counts) > self.MOST_HOSTS:
            grid.add_row(f"and {len(counts) - self.MOST_HOSTS} more", "", "", "", "")
        waiting = f" on {', '.join(running)}" if running else ""
        head = Text(f"{minutes:02}:{seconds:02}  ", style="bold")
        head.append(self._redactor.text(f"{log.play}\n       {log.task}{waiting}\n"), style="")
        from rich.console import Group

        return Group(head, grid)

    def close(self) -> None:
        """Wipe the view."""
        if self._live is not None:
            self._live.stop()
            self._live = None
