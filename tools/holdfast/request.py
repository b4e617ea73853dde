"""One typed, unchangeable description of a run: what is asked, before anything happens."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from holdfast.exit_codes import InputError
from holdfast.project import find_playbook


@dataclass(frozen=True, slots=True)
class RunRequest:
    """One playbook run.

    Attributes:
        verb: the words after ``holdfast``, joined by a dash, e.g. ``lab-up``: names the run folder.
        playbook: file name under ``playbooks/``.
        root: the checkout.
        inventory: absolute path, or a comma-separated list of hosts.
        runs_dir: the folder that gets this run's folder.
        service: the one service meant, passed on as the extra variable ``holdfast_service``; ``None`` is all.
        extravars: further extra variables. They are visible in the process list: never a secret.
        limit: ansible's ``--limit``.
        tags: ansible's ``--tags``.
        check: change nothing (``--check``).
        diff: show differences (``--diff``).
        verbosity: how many ``-v``.
        resume: the command line that repeats this run, for the operator.
        read_only: only looks; gets no live progress, and old run folders of the verb are thinned out.
        reads_vault: learn the values in vault files, to redact them by value. Takes about a second.
    """

    verb: str
    playbook: str
    root: Path
    inventory: str
    runs_dir: Path
    service: str | None = None
    extravars: tuple[tuple[str, str], ...] = ()
    limit: str | None = None
    tags: str | None = None
    check: bool = False
    diff: bool = False
    verbosity: int = 0
    resume: str = ""
    read_only: bool = False
    reads_vault: bool = True

    def __post_init__(self) -> None:
        """Refuse what would reach ansible as something else than it is meant.

        Raises:
            InputError: no such playbook, or a value that ansible would read as an option.
        """
        find_playbook(self.root, self.playbook)
        for name, value in (("--limit", self.limit), ("--tags", self.tags), ("SERVICE", self.service)):
            if value is not None and (not value.strip() or value.startswith("-")):
                raise InputError(f"{name} is {value!r}: expected a name or a pattern")

    def all_extravars(self) -> dict[str, str]:
        """The extra variables for ansible, the service included."""
        chosen = {"holdfast_service": self.service} if self.service else {}
        return {**chosen, **dict(self.extravars)}

    def command_line(self) -> str:
        """Options for ansible-playbook that ansible-runner has no argument for."""
        return shlex.join([flag for flag, on in (("--check", self.check), ("--diff", self.diff)) if on])
