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


def choose(redact: list[Redactor], *, verbose: bool, colour: bool, stream: TextIO | None = None) -> Progress:
    """The view that fits where stderr goes.

    Args:
        redact: filled with the run's redactor before the first event; see :class:`PlainProgress`.
        verbose: print ansible's own output, redacted.
        colour: whether colours are welcome.
        stream: stderr unless told otherwise.
    """
    stream = stream or sys.stderr
    if verbose or not stream.isatty() or os.environ.get("TERM", "dumb") == "dumb":
        return PlainProgress(stream, redact, verbose=verbose)
    return LiveProgress(stream, redact, colour=colour)
