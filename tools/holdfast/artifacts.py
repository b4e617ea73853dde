"""The run folder: what is kept of a run. Everything in it has gone through the redactor."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from holdfast import __version__
from holdfast.project import git_commit

if TYPE_CHECKING:
    from holdfast.runner import Outcome

KEEP_READ_ONLY = 50  # run folders per read-only verb: status is polled


def write_run_folder(outcome: Outcome, spool: Path) -> Path:
    """Write ``summary.json``, ``junit.xml`` and ``stdout.log`` into a new folder and return it.

    Args:
        outcome: the run, as it ended.
        spool: ansible's output, unredacted, in a private folder.

    Raises:
        OSError: the folder cannot be written.
    """
    request = outcome.request
    request.runs_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    stamp = outcome.started.strftime("%Y%m%dT%H%M%SZ")
    folder = request.runs_dir / f"{stamp}-{request.verb}-{outcome.run_id}"
    folder.mkdir(mode=0o700)
    output = spool.read_text(encoding="utf-8", errors="replace") if spool.exists() else ""
    _write(folder / "stdout.log", outcome.redactor.text(output))
    _write(folder / "summary.json", json.dumps(summary(outcome), indent=2, ensure_ascii=False) + "\n")
    _write(folder / "junit.xml", junit(outcome))
    if request.read_only:
        _thin_out(request.runs_dir, request.verb)
    return folder


def summary(outcome: Outcome) -> dict[str, Any]:
    """The run as plain data, redacted. ``duration_seconds`` is wall-clock time; times are UTC, ISO 8601."""
    request, log = outcome.request, outcome.log
    failed = [
        {
            "play": r.play,
            "task": r.task,
            "host": r.host,
            "outcome": r.outcome,
            "message": r.message,
            "refusal": r.refusal,
            "violations": [dict(v) for v in r.violations],
        }
        for r in log.failures
    ]
    ended = outcome.started.timestamp() + outcome.seconds
    data = {
        "schema": 1,
        "run_id": outcome.run_id,
        "verb": request.verb,
        "service": request.service,
        "playbook": request.playbook,
        "inventory": _short(request.inventory, request.root),
        "limit": request.limit,
        "tags": request.tags,
        "check": request.check,
        "start": outcome.started.isoformat(timespec="milliseconds"),
        "end": type(outcome.started).fromtimestamp(ended, outcome.started.tzinfo).isoformat(timespec="milliseconds"),
        "duration_seconds": round(outcome.seconds, 3),
        "exit_code": int(outcome.code),
        "exit_meaning": outcome.code.meaning,
        "ansible_rc": outcome.rc,
        "cancelled": bool(outcome.cancelled_by),
        "cancelled_by": outcome.cancelled_by or None,
        "in_progress": [{"host": host, "task": task} for host, task in outcome.in_progress.items()],
        "hosts": log.counts,
        "failed_tasks": failed,
        "changed_tasks": [{"task": r.task, "host": r.host} for r in log.results if r.outcome == "changed"],
        "complaint": outcome.complaint or None,
        "git_commit": git_commit(request.root),
        "holdfast_version": __version__,
        "vault_values_redacted": outcome.vault_note,
    }
    redacted = outcome.redactor.value(data)
    assert isinstance(redacted, dict)  # noqa: S101  a mapping stays a mapping
    return redacted


def junit(outcome: Outcome) -> str:
    """One test case per task and host, as the JUnit readers of CI systems know it."""
    from xml.etree.ElementTree import Element, SubElement, tostring

    clean = outcome.redactor.text
    results = outcome.log.results
    lost = set(map(id, outcome.log.failures))
    suite = Element("testsuite", name=f"holdfast {outcome.request.verb}", tests=str(len(results)))
    suite.set("time", f"{outcome.seconds:.3f}")
    suite.set("timestamp", outcome.started.strftime("%Y-%m-%dT%H:%M:%S"))
    tally = {"failure": 0, "error": 0, "skipped": 0}
    for result in results:
        case = SubElement(suite, "testcase", classname=_xml(clean(result.play)), time=f"{result.seconds:.3f}")
        case.set("name", _xml(clean(f"[{result.host}] {result.task}")))
        kind = None
        if id(result) in lost:
            kind = "error" if result.outcome == "unreachable" else "failure"
        elif result.outcome == "skipped":
            kind = "skipped"
        if kind:
            tally[kind] += 1
            note = SubElement(case, kind)
            if result.message:
                text = _xml(clean(result.message))
                note.set("message", text.splitlines()[0])
                note.text = text
    if outcome.complaint or outcome.cancelled_by:
        case = SubElement(suite, "testcase", classname="holdfast", name=outcome.request.playbook, time="0")
        text = outcome.complaint or f"cancelled by {outcome.cancelled_by}"
        SubElement(case, "error", message=_xml(clean(text)).splitlines()[0])
        tally["error"] += 1
        suite.set("tests", str(len(results) + 1))
    for attribute, kind in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(attribute, str(tally[kind]))
    return '<?xml version="1.0" encoding="utf-8"?>\n' + tostring(suite, encoding="unicode") + "\n"


def _xml(text: str) -> str:
    """Without the control characters XML cannot hold."""
    return "".join(c if c in "\t\n" or (c >= " " and not 0xD800 <= ord(c) <= 0xDFFF) else "?" for c in text) or "?"


def _short(inventory: str, root: Path) -> str:
    path = Path(inventory)
    return str(path.relative_to(root)) if path.is_relative_to(root) else inventory


def _write(path: Path, text: str) -> None:
    with os.fdopen(
        os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8", errors="replace"
    ) as out:
        out.write(text)


def _thin_out(runs_dir: Path, verb: str) -> None:
    folders = sorted(p for p in runs_dir.glob(f"????????T??????Z-{verb}-????????") if p.is_dir())
    for old in folders[:-KEEP_READ_ONLY]:
        shutil.rmtree(old, ignore_errors=True)
