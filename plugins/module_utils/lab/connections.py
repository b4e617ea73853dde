# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ssh connections to lab hosts that stay open for the next command: a lab that goes takes them along."""

from __future__ import annotations

import time
from pathlib import Path

from .identity import CONTROL_FOLDER, Lab
from .process import LabError, run


def make_control_folder() -> None:
    """Make the folder of the sockets: ssh itself makes it only where no `-F` is given."""
    Path(CONTROL_FOLDER).expanduser().mkdir(mode=0o700, exist_ok=True)


def open_connections(lab: Lab) -> list[Path]:
    """Return the control sockets of this lab's ssh masters."""
    return sorted(Path(CONTROL_FOLDER).expanduser().glob(f"holdfast-{lab.id}-*"))


def close_connections(lab: Lab, wait: float = 3.0) -> list[str]:
    """End this lab's ssh masters and return the sockets that were there.

    A socket without a master, left by a kill, is removed. Raises LabError when a master does not end in `wait` seconds.
    """
    sockets = open_connections(lab)
    for socket in sockets:
        done = run(["ssh", "-S", str(socket), "-O", "exit", "lab-host"], check=False, timeout=10.0)
        if done.returncode != 0:
            socket.unlink(missing_ok=True)
    until = time.monotonic() + wait
    while left := [socket for socket in sockets if socket.exists()]:
        if time.monotonic() > until:
            raise LabError(f"the ssh masters behind {', '.join(map(str, left))} do not end; kill them and run again")
        time.sleep(0.05)
    return [str(socket) for socket in sockets]
