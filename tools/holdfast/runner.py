"""Run one request through ansible-runner, and leave nothing of ansible-runner's own bookkeeping behind.

ansible-runner writes the whole environment, every event and all output into its private folder. That folder is a
temporary one in memory, only for us, gone when the run is over; what is kept is written by :mod:`holdfast.artifacts`.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any, Protocol, TextIO
from uuid import uuid4

from holdfast.cancel import Cancellation
from holdfast.environment import ansible_environment, keep_allowed
from holdfast.events import EventLog, TaskResult
from holdfast.exit_codes import ExitCode, HoldfastError, decide
from holdfast.redact import Redactor, is_secret_name
from holdfast.vault import VaultWatch

if TYPE_CHECKING:
    from holdfast.request import RunRequest

MakeProgress = Callable[[Redactor], "Progress"]
Judge = Callable[[Mapping[str, Any]], ExitCode]
_POLL_SECONDS = 0.2  # how late a cancellation may be noticed; ansible's end is noticed at once


class Progress(Protocol):
    """What shows a run while it goes on."""

    def on_event(self, event: Mapping[str, Any], log: EventLog, result: TaskResult | None) -> None:
        """Called after ``log`` has taken the event in."""

    def close(self) -> None:
        """The run is over."""


@dataclass(slots=True)
class Outcome:
    """What came of a run.

    ``published`` is what the playbook gave out with ``set_stats``, unredacted; ``complaint`` is ansible's message when
    it could not start; ``folder`` is the run folder; ``seconds`` is wall-clock time.
    """

    request: RunRequest
    run_id: str
    started: datetime
    log: EventLog
    redactor: Redactor
    code: ExitCode = ExitCode.INTERNAL
    rc: int | None = None
    cancelled_by: str = ""
    seconds: float = 0.0
    complaint: str = ""
    folder: Path | None = None
    vault_note: str = "not read"
    in_progress: dict[str, str] = field(default_factory=dict)

    @property
    def published(self) -> dict[str, Any]:
        """What the playbook published."""
        return self.log.published


def run(
    request: RunRequest,
    make_progress: MakeProgress | None = None,
    judge: Judge | None = None,
    warm_up: Callable[[], object] | None = None,
) -> Outcome:
    """Run the request's playbook, write its run folder, and say how it ended.

    Args:
        request: what to run.
        make_progress: makes what is shown every event, given the redactor it must use; ``None`` shows nothing.
        judge: turns what a successful (or, when something was published, a failed) run published into a code; a
            HoldfastError from it becomes the run's message and code.
        warm_up: called in a thread while ansible runs, to import what is needed afterwards.

    Raises:
        HoldfastError: ansible-runner itself could not be driven. A playbook that fails does not raise.
    """
    run_id = uuid4().hex[:8]
    redactor = Redactor()
    for name, value in {**os.environ, **request.all_extravars()}.items():
        if is_secret_name(name):
            redactor.add(value)
    environment = ansible_environment(request.root, run_id)
    vault = VaultWatch(request, redactor, environment)
    outcome = Outcome(request, run_id, datetime.now(UTC), EventLog(), redactor)
    progress = make_progress(redactor) if make_progress else None
    warmer = Thread(target=warm_up, daemon=True) if warm_up else None
    begin = time.monotonic()
    with _private_dir() as private, Cancellation(run_id) as cancellation:
        spool = private / "stdout"
        try:
            with spool.open("w", encoding="utf-8") as stream:
                outcome.rc = _drive(
                    request, environment, private, cancellation, _handler(outcome, stream, vault, progress, warmer)
                )
        except BaseException:
            cancellation.requested = True  # whatever broke here, ansible must not go on unwatched
            raise
        finally:
            cancellation.mop_up()
            if progress:
                progress.close()
        if warmer and warmer.ident is not None:
            warmer.join()
        outcome.seconds = time.monotonic() - begin
        _conclude(outcome, cancellation, judge)
        vault.refresh()
        outcome.vault_note = vault.note
        from holdfast.artifacts import write_run_folder

        outcome.folder = write_run_folder(outcome, spool)
    return outcome


def _handler(
    outcome: Outcome,
    stream: TextIO,
    vault: VaultWatch,
    progress: Progress | None,
    warm_up: Thread | None,
) -> Callable[[Any], bool]:
    log = outcome.log

    def handle(event: dict[str, Any]) -> bool:
        if warm_up and warm_up.ident is None:  # not earlier: ansible is forked now, with no import lock held
            warm_up.start()
        if text := event.get("stdout"):
            stream.write(text + "\n")
        outcome.redactor.learn((event.get("event_data") or {}).get("res"))
        result = log.take(event)
        if progress:
            if result and result.message:
                vault.refresh()
            progress.on_event(event, log, result)
        return False  # ansible-runner need not keep it

    return handle


def _drive(
    request: RunRequest,
    environment: dict[str, str],
    private: Path,
    cancellation: Cancellation,
    handle: Callable[[Any], bool],
) -> int | None:
    """Run ansible-playbook through ansible-runner; returns its exit code."""
    from ansible_runner.config.runner import RunnerConfig
    from ansible_runner.runner import Runner

    (private / "env").mkdir(mode=0o700)
    settings = {"pexpect_timeout": _POLL_SECONDS, "suppress_output_file": True, "suppress_ansible_output": True}
    (private / "env" / "settings").write_text(json.dumps(settings), encoding="utf-8")
    try:
        config = RunnerConfig(
            private_data_dir=str(private),
            project_dir=str(request.root),
            playbook=str(request.root / "playbooks" / request.playbook),
            inventory=request.inventory,
            envvars=environment,
            extravars=request.all_extravars(),
            limit=request.limit,
            tags=request.tags,
            verbosity=request.verbosity,
            cmdline=request.command_line() or None,
            ident="run",
            fact_cache_type="memory",  # anything but jsonfile: leaves the choice to ansible.cfg
            suppress_env_files=True,
            quiet=True,
        )
        config.prepare()
        config.env = keep_allowed(config.env, environment) | {
            "ANSIBLE_CALLBACK_PLUGINS": config.env["ANSIBLE_CALLBACK_PLUGINS"]
        }
        driver = Runner(config, event_handler=handle, cancel_callback=cancellation.must_kill)
        driver.run()
    except HoldfastError:
        raise
    except Exception as error:  # whatever breaks inside ansible-runner
        raise HoldfastError(f"ansible-runner broke: {type(error).__name__}: {error}") from error
    rc: int | None = driver.rc
    return rc


def _conclude(outcome: Outcome, cancellation: Cancellation, judge: Judge | None) -> None:
    log = outcome.log
    cancelled = cancellation.requested and outcome.rc != 0
    failures = log.failures
    parse_error = not log.started and outcome.rc not in (0, None)
    outcome.cancelled_by = cancellation.by if cancelled else ""
    outcome.in_progress = dict(log.running) if cancelled else {}
    outcome.complaint = log.complaint() if outcome.rc and not cancelled and not failures else ""
    outcome.code = decide(
        rc=outcome.rc,
        cancelled=cancelled,
        parse_error=parse_error,
        refusals={r.refusal for r in failures if r.refusal},
        unreachable=any(r.outcome == "unreachable" for r in failures),
    )
    if judge and (outcome.code is ExitCode.OK or (outcome.published and outcome.code in _JUDGED)):
        try:
            verdict = judge(outcome.published)
        except HoldfastError as error:
            outcome.code, outcome.complaint = error.code, str(error)
        else:
            outcome.code = verdict if verdict is not ExitCode.OK else outcome.code


# With these codes a playbook may still have published what it saw, and that says more.
_JUDGED = (ExitCode.FAILED, ExitCode.UNREACHABLE)


@contextmanager
def _private_dir() -> Iterator[Path]:
    """A folder only for us, in memory where there is such a place, removed at the end."""
    memory = Path("/dev/shm")  # noqa: S108  mkdtemp makes a new folder with mode 0700 in it
    base = memory if memory.is_dir() and os.access(memory, os.W_OK) else Path(tempfile.gettempdir())
    for old in base.glob("holdfast-*-*"):  # of a run that was killed hard
        pid = old.name.split("-")[1]
        with suppress(OSError):
            if pid.isdigit() and not Path(f"/proc/{pid}").exists() and old.stat().st_uid == os.getuid():
                shutil.rmtree(old, ignore_errors=True)
    path = Path(tempfile.mkdtemp(prefix=f"holdfast-{os.getpid()}-", dir=base))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
