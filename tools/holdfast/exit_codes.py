"""What the command's exit code means, and how a run earns one.

The numbers are an interface: CI jobs and monitoring branch on them. Add, never renumber.
"""

from __future__ import annotations

from collections.abc import Collection
from enum import IntEnum


class ExitCode(IntEnum):
    """The exit codes of ``holdfast``; ``meaning`` says each in a sentence."""

    OK = 0
    FAILED = 1
    BAD_INPUT = 2
    REFUSED = 3
    UNREACHABLE = 4
    UNHEALTHY = 5
    NOT_PROVEN = 6
    INTERNAL = 7
    CANCELLED = 130

    @property
    def meaning(self) -> str:
        """One sentence for a person."""
        return MEANINGS[self]


MEANINGS: dict[ExitCode, str] = {
    ExitCode.OK: "done, and everything looked at is as it should be",
    ExitCode.FAILED: "a task failed",
    ExitCode.BAD_INPUT: "the input is wrong: arguments, catalog, inventory or playbook; no host was changed by it",
    ExitCode.REFUSED: "a gate refused: going on would have put data or availability at risk",
    ExitCode.UNREACHABLE: "a host could not be reached",
    ExitCode.UNHEALTHY: "a service is unhealthy, or its health could not be observed (status)",
    ExitCode.NOT_PROVEN: "a promise was not kept, or was not measured (prove)",
    ExitCode.INTERNAL: "holdfast or ansible itself broke",
    ExitCode.CANCELLED: "cancelled by a signal",
}

# Ansible's own exit codes that say "I broke", not "a host failed": a missing program and an unexpected exception.
_ANSIBLE_BROKE = frozenset({127, 250})


class HoldfastError(Exception):
    """An error with a message for the operator and the exit code it earns."""

    code = ExitCode.INTERNAL


class InputError(HoldfastError):
    """What the operator gave is wrong; the message names the thing, what was expected and what to do."""

    code = ExitCode.BAD_INPUT


class MissingResultError(HoldfastError):
    """A playbook ended well but did not publish what its verb shows."""


def decide(
    *, rc: int | None, cancelled: bool, parse_error: bool, refusals: Collection[str], unreachable: bool
) -> ExitCode:
    """Turn what happened in a run into one exit code.

    Precedence when several things happened: cancelled, bad input, refused by a gate, unreachable, failed. A refusal
    that a playbook rescued (``rc`` 0) is not a refusal.

    Args:
        rc: exit code of ansible-playbook; ``None`` when it never ran.
        cancelled: a signal stopped the run before it was over.
        parse_error: ansible ended before its first task.
        refusals: the ``refusal`` values of failed tasks: ``input`` or ``gate``; an unknown one counts as a gate.
        unreachable: some host was unreachable.
    """
    if cancelled:
        return ExitCode.CANCELLED
    if rc == 0:
        return ExitCode.OK
    if rc is None or rc in _ANSIBLE_BROKE:
        return ExitCode.INTERNAL
    if parse_error or "input" in refusals:
        return ExitCode.BAD_INPUT
    if refusals:
        return ExitCode.REFUSED
    return ExitCode.UNREACHABLE if unreachable else ExitCode.FAILED


def table() -> str:
    """The codes as plain text lines, for ``--help``."""
    return "\n".join(f"  {code.value:>3}  {code.meaning}" for code in ExitCode)
