# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# ruff: noqa: PTH105, PTH108, PTH123
# Strings from the task go straight to system calls: pathlib would only add import time to every call.

"""Keeps packages from starting their services with a default configuration, also when the controller is killed.

invoke-rc.d asks /usr/sbin/policy-rc.d before it starts anything (Debian Policy, 9.3.3.1). Ours refuses for a limited
time and not only while apt runs: an apt whose controller was killed goes on, beside the run that repeats it.
"""

from __future__ import annotations

import contextlib
import os
import time

POLICY_FILE = "/usr/sbin/policy-rc.d"
#: A policy of the administrator's, put back as soon as ours is no longer needed.
KEPT = ".before-holdfast"
HOLD_MINUTES = 30


def text() -> str:
    """Return our policy: after its time it decides nothing, or as the administrator's did."""
    return (
        "#!/bin/sh\n"
        f"# Holdfast: for {HOLD_MINUTES} minutes no package starts a service before it is configured.\n"
        f'[ -z "$(find {POLICY_FILE} -mmin -{HOLD_MINUTES})" ] || exit 101\n'
        f'[ ! -x {POLICY_FILE}{KEPT} ] || exec {POLICY_FILE}{KEPT} "$@"\n'
        "exit 0\n"
    )


def is_ours() -> bool:
    """Say whether the policy in force is ours."""
    try:
        with open(POLICY_FILE, encoding="utf-8", errors="replace") as handle:
            return handle.read() == text()
    except OSError:
        return False


def hold() -> None:
    """Put our policy in force, for its time from now on."""
    if os.path.lexists(POLICY_FILE) and not is_ours():
        os.replace(POLICY_FILE, POLICY_FILE + KEPT)
    new = f"{POLICY_FILE}.new-holdfast"
    with open(new, "w", encoding="utf-8") as handle:
        handle.write(text())
    os.chmod(new, 0o755)  # noqa: S103, PTH101  # invoke-rc.d runs it
    os.replace(new, POLICY_FILE)


def release(*, expired_only: bool = False) -> bool:
    """Put back what was in force before, now or (with `expired_only`) when our time is over; say whether it was."""
    if not is_ours():
        return False
    if expired_only and time.time() - os.stat(POLICY_FILE).st_mtime < HOLD_MINUTES * 60:  # noqa: PTH116
        return False
    try:
        os.replace(POLICY_FILE + KEPT, POLICY_FILE)
    except FileNotFoundError:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(POLICY_FILE)
    return True
