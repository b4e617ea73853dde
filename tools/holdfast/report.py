"""What is said after a run, on stderr: what failed, what was refused and why, how to go on."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TextIO

from holdfast.exit_codes import ExitCode

if TYPE_CHECKING:
    from holdfast.runner import Outcome


def report(outcome: Outcome, stream: TextIO | None = None, *, brief: bool = False) -> None:
    """Say how a run ended.

    Args:
        outcome: the run.
        stream: stderr unless told otherwise.
        brief: no closing line when the verb's own output says it all: after success, and for an unhealthy service.
    """
    out = stream or sys.stderr
    clean = outcome.redactor.text
    failures = outcome.log.failures
    said: set[str] = set()
    for result in failures:
        for violation in result.violations:
            text = clean(violation_text(violation))
            if text not in said:
                out.write(text + "\n")
                said.add(text)
        if not result.violations:
            label = {"gate": "refused", "input": "bad input"}.get(result.refusal or "", result.outcome)
            text = clean(f"{label}: {result.task}\n{_indent(result.message or 'no message', 4)}")
            hosts = sorted({r.host for r in failures if r.task == result.task and r.message == result.message})
            if text not in said:
                out.write(f"{', '.join(hosts)}: {text}\n")
                said.add(text)
    if outcome.complaint:
        out.write(clean(outcome.complaint) + "\n")
    if outcome.code is ExitCode.CANCELLED:
        _say_cancelled(outcome, out)
    if brief and not failures and outcome.code in (ExitCode.OK, ExitCode.UNHEALTHY):
        return
    counts = outcome.log.counts.values()
    tally = ", ".join(f"{sum(c[key] for c in counts)} {key}" for key in ("ok", "changed", "failed", "unreachable"))
    end = f"{int(outcome.code)} ({outcome.code.meaning})" if outcome.code else "done"
    out.write(f"{outcome.request.verb}: {end}; {tally}; {outcome.seconds:.1f} s; see {outcome.folder}\n")


def violation_text(violation: Mapping[str, Any]) -> str:
    """One broken rule of the catalog as a short paragraph; missing parts are left out."""
    lines = [f"{violation.get('path') or '(catalog)'}: {violation.get('wrong') or 'is wrong'}"]
    for key, title in (("rule", "rule"), ("why", "why"), ("nearest", "nearest that works")):
        value = violation.get(key)
        if value not in (None, "", [], {}):
            lines.append(f"    {title}: {value}")
    return "\n".join(lines)


def _say_cancelled(outcome: Outcome, out: TextIO) -> None:
    clean = outcome.redactor.text
    log = outcome.log
    out.write(f"Cancelled by {outcome.cancelled_by} after {outcome.seconds:.0f} s.\n")
    if outcome.in_progress:
        out.write("In progress, and perhaps half done:\n")
        for host, task in outcome.in_progress.items():
            out.write(clean(f"    {host}: {task} (play: {log.play})\n"))
    elif log.started:
        out.write(clean(f"Between tasks, after: {log.task} (play: {log.play})\n"))
    else:
        out.write("No task had begun.\n")
    out.write(f"Resume with the same command; what is done already stays done:\n    {outcome.request.resume}\n")


def _indent(text: str, by: int) -> str:
    return "\n".join(" " * by + line for line in text.strip().splitlines())
