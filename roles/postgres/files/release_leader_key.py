#!/usr/bin/python3
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Release Patroni's leader key of a member whose PostgreSQL is proven dead, so that a replica takes over at once.

Runs as ExecStopPost= and again as ExecStartPre= of patroni.service, as the user of PostgreSQL: after `systemctl kill`
some kernels let nothing start in the unit's control group until it was made anew. Without it a dead leader's key lives
for up to `ttl` seconds (Patroni's floor is 20), and nobody is promoted before. It is deleted when all of this holds:

- Patroni died (SERVICE_RESULT), it was not stopped: an orderly stop is Patroni's own to finish;
- PostgreSQL crashed as a primary, by what its control file says: it did not shut down;
- no process of this data directory is left, and none of the unit that could start one: a living postmaster is left
  alone, its orphans, and those of Patroni, are killed first; it is looked at again right before the key is deleted;
- automatic failover is not paused, and another member could take over, in synchronous mode a synchronous one;
- the key still holds this member's name, under the same lease and revision: compared and deleted in one transaction.

Whatever can't be observed leaves the key alone, and then its end rules as before (docs/adr/0034). Takes `deadline`
seconds at most. Always ends with 0: systemd restarts Patroni either way. The one argument is a JSON file: `scope`,
`namespace`, `name`, `data_dir`, `bin_dir`, `deadline`, and `etcd` with `urls`, `ca`, `cert`, `key`, `user`, `password`.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import signal
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

#: systemd's words for a unit that died (systemd.exec(5), $SERVICE_RESULT); success and timeout belong to a stop.
DIED = ("signal", "core-dump", "exit-code", "oom-kill", "watchdog")
#: A kill of both processes may reach Patroni first.
SETTLE_SECONDS = 0.5
LEFTOVER_SECONDS = 1.5
REQUEST_SECONDS = 1.0
INTERVAL = 0.02
UNIT = "/patroni.service/"
#: How the names begin of what runs, or starts, PostgreSQL in the unit: Patroni starts it through a Python of its own.
STARTERS = ("postgres", "python", "patroni")
#: pg_controldata's line, and what it says of a primary that runs or was killed.
STATE, CRASHED = "Database cluster state:", "in production"
RUNNING = ("running", "streaming", "in archive recovery")


class LeaveKeyError(Exception):
    """The reason why the key is left alone."""


def group_of(process: Path) -> str:
    """Return the control group of a process of Patroni's unit, and "" for any other process."""
    paths = [line.split(":", 2)[-1] + "/" for line in (process / "cgroup").read_text().splitlines()]
    return next((path.partition(UNIT)[0] + UNIT for path in paths if UNIT in path), "")


def own_group() -> str:
    """Return the unit's control group, in which this program runs. Raises LeaveKeyError anywhere else."""
    try:
        group = group_of(Path("/proc/self"))
    except OSError as error:
        raise LeaveKeyError(f"/proc/self/cgroup can't be read: {error}") from error
    if not group:
        raise LeaveKeyError(f"expected to run in the control group of {UNIT.strip('/')}, found another")
    return group


def processes_of(data_dir: str, group: str = "", proc: str = "/proc") -> dict[int, str]:
    """Return the state letter (proc(5)) of each PostgreSQL process whose working directory is `data_dir`.

    And of each process of the control group that may be about to become one: a postmaster enters its directory a moment
    after it was started. Raises LeaveKeyError when a process of this user can't be looked at.
    """
    try:
        wanted = Path(data_dir).stat()
    except OSError as error:
        raise LeaveKeyError(f"{data_dir} can't be looked at: {error}") from error
    found = {}
    for entry in Path(proc).iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            if entry.stat().st_uid != os.geteuid():
                continue
            command, _parenthesis, rest = (entry / "stat").read_text().partition("(")[2].rpartition(")")
            state = rest.split()[0]
            if state in "ZX":  # they have ended, their parent has not yet looked
                continue
            if group and command.startswith(STARTERS) and group_of(entry) == group:
                found[int(entry.name)] = state
                continue
            if command != "postgres":
                continue
            here = (entry / "cwd").stat()
        except (FileNotFoundError, ProcessLookupError):
            continue
        except OSError as error:
            raise LeaveKeyError(f"process {entry.name} can't be looked at: {error}") from error
        if (here.st_dev, here.st_ino) == (wanted.st_dev, wanted.st_ino):
            found[int(entry.name)] = state
    return found


def postmaster_of(data_dir: str) -> int | None:
    """Return the process number in postmaster.pid, or None where the file says nothing."""
    try:
        return int(Path(data_dir, "postmaster.pid").read_text().split("\n", 1)[0])
    except (FileNotFoundError, ValueError):
        return None
    except OSError as error:
        raise LeaveKeyError(f"{data_dir}/postmaster.pid can't be read: {error}") from error


def prove_dead(data_dir: str, group: str = "") -> None:
    """Return once no process of the data directory is left, having killed the orphans of a dead postmaster.

    Also those of a dead Patroni in the control group: one that was about to start PostgreSQL would do so later.

    Raises LeaveKeyError when the postmaster lives on, or something outlives SIGKILL.
    """
    until = time.monotonic() + SETTLE_SECONDS
    while (left := processes_of(data_dir, group)) and postmaster_of(data_dir) in left:
        if time.monotonic() > until:
            raise LeaveKeyError("PostgreSQL lives on; Patroni finds it again when it restarts")
        time.sleep(INTERVAL)
    until = time.monotonic() + LEFTOVER_SECONDS
    while left:
        for number in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)
        if time.monotonic() > until:
            raise LeaveKeyError(f"processes {sorted(left)} of {data_dir} outlive SIGKILL")
        time.sleep(INTERVAL)
        # Twice nothing: what was forked between two looks is seen by the second.
        left = processes_of(data_dir, group) or processes_of(data_dir, group)


def prove_crashed(data_dir: str, bin_dir: str) -> None:
    """Raise LeaveKeyError unless the control file says that PostgreSQL last ran as a primary and did not shut down."""
    argv = [f"{bin_dir}/pg_controldata", data_dir]
    try:
        done = subprocess.run(argv, env={"LC_ALL": "C"}, capture_output=True, text=True, timeout=2.0, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise LeaveKeyError(f"{argv[0]} says nothing: {type(error).__name__}") from error
    state = [line.partition(":")[2].strip() for line in done.stdout.splitlines() if line.startswith(STATE)]
    if state != [CRASHED]:
        raise LeaveKeyError(f"PostgreSQL did not crash as a primary: its state is {' '.join(state) or 'unknown'}")


def encode(text: str) -> str:
    """Return what etcd's JSON gateway takes as bytes."""
    return base64.b64encode(text.encode()).decode()


def decode(value: str) -> str:
    """Return the text behind the gateway's bytes."""
    return base64.b64decode(value).decode("utf-8", "replace")


class Etcd:
    """The first member of etcd that answers."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        """Log in; raises LeaveKeyError when no member answers."""
        context = ssl.create_default_context(cafile=settings["ca"])
        context.load_cert_chain(settings["cert"], settings["key"])
        self.opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        )
        self.token = ""
        said = []
        for self.url in settings["urls"]:
            try:
                login = {"name": settings["user"], "password": settings["password"]}
                self.token = str(self.post("/v3/auth/authenticate", login)["token"])
            except (OSError, ValueError, KeyError) as error:
                said.append(f"{self.url}: {type(error).__name__}: {error}")
            else:
                return
        raise LeaveKeyError("no member of etcd lets us in: " + "; ".join(said))

    def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Ask one question."""
        headers = {"Content-Type": "application/json", **({"Authorization": self.token} if self.token else {})}
        request = urllib.request.Request(self.url + path, json.dumps(body).encode(), headers)  # noqa: S310 - https
        with self.opener.open(request, timeout=REQUEST_SECONDS) as answer:
            return dict(json.loads(answer.read()))

    def prefix(self, prefix: str) -> dict[str, dict[str, Any]]:
        """Return all keys below a prefix, read through the quorum."""
        body = {"key": encode(prefix), "range_end": encode(prefix[:-1] + chr(ord(prefix[-1]) + 1))}
        return {
            decode(item["key"]).removeprefix(prefix): item for item in self.post("/v3/kv/range", body).get("kvs", [])
        }

    def delete_unchanged(self, key: str, item: Mapping[str, Any]) -> bool:
        """Delete a key if its value, lease and revision are still those of `item`, in one transaction."""
        compared = {"key": encode(key), "result": "EQUAL"}
        body = {
            "compare": [
                {**compared, "target": "VALUE", "value": item["value"]},
                {**compared, "target": "LEASE", "lease": item["lease"]},
                {**compared, "target": "MOD", "mod_revision": item["mod_revision"]},
            ],
            "success": [{"request_delete_range": {"key": encode(key)}}],
        }
        return bool(self.post("/v3/kv/txn", body).get("succeeded"))


def judge(keys: Mapping[str, Mapping[str, Any]], name: str) -> Mapping[str, Any]:
    """Return the leader key's item when releasing it lets another member take over. Raises LeaveKeyError."""

    def read(key: str) -> dict[str, Any]:
        try:
            return dict(json.loads(decode(keys[key]["value"])))
        except (KeyError, ValueError, TypeError) as error:
            raise LeaveKeyError(f"{key}: expected a JSON object in etcd: {type(error).__name__}: {error}") from error

    leader = keys.get("leader")
    if leader is None or decode(leader["value"]) != name:
        raise LeaveKeyError(f"the leader is {decode(leader['value']) if leader else 'nobody'}, not {name}")
    if not leader.get("lease") or not leader.get("mod_revision"):
        raise LeaveKeyError("the leader key has no lease: Patroni did not write it")
    config = read("config")
    if config.get("pause"):
        raise LeaveKeyError("automatic failover is paused")
    others = {}
    for key in keys:
        if key.startswith("members/") and key != f"members/{name}":
            member = read(key)
            barred = (member.get("tags") or {}).get("nofailover")
            if not barred and member.get("state") in RUNNING:
                others[key.removeprefix("members/")] = member
    if config.get("synchronous_mode"):
        sync = read("sync")
        standbys = [word.strip() for word in str(sync.get("sync_standby") or "").split(",")]
        others = {other: others[other] for other in standbys if other in others} if sync.get("leader") == name else {}
    if not others:
        raise LeaveKeyError("no other member could take over")
    return leader


def release(config: Mapping[str, Any]) -> str:
    """Do it, and return the sentence for the journal. Raises LeaveKeyError."""
    result = os.environ.get("SERVICE_RESULT")  # systemd sets it for ExecStopPost= only
    if result is not None and result not in DIED:
        raise LeaveKeyError(f"Patroni was stopped, it did not die (SERVICE_RESULT={result})")
    group = own_group()
    prove_dead(config["data_dir"], group)
    prove_crashed(config["data_dir"], config["bin_dir"])
    prefix = f"{config['namespace'].rstrip('/')}/{config['scope']}/"
    etcd = Etcd(config["etcd"])
    leader = judge(etcd.prefix(prefix), config["name"])
    if started := processes_of(config["data_dir"], group):
        raise LeaveKeyError(f"processes {sorted(started)} came meanwhile that may be PostgreSQL")
    if not etcd.delete_unchanged(prefix + "leader", leader):
        raise LeaveKeyError("the leader key changed in the meantime")
    return f"PostgreSQL is dead, the leader key of {config['name']} is released"


def main() -> None:
    """Read the settings, be done in time, and say what was done and why."""
    try:
        config = json.loads(Path(sys.argv[1]).read_text())
        signal.setitimer(signal.ITIMER_REAL, float(config["deadline"]))  # SIGALRM ends us: the key's own end rules
        print(release(config), flush=True)
    except LeaveKeyError as reason:
        print(f"the leader key is left alone: {reason}", flush=True)
    except (OSError, ValueError, KeyError, IndexError) as error:
        print(f"the leader key is left alone: {type(error).__name__}: {error}", flush=True)


if __name__ == "__main__":
    main()
