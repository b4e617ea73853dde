# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Snapshots of the consensus store: saved by etcd's own client, and believed only after they were read back."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible_collections.holdfast.stateful.plugins.module_utils.etcd import EtcdError

TIMEOUT = 300


def run(*words: str, user: str = "") -> str:
    """Run one of etcd's tools and return what it printed. `user` is NAME:PASSWORD, and not on the command line."""
    try:
        done = subprocess.run(
            words,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            env={**os.environ, "ETCDCTL_API": "3", **({"ETCDCTL_USER": user} if user else {})},
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EtcdError(f"{words[0]}: expected it to finish, found: {error}") from error
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip())[-500:]
        raise EtcdError(f"{words[0]}: expected success, found {done.returncode}: {said}")
    return done.stdout


def offline_tool() -> str:
    """Return the tool that reads snapshot files: before etcd 3.5 it was part of the client."""
    return "etcdutl" if shutil.which("etcdutl") else "etcdctl"


def parse_status(text: str) -> dict[str, int]:
    """Return hash, revision, keys and bytes of a snapshot; one without keys is none that anybody wants to restore."""
    try:
        found = json.loads(text)
        status = {ours: int(found[theirs]) for ours, theirs in FIELDS.items()}
    except (ValueError, KeyError, TypeError) as error:
        raise EtcdError(f"expected the status of a snapshot, found {text.strip()[:200]!r}") from error
    if status["keys"] < 1 or status["revision"] < 1:
        raise EtcdError(f"expected a snapshot with keys, found {status['keys']} at revision {status['revision']}")
    return status


FIELDS = {"hash": "hash", "revision": "revision", "keys": "totalKey", "bytes": "totalSize"}


def verify(path: str) -> dict[str, int]:
    """Read a snapshot back."""
    return parse_status(run(offline_tool(), "snapshot", "status", path, "--write-out=json"))


def save(path: str, endpoint: str, params: Mapping[str, Any]) -> dict[str, int]:
    """Save a snapshot, verify it, and only then give it its name."""
    final = Path(path)
    temporary = final.with_name(f".{final.name}.part")
    temporary.unlink(missing_ok=True)
    files = [f"--cacert={params['ca']}", f"--cert={params['cert']}", f"--key={params['key']}"]
    user = f"{params['user']}:{params['password']}" if params.get("user") else ""
    try:
        run("etcdctl", f"--endpoints={endpoint}", *files, "snapshot", "save", str(temporary), user=user)
        status = verify(str(temporary))
        temporary.chmod(0o600)
        temporary.replace(final)
    finally:
        temporary.unlink(missing_ok=True)
    return status


def restore_command(path: str, name: str, peers: Mapping[str, str], token: str, into: str) -> list[str]:
    """Return the command that turns a snapshot into the data of one member of a new cluster."""
    cluster = ",".join(f"{peer}={url}" for peer, url in sorted(peers.items()))
    return [
        offline_tool(),
        "snapshot",
        "restore",
        path,
        f"--name={name}",
        f"--initial-cluster={cluster}",
        f"--initial-cluster-token={token}",
        f"--initial-advertise-peer-urls={peers[name]}",
        f"--data-dir={into}",
    ]


def restore(path: str, name: str, peers: Mapping[str, str], token: str, data_dir: str) -> dict[str, int]:
    """Verify a snapshot, make it the data of this host's member, and rename what was there: nothing is deleted."""
    status = verify(path)
    folder = Path(data_dir)
    owner = folder.stat()
    for left in folder.glob(".restored-*"):
        shutil.rmtree(left)  # of a run that was killed
    made = folder / f".restored-{os.getpid()}"
    try:
        run(*restore_command(path, name, peers, token, str(made)))
        for base, folders, files in os.walk(made):
            for item in (base, *(os.path.join(base, entry) for entry in (*folders, *files))):  # noqa: PTH118
                os.chown(item, owner.st_uid, owner.st_gid)
        member = folder / "member"
        if member.exists():
            member.rename(folder / f"member.aside-{int(time.time())}")
        (made / "member").rename(member)
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return status
