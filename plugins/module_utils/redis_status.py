# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the local Redis and Sentinel say of themselves, in a few milliseconds, for the status command."""

from __future__ import annotations

import datetime
from typing import Any

from ansible_collections.holdfast.stateful.plugins.module_utils.redis_client import (
    Login,
    RedisConnection,
    RedisError,
    table,
)

CA_FILE = "/etc/holdfast/pki/ca.crt"
LOCAL = "127.0.0.1"


def observe_local(contract: dict[str, Any], credentials: dict[str, str], timeout: float) -> dict[str, Any]:
    """Return the state of the local member; whatever goes wrong becomes the state `unknown` and a problem."""
    result: dict[str, Any] = {
        "engine": "redis",
        "service": contract.get("service"),
        "host_role": "unknown",
        "state": "unknown",
        "version": None,
        "lag_seconds": None,
        "leader": None,
        "leader_since": None,
        "members_seen": [],
        "problems": [],
    }
    try:
        login = Login(credentials["user"], credentials["password"], CA_FILE, timeout / 2)
        names = {member["address"]: member["name"] for member in contract["members"]}
        with_error(result, "Redis", observe_server, contract["settings"]["port"], login, names)
        with_error(result, "Sentinel", observe_sentinel, contract["settings"], login, names)
    except Exception as error:  # noqa: BLE001  # a status command reports, it never fails
        result["state"] = "unknown"
        result["problems"].append(f"expected a contract and credentials, found {type(error).__name__}: {error}")
    return result


def with_error(result: dict[str, Any], what: str, function: Any, *arguments: Any) -> None:
    """Call an observer and keep what goes wrong as a problem."""
    try:
        function(result, *arguments)
    except RedisError as error:
        result["problems"].append(f"{what}: {error}")
    except Exception as error:  # noqa: BLE001  # a reply that cannot be understood is a problem, not a crash
        result["problems"].append(f"{what}: expected a reply that can be read, found {type(error).__name__}: {error}")


def observe_server(result: dict[str, Any], port: int, login: Login, names: dict[str, str]) -> None:
    """Read role, lag and replicas of the local server."""
    with RedisConnection(LOCAL, port, login) as server:
        info = server.info("server", "replication", "persistence")
    master = info["role"] == "master"
    result["version"] = info["redis_version"]
    result["host_role"] = "leader" if master else "replica"
    result["state"] = "running"
    if info.get("loading") == "1":
        result["state"] = "loading"
    if not master:
        result["leader"] = names.get(info["master_host"], info["master_host"])
        if info.get("master_link_status") != "up":
            result["state"] = "syncing" if info.get("master_sync_in_progress") == "1" else "disconnected"
        else:
            result["lag_seconds"] = float(max(0, int(info["master_last_io_seconds_ago"])))
    else:
        result["lag_seconds"] = 0.0
        replicas = [value for key, value in info.items() if key[:5] == "slave" and key[5:].isdigit()]
        for value in replicas:
            parts = dict(item.split("=", 1) for item in value.split(","))
            result["members_seen"].append(names.get(parts["ip"], parts["ip"]))
    for key, what in (("rdb_last_bgsave_status", "snapshot"), ("aof_last_write_status", "append-only write")):
        if info.get(key, "ok") != "ok":
            result["problems"].append(f"the last {what} failed: check disk space and the log")


def observe_sentinel(result: dict[str, Any], settings: dict[str, Any], login: Login, names: dict[str, str]) -> None:
    """Read whom the local Sentinel names, since when, and whether it has a quorum."""
    with RedisConnection(LOCAL, settings["sentinel_port"], login) as server:
        master = table(server.call("SENTINEL", "MASTER", settings["sentinel_name"]))
        uptime = int(server.info("server")["uptime_in_seconds"])
        try:
            server.call("SENTINEL", "CKQUORUM", settings["sentinel_name"])
        except RedisError as error:
            result["problems"].append(f"Sentinel: {error}")
    result["leader"] = names.get(master["ip"], master["ip"])
    result["members_seen"] = sorted({*result["members_seen"], result["leader"]})
    since = int(master["role-reported-time"]) / 1000
    # A Sentinel counts from its own start where it has not seen the change itself: that says nothing about the master.
    if since < uptime - 5:
        moment = datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=since)
        result["leader_since"] = moment.isoformat(timespec="seconds")
    bad = sorted(set(master["flags"].split(",")) & {"s_down", "o_down", "failover_in_progress"})
    if bad:
        result["problems"].append(f"Sentinel flags the master {', '.join(bad)}")
