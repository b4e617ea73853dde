# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who is master, who follows, what the Sentinels say: observed, judged, and never read from the inventory."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible_collections.holdfast.stateful.plugins.module_utils.redis_client import (
    Login,
    RedisConnection,
    RedisDown,
    RedisError,
    table,
)

TOPOLOGY_SPEC: dict[str, dict[str, Any]] = {
    "members": {
        "type": "list",
        "elements": "dict",
        "required": True,
        "options": {"name": {"type": "str", "required": True}, "address": {"type": "str", "required": True}},
    },
    "port": {"type": "int", "default": 6379},
    "sentinel_port": {"type": "int", "default": 26379},
    "sentinel_name": {"type": "str", "required": True},
}

Observation = dict[str, Any]
Connect = Callable[[str, int], RedisConnection]


class TopologyError(Exception):
    """What keeps a master from being decided: the members, expected, found, what to do."""


def connector(login: Login) -> Connect:
    """Return what opens a connection to a host and port."""
    return lambda host, port: RedisConnection(host, port, login)


def observe_redis(connect: Connect, host: str, port: int) -> Observation:
    """Ask one server for its part in the replication."""
    try:
        with connect(host, port) as server:
            info = server.info("server", "replication", "persistence", "keyspace")
    except RedisDown as error:
        return {"state": "down", "why": str(error)}
    except RedisError as error:
        return {"state": "unobservable", "why": str(error)}
    replica = info.get("role") != "master"
    return {
        "state": "up",
        "role": "replica" if replica else "master",
        "version": info.get("redis_version", ""),
        "master_address": info.get("master_host", "") if replica else "",
        "link_up": info.get("master_link_status") == "up" if replica else True,
        "loading": info.get("loading") == "1",
        "syncing": info.get("master_sync_in_progress") == "1",
        "priority": int(info.get("slave_priority", 100)),
        "offset": int(info.get("slave_repl_offset" if replica else "master_repl_offset", 0)),
        "seconds_since_master": int(info.get("master_last_io_seconds_ago", -1)) if replica else 0,
        "replicas": [replica_of(value) for key, value in info.items() if key[:5] == "slave" and key[5:].isdigit()],
        "empty": not any(key.startswith("db") and key[2:].isdigit() for key in info),
        "save_failed": "err" in (info.get("rdb_last_bgsave_status"), info.get("aof_last_write_status")),
    }


def replica_of(value: str) -> Observation:
    """Read one slaveN line of INFO."""
    parts = dict(item.split("=", 1) for item in value.split(",") if "=" in item)
    return {"address": parts.get("ip", ""), "state": parts.get("state", ""), "lag": int(parts.get("lag", -1))}


def observe_sentinel(connect: Connect, host: str, port: int, name: str) -> Observation:
    """Ask one Sentinel what it knows about the master."""
    try:
        with connect(host, port) as server:
            masters = [table(item) for item in server.call("SENTINEL", "MASTERS")]
            found = next((item for item in masters if item["name"] == name), None)
            if found is None:
                return {"state": "up", "master_address": "", "why": f"{host}:{port}: it knows no master named {name}"}
            others = [table(item) for item in server.call("SENTINEL", "SENTINELS", name)]
            replicas = [table(item) for item in server.call("SENTINEL", "REPLICAS", name)]
            quorum = server.info("sentinel")
            quorum_error = ""
            try:
                server.call("SENTINEL", "CKQUORUM", name)
            except RedisError as error:
                quorum_error = str(error)
    except RedisDown as error:
        return {"state": "down", "why": str(error)}
    except RedisError as error:
        return {"state": "unobservable", "why": str(error)}
    return {
        "state": "up",
        "master_address": found["ip"],
        "flags": found["flags"].split(","),
        "epoch": int(found["config-epoch"]),
        "quorum": int(found["quorum"]),
        "quorum_error": quorum_error,
        "tilt": quorum.get("sentinel_tilt") == "1",
        "others": [{"address": item["ip"], "flags": item["flags"].split(",")} for item in others],
        "replicas": [
            {"address": item["ip"], "flags": item["flags"].split(","), "priority": int(item["slave-priority"])}
            for item in replicas
        ],
    }


def observe(
    connect: Connect, members: Sequence[Mapping[str, str]], port: int, sentinel_port: int, name: str
) -> dict[str, Observation]:
    """Ask every member's server and Sentinel."""
    return {
        member["name"]: {
            "address": member["address"],
            "redis": observe_redis(connect, member["address"], port),
            "sentinel": observe_sentinel(connect, member["address"], sentinel_port, name),
        }
        for member in members
    }


def observe_files(config: str, sentinel_config: str, data: str) -> dict[str, bool]:
    """Say what is on this host's disk: configurations, and data that a server once wrote."""
    try:
        names = set(os.listdir(data))  # noqa: PTH208
        appends = os.listdir(os.path.join(data, "appendonlydir")) if "appendonlydir" in names else []  # noqa: PTH118,PTH208
    except FileNotFoundError:
        names, appends = set(), []
    return {
        "configured": os.path.exists(config),  # noqa: PTH110
        "sentinel_configured": os.path.exists(sentinel_config),  # noqa: PTH110
        "has_data": "dump.rdb" in names or bool(appends),
    }


def member_at(seen: Mapping[str, Observation], address: str) -> str | None:
    """Return the member with an address."""
    return next((name for name, item in seen.items() if item["address"] == address), None)


def problems(seen: Mapping[str, Observation], max_lag: float, with_sentinel: bool) -> list[str]:
    """Return everything that keeps this from being one healthy service, all at once."""
    found: list[str] = []
    masters = [name for name, item in seen.items() if item["redis"].get("role") == "master"]
    if len(masters) != 1:
        found.append(f"expected one master, found {len(masters)} ({', '.join(masters) or 'none'})")
    address = seen[masters[0]]["address"] if len(masters) == 1 else None
    for name, item in seen.items():
        found += [f"{name}: {what}" for what in redis_problems(item["redis"], address, max_lag)]
    if len(masters) == 1:
        attached = {item["address"]: item for item in seen[masters[0]]["redis"]["replicas"]}
        for name, item in seen.items():
            if name == masters[0]:
                continue
            mine = attached.get(item["address"])
            if mine is None or mine["state"] != "online":
                found.append(f"{name}: expected to be an online replica in {masters[0]}'s list, found {mine or 'none'}")
            elif mine["lag"] > max(max_lag, 1):
                found.append(f"{name}: expected at most {max_lag} s without an acknowledgement, found {mine['lag']} s")
    if with_sentinel:
        for name, item in seen.items():
            found += [f"{name}: Sentinel: {what}" for what in sentinel_problems(item["sentinel"], address, seen)]
    return found


def redis_problems(item: Observation, master_address: str | None, max_lag: float) -> list[str]:
    """Judge one server."""
    if item["state"] != "up":
        return [f"expected an answer from Redis, found {item['why']}"]
    found = [f"expected it not to be {what}" for what in ("loading", "syncing") if item[what]]
    if item["save_failed"]:
        found.append("expected the last save to have worked, found an error: check disk space and the log")
    if item["role"] == "replica":
        if not item["link_up"]:
            found.append(f"expected the link to its master {item['master_address']} to be up, found it down")
        elif item["seconds_since_master"] > max(max_lag, 10):
            found.append(f"expected to hear from its master, found {item['seconds_since_master']} s of silence")
        if master_address and item["master_address"] != master_address:
            found.append(f"expected to follow {master_address}, found that it follows {item['master_address']}")
    return found


def sentinel_problems(item: Observation, master_address: str | None, seen: Mapping[str, Observation]) -> list[str]:
    """Judge one Sentinel."""
    if item["state"] != "up" or not item["master_address"]:
        return [f"expected an answer, found {item['why']}"]
    found = []
    if master_address and item["master_address"] != master_address:
        found.append(f"expected {master_address} as master, found {item['master_address']}")
    bad = sorted(set(item["flags"]) & {"s_down", "o_down", "failover_in_progress", "disconnected"})
    if bad:
        found.append(f"expected a master without flags, found {', '.join(bad)}")
    if item["quorum_error"]:
        found.append(f"expected a quorum, found {item['quorum_error']}")
    if item["tilt"]:
        found.append("expected a steady clock, found it in TILT mode")
    for what, known in (("Sentinels", item["others"]), ("replicas", item["replicas"])):
        alive = {other["address"] for other in known if not set(other["flags"]) & {"s_down", "o_down", "disconnected"}}
        expected = len(seen) - 1
        if len(alive) != expected or len(known) != expected:
            found.append(f"expected {expected} other {what}, found {len(known)}, {len(alive)} of them alive")
    return found


def decide_master(
    seen: Mapping[str, Observation], files: Mapping[str, Mapping[str, bool]], live_only: bool = False
) -> str:
    """Return the name of the member that a new member joins, from what every member says and holds.

    `seen` has every member of the service; `files` has the hosts of the play. A live master is always joined. Only a
    service of which nothing exists anywhere starts on the first member. Everything else stops.
    """
    blind = [
        f"{name}: {item['redis']['why']}" for name, item in seen.items() if item["redis"]["state"] == "unobservable"
    ]
    blind += [
        f"{name}: {item['sentinel']['why']}"
        for name, item in seen.items()
        if item["sentinel"]["state"] == "unobservable"
    ]
    if blind:
        raise TopologyError(
            f"expected to observe every member, could not ask: {'; '.join(blind)}: repair that, then run again"
        )
    named = {item["sentinel"]["master_address"] for item in seen.values() if item["sentinel"].get("master_address")}
    if len(named) > 1:
        raise TopologyError(
            f"expected the Sentinels to name one master, found {', '.join(sorted(named))}: wait, then run again"
        )
    masters = [name for name, item in seen.items() if item["redis"].get("role") == "master"]
    if len(masters) > 1:
        raise TopologyError(
            f"expected one master, found {', '.join(masters)}: stop the one the Sentinels don't name, then run again"
        )
    if masters:
        address = seen[masters[0]]["address"]
        if named and named != {address}:
            raise TopologyError(
                f"expected the Sentinels to name {masters[0]} ({address}), found {named.pop()}: wait, then run again"
            )
        return masters[0]
    if live_only:
        raise TopologyError("expected a live master for Sentinel to watch, found none: start Redis, then run again")
    return decide_without_master(seen, files, named)


def decide_without_master(
    seen: Mapping[str, Observation], files: Mapping[str, Mapping[str, bool]], named: set[str]
) -> str:
    """Return the master of a service that has none: only one whose first creation did not get there yet."""
    absent = sorted(set(seen) - set(files))
    if absent:
        raise TopologyError(
            f"no master answers, and {', '.join(absent)} is not in this play, so what its disk holds is unknown:"
            " run without --limit, or start the master"
        )
    holding = sorted(name for name in seen if files[name]["has_data"] and not seen[name]["redis"].get("empty"))
    silent = sorted(name for name in seen if files[name]["configured"] and seen[name]["redis"]["state"] == "down")
    if holding or silent:
        raise TopologyError(
            "no master answers, but something exists:"
            + (f" data on {', '.join(holding)};" if holding else "")
            + (f" a configuration on {', '.join(silent)} whose server is down;" if silent else "")
            + " start the member that holds the newest data, or let Sentinel promote one, then run again"
        )
    followed = {
        item["redis"]["master_address"] for item in seen.values() if item["redis"].get("role") == "replica"
    } | named
    if not followed:
        return next(iter(seen))
    target = member_at(seen, followed.pop()) if len(followed) == 1 else None
    if target is None or files[target]["configured"]:
        raise TopologyError("replicas are up, but no master answers: let Sentinel promote one, then run again")
    # Empty replicas that wait for a master whose configuration was never written: a first run was killed in between.
    return target
