# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a host holds of a PostgreSQL cluster, and whether Patroni may start on it."""

from __future__ import annotations

import stat
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

UNIT = "patroni.service"
WATCHDOG = Path("/dev/watchdog")


class HostError(Exception):
    """The host could not be observed: a sentence that names the path."""


@dataclass(frozen=True)
class DataDirectory:
    """A data directory: empty, or of the cluster with this identifier, or something else."""

    path: str
    entries: int = 0
    system_identifier: str | None = None
    major: str | None = None


def read_data_directory(path: str) -> DataDirectory:
    """Look into a data directory without PostgreSQL's help: the identifier is the first number of pg_control."""
    folder = Path(path)
    try:
        if not folder.is_dir():
            return DataDirectory(path)
        entries = sum(1 for _entry in folder.iterdir())
        version = folder / "PG_VERSION"
        control = folder / "global" / "pg_control"
        major = version.read_text(encoding="ascii", errors="replace").strip() if version.exists() else None
        identifier = None
        if control.exists():
            with control.open("rb") as handle:
                head = handle.read(8)
            identifier = str(struct.unpack("=Q", head)[0]) if len(head) == 8 else None
    except OSError as error:
        raise HostError(f"{path}: expected to look into it, found: {error}") from error
    return DataDirectory(path, entries, identifier, major)


def watchdog_state(pid: int, group: int | None, device: Path = WATCHDOG, proc: Path = Path("/proc")) -> str:
    """Return what the watchdog does here: none, closed (to Patroni), ready, or active while Patroni holds it.

    Patroni opens it while its member leads, and goes on without it, with one line in its log, where it can't.
    """
    try:
        info = device.stat()
    except FileNotFoundError:
        return "none"
    except OSError as error:
        raise HostError(f"{device}: expected to look at it, found: {error}") from error
    descriptors = proc / str(pid) / "fd"
    for link in sorted(descriptors.iterdir()) if pid and descriptors.is_dir() else ():
        try:
            if link.readlink() == device:
                return "active"
        except FileNotFoundError:
            continue  # closed meanwhile
    mine = group is not None and info.st_gid == group
    return "ready" if mine and stat.S_IMODE(info.st_mode) & 0o060 == 0o060 else "closed"


def start_blocker(data: DataDirectory, initialize: str | None, major: str, scope: str) -> str:
    """Return why Patroni must not start here, or "" where it may.

    ``initialize`` is what the consensus store says of this scope: the cluster's system identifier, an empty text while
    it is being made, nothing where there is no cluster. Patroni would adopt any data directory it finds.
    """
    if data.entries == 0:
        return ""
    if data.system_identifier is None or data.major is None:
        return (
            f"{data.path}: expected an empty data directory or one of cluster {scope}, found {data.entries} entries"
            " that are no PostgreSQL cluster: look at them, move them away, then run again"
        )
    if data.major != major:
        return (
            f"{data.path}: expected PostgreSQL {major}, found a cluster of PostgreSQL {data.major}: a major upgrade"
            " is an operation of its own; nothing was started"
        )
    if not initialize:
        return (
            f"{data.path}: found a cluster with system identifier {data.system_identifier}, but the consensus store"
            f" knows no cluster {scope}: it is another cluster, or the store was lost. Move it away, or bring back the"
            " store from its backup, then run again"
        )
    if initialize != data.system_identifier:
        return (
            f"{data.path}: expected cluster {scope} with system identifier {initialize}, found"
            f" {data.system_identifier}: it is another cluster. Move it away, then run again"
        )
    return ""


def unknown_owner(data: DataDirectory, major: str, scope: str, error: str) -> str:
    """Return why Patroni must not start on data where the consensus store does not say which cluster is there."""
    # What the data says of itself needs no store.
    return start_blocker(data, data.system_identifier, major, scope) or (
        f"{data.path}: found {data.entries} entries, and the consensus store does not say whether they are of cluster"
        f" {scope}: {error}. Bring the store back, or move the data away where it is another's, then run again"
    )


def scope_blocker(leader: str | None, names: Sequence[str], scope: str) -> str:
    """Return why an empty host must not join a scope: its leader is no declared member, so it is another cluster's."""
    if leader is None or leader in names:
        return ""
    return (
        f"scope {scope}: expected a leader among {', '.join(names)}, found {leader}: another cluster uses this scope in"
        " the consensus store. Give one of the services another id, or a store of its own; nothing was started"
    )
