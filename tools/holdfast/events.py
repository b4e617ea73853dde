"""Fold ansible-runner's events into what a person, a summary and an exit code need."""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Event = Mapping[str, Any]
COUNTS = ("ok", "changed", "failed", "unreachable", "skipped", "ignored")
_ENDINGS = {
    "runner_on_ok": "ok",
    "runner_on_failed": "failed",
    "runner_on_unreachable": "unreachable",
    "runner_on_skipped": "skipped",
}
_COLOUR = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


@dataclass(frozen=True, slots=True)
class TaskResult:
    """How one task ended on one host.

    ``outcome`` is one of :data:`COUNTS`; ``message`` is **not** redacted yet; ``refusal`` is ``input``, ``gate`` or
    ``None``; ``violations`` are mappings with ``path``, ``rule``, ``wrong``, ``why``, ``nearest``.
    """

    play: str
    task: str
    host: str
    outcome: str
    seconds: float
    message: str = ""
    refusal: str | None = None
    violations: tuple[Mapping[str, Any], ...] = ()


@dataclass(slots=True)
class EventLog:
    """The story of one run so far. Feed it every event with :meth:`take`."""

    play: str = ""
    task: str = ""
    results: list[TaskResult] = field(default_factory=list)
    counts: dict[str, dict[str, int]] = field(default_factory=dict)
    running: dict[str, str] = field(default_factory=dict)  # host -> task
    published: dict[str, Any] = field(default_factory=dict)
    stats: dict[str, dict[str, int]] | None = None
    outside: deque[str] = field(default_factory=lambda: deque(maxlen=80))  # lines that belong to no task

    def take(self, event: Event) -> TaskResult | None:
        """Take one event in; returns the result when the event ended a task on a host."""
        kind = event.get("event", "")
        data = event.get("event_data") or {}
        if kind == "verbose":
            self.outside.append(_COLOUR.sub("", event.get("stdout") or ""))
        elif kind == "playbook_on_play_start":
            self.play, self.task = str(data.get("name") or ""), ""
        elif kind == "playbook_on_task_start":
            self.task = str(data.get("name") or data.get("task") or "")
        elif kind == "runner_on_start":
            self.running[str(data.get("host"))] = str(data.get("task") or self.task)
        elif kind == "playbook_on_stats":
            self.published = dict(data.get("artifact_data") or {})
            self.stats = {key: dict(data.get(key) or {}) for key in ("failures", "dark", "rescued", "ok", "changed")}
        elif kind in _ENDINGS:
            return self._end(kind, data)
        return None

    def _end(self, kind: str, data: Event) -> TaskResult:
        host = str(data.get("host"))
        self.running.pop(host, None)
        res = data.get("res") or {}
        outcome = _ENDINGS[kind]
        if outcome == "ok" and res.get("changed"):
            outcome = "changed"
        elif outcome == "failed" and data.get("ignore_errors"):
            outcome = "ignored"
        bad = outcome in ("failed", "unreachable", "ignored")
        refusal, violations = _refusal_of(res) if bad else (None, ())
        result = TaskResult(
            play=str(data.get("play") or self.play),
            task=str(data.get("task") or self.task),
            host=host,
            outcome=outcome,
            seconds=round(float(data.get("duration") or 0.0), 3),
            message=message_of(res) if bad else "",
            refusal=refusal,
            violations=violations,
        )
        self.results.append(result)
        self.counts.setdefault(host, dict.fromkeys(COUNTS, 0))[outcome] += 1
        return result

    @property
    def failures(self) -> list[TaskResult]:
        """Failed and unreachable results that no rescue made good."""
        bad = [r for r in self.results if r.outcome in ("failed", "unreachable")]
        if self.stats is None:
            return bad
        lost = {host for key in ("failures", "dark") for host, n in self.stats[key].items() if n}
        return [r for r in bad if r.host in lost]

    @property
    def started(self) -> bool:
        """Whether ansible got as far as a task."""
        return bool(self.task or self.results or self.running)

    def complaint(self) -> str:
        """What ansible said outside of any task: the error message when it could not even start."""
        lines = [line.rstrip() for line in self.outside if line.strip()]
        first = next((n for n, line in enumerate(lines) if "ERROR" in line), max(0, len(lines) - 20))
        return "\n".join(lines[first:])


def message_of(res: Event) -> str:
    """The most telling text in a task result."""
    msg = res.get("msg", res.get("censored", ""))
    parts = [msg if isinstance(msg, str) else json.dumps(msg, default=str)]
    for item in res.get("results") or ():
        if isinstance(item, Mapping) and (item.get("failed") or item.get("unreachable")):
            parts.append(f"{item.get('item', '')}: {message_of(item)}".removeprefix(": "))
    for key in ("stderr", "module_stderr", "reason"):
        if res.get(key):
            parts.append("\n".join(str(res[key]).strip().splitlines()[-8:]))
    return "\n".join(dict.fromkeys(part for part in parts if part))


def _refusal_of(res: Event) -> tuple[str | None, tuple[Mapping[str, Any], ...]]:
    found = [r for r in (res, *(res.get("results") or ())) if isinstance(r, Mapping) and r.get("refusal")]
    kinds = {str(r["refusal"]) for r in found}
    violations = tuple(v for r in found for v in r.get("violations") or () if isinstance(v, Mapping))
    if not kinds:
        return None, ()
    return ("input" if "input" in kinds else "gate"), violations
