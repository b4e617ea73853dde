# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The local node: its data, its unit, its peers' port mappers, and the gate in front of a node without data."""

from __future__ import annotations

import socket
import struct
import subprocess
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from ansible_collections.holdfast.stateful.plugins.module_utils.rabbitmq import node_name
from ansible_collections.holdfast.stateful.plugins.module_utils.rabbitmq_api import RabbitmqError

UNIT = "rabbitmq-server.service"
DATA_DIRECTORY = "/var/lib/rabbitmq/mnesia"
# The unit of a node without data only starts when this file says that a gate was passed (see the unit's drop-in).
PERMIT = "/run/holdfast/rabbitmq-may-join"
NAMES_REQUEST = struct.pack(">HB", 1, ord("n"))


def has_data(node: str, directory: str = DATA_DIRECTORY) -> bool:
    """Say whether the node was ever part of a cluster: its metadata is on disk. Unreadable is an error, not a no."""
    base = Path(directory) / node
    return any((base / name).exists() for name in ("schema.DAT", "msg_stores"))


def unit_state(unit: str = UNIT) -> str:
    """Return the unit's state as systemd names it."""
    done = run(["systemctl", "show", "--property=ActiveState", "--value", unit], 30)
    return done.stdout.strip()


def run(command: Sequence[str], timeout: float) -> subprocess.CompletedProcess[str]:
    """Run a command and return what it said; a missing program or an endless one is an error."""
    try:
        return subprocess.run(
            list(command), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RabbitmqError(f"{command[0]}: expected it to run within {timeout:.0f} s, found: {error}") from error


def systemctl(*words: str, timeout: float = 60) -> None:
    """Run systemctl, which must succeed."""
    done = run(["systemctl", *words], timeout)
    if done.returncode != 0:
        raise RabbitmqError(
            f"systemctl {' '.join(words)}: expected success, found exit code {done.returncode}: {done.stderr.strip()}"
        )


def allow_join() -> None:
    """Write the permit; it is gone after a reboot."""
    path = Path(PERMIT)
    path.parent.mkdir(mode=0o755, exist_ok=True)
    path.touch(mode=0o644)


def forbid_join() -> None:
    """Take the permit back."""
    Path(PERMIT).unlink(missing_ok=True)


def main_pid(unit: str = UNIT) -> str:
    """Return the unit's main process, 0 while there is none."""
    return run(["systemctl", "show", "--property=MainPID", "--value", unit], 30).stdout.strip()


def restarts(unit: str = UNIT) -> int:
    """Return how often systemd has restarted the unit by itself."""
    said = run(["systemctl", "show", "--property=NRestarts", "--value", unit], 30).stdout.strip()
    return int(said) if said.isdigit() else 0


def boot_failure(path: str = "/var/log/rabbitmq/rabbitmq-server.error.log") -> str:
    """Return why the last start failed, as the broker said it, in one line."""
    try:
        text = Path(path).read_text(encoding="utf-8", errors="replace")[-20_000:]
    except OSError:
        return "no log"
    block = text.rpartition("BOOT FAILED")[2].partition("Kernel pid")[0]
    return " ".join(block.replace("=", " ").split())[:400] or "nothing in " + path


def epmd_names(address: str, port: int, timeout: float = 2.0) -> list[str]:
    """Return the nodes that the port mapper of a host knows; silence is an error."""
    try:
        with socket.create_connection((address, port), timeout=timeout) as link:
            link.sendall(NAMES_REQUEST)
            data = b""
            while chunk := link.recv(4096):
                data += chunk
    except OSError as error:
        raise RabbitmqError(
            f"{address}:{port}: expected Erlang's port mapper to answer, found: {error}: is epmd.socket up there,"
            " is the firewall open?"
        ) from error
    return parse_names(data)


def parse_names(data: bytes) -> list[str]:
    """Read the answer of a port mapper: its own port, then one line per node."""
    lines = data[4:].decode("ascii", "replace").splitlines()
    return [line.split()[1] for line in lines if line.startswith("name ") and len(line.split()) > 1]


def start_blockers(me: str, *, data_here: bool, peers: Mapping[str, str]) -> list[str]:
    """Return why the local node must not start yet.

    `peers` says of every other member `blank` (known to hold no data), `running` (observed in a cluster) or why it
    could not be observed. A node with data may always start. A node without data may only start when every peer is
    accounted for, else two halves could become two clusters.
    """
    if data_here:
        return []
    return [
        f"{me} has no data and {peer} could not be observed ({state})"
        for peer, state in sorted(peers.items())
        if state not in {"blank", "running"}
    ]


def lost_member(me: str, counting: Collection[str]) -> str:
    """Return why a node without data must not start while peers still count it as a member, empty when none does."""
    if not counting:
        return ""
    peer = min(counting)
    return (
        f"{me} has no data, but the cluster of {peer} still counts it as a member: it was lost or replaced; run"
        f" 'rabbitmqctl forget_cluster_node {node_name(me)}' on {peer}, then run again"
    )
