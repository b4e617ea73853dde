# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One unit's state and a restart of it, for engine modules; host_state converges units in general."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

TIMEOUT = 900


class UnitError(Exception):
    """systemctl failed: a sentence that names the unit."""


def systemctl(*words: str) -> str:
    """Run systemctl and return what it printed."""
    try:
        done = subprocess.run(
            ["systemctl", *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UnitError(f"systemctl {' '.join(words)}: expected it to finish, found: {error}") from error
    if done.returncode != 0:
        raise UnitError(
            f"systemctl {' '.join(words)}: expected success, found: {done.stderr.strip() or done.returncode}:"
            " read the unit's journal on the host"
        )
    return done.stdout


def show(unit: str, *names: str) -> dict[str, str]:
    """Return some properties of a unit."""
    text = systemctl("show", "--property=" + ",".join(names), "--", unit)
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


def active_state(unit: str) -> str:
    """Return active, activating, inactive, failed, ..."""
    return show(unit, "ActiveState").get("ActiveState", "unknown")


def restart(unit: str) -> None:
    """Restart a unit and wait until it has started."""
    systemctl("restart", "--", unit)


def started_at(unit: str) -> float:
    """Return when the main process of a unit started, in the clock that stamps files; 0 when it does not run."""
    text = show(unit, "ExecMainStartTimestampMonotonic", "ActiveState")
    micros = text.get("ExecMainStartTimestampMonotonic", "0")
    if text.get("ActiveState") not in {"active", "reloading"} or not micros.isdigit() or micros == "0":
        return 0.0
    return int(micros) / 1e6 + time.time() - time.clock_gettime(time.CLOCK_MONOTONIC)


def outdated(unit: str, paths: list[str]) -> bool:
    """Say whether a unit started before one of the files took its present form."""
    start = started_at(unit)
    return any(max(info.st_mtime, info.st_ctime) > start for info in (Path(path).stat() for path in paths))
