# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Running programs for the lab: one way to do it, with the failure in the message."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence


class LabError(Exception):
    """Something in the lab is not as expected; the message says what, and what to do."""


def run(
    argv: Sequence[str], *, check: bool = True, timeout: float = 120.0, stdin: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run `argv` and return its result.

    Raises LabError when the program is missing, runs longer than `timeout` seconds or (with `check`) fails.
    """
    try:
        done = subprocess.run(list(argv), capture_output=True, text=True, timeout=timeout, input=stdin, check=False)
    except FileNotFoundError as error:
        raise LabError(
            f"{argv[0]}: program not found; install it (`make setup` installs what the lab needs)"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise LabError(f"{' '.join(argv)}: no end after {timeout:.0f} s") from error
    if check and done.returncode != 0:
        raise LabError(f"{' '.join(argv)}: exit code {done.returncode}: {(done.stderr or done.stdout).strip()[-600:]}")
    return done
