# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Bring a running Sentinel to its settings, and judge whether the Sentinels together can do their work."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.holdfast.stateful.plugins.module_utils.redis_client import (
    Login,
    RedisConnection,
    RedisError,
    binary_is_replaced,
    certificate_is_stale,
    table,
)
from ansible_collections.holdfast.stateful.plugins.module_utils.redis_config import ConfigError, as_text
from ansible_collections.holdfast.stateful.plugins.module_utils.redis_converge import (
    Outcome,
    converge_acl,
    wait_for_server,
)
from ansible_collections.holdfast.stateful.plugins.module_utils.redis_topology import (
    Observation,
    connector,
    observe_sentinel,
)

#: Settings of one master that SENTINEL MASTER shows; the others are only in the file that Sentinel writes.
SHOWN = frozenset({"down-after-milliseconds", "failover-timeout", "parallel-syncs", "quorum"})
IN_FILE = frozenset({"auth-user", "auth-pass"})
#: Settings of the Sentinel itself.
GLOBAL = frozenset(
    {"sentinel-user", "sentinel-pass", "announce-ip", "announce-port", "resolve-hostnames", "announce-hostnames"}
)
SECRET = frozenset({"auth-pass", "sentinel-pass"})
AWAY = frozenset({"s_down", "o_down", "disconnected"})


def split_settings(settings: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, str]]:
    """Return the settings of the master and those of the Sentinel; refuse what cannot be changed at run time."""
    wanted = {name.lower(): as_text(name, value) for name, value in settings.items() if value is not None}
    unknown = sorted(set(wanted) - SHOWN - IN_FILE - GLOBAL)
    if unknown:
        known = ", ".join(sorted(SHOWN | IN_FILE | GLOBAL))
        raise ConfigError(f"{', '.join(unknown)}: expected settings Sentinel can change at run time, which are {known}")
    return (
        {name: value for name, value in wanted.items() if name not in GLOBAL},
        {name: value for name, value in wanted.items() if name in GLOBAL},
    )


def from_file(text: str, name: str) -> dict[str, str]:
    """Return auth-user and auth-pass of one master from the file that Sentinel writes."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        if not line.startswith("sentinel auth-"):
            continue
        words = shlex.split(line)
        if len(words) == 4 and words[2] == name and words[1] in IN_FILE:
            found[words[1]] = words[3]
    return found


def master_differences(wanted: Mapping[str, str], running: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """Return setting -> (running, wanted) for all that differ."""
    return {name: (running.get(name, ""), value) for name, value in wanted.items() if running.get(name) != value}


def converge_sentinel(params: dict[str, Any], login: Login, outcome: Outcome) -> dict[str, Any]:
    """Converge the local Sentinel and return what it knew before and after."""
    name = params["sentinel_name"]
    of_master, of_sentinel = split_settings(params["settings"])
    with wait_for_server(params["host"], params["sentinel_port"], login, params["wait_seconds"]) as sentinel:
        if params["acl_file"]:
            converge_acl(sentinel, params["acl_file"], outcome)
        before = known_master(sentinel, name)
        running = {**before, **read_file(params["config_file"], name)}
        found = master_differences(of_master, running)
        if found and not outcome.check:
            sentinel.call("SENTINEL", "SET", name, *[word for key, (_old, new) in found.items() for word in (key, new)])
        global_found = converge_global(sentinel, of_sentinel, outcome.check)
        outcome.changed_settings = sorted({**found, **global_found})
        for key, (old, new) in {**found, **global_found}.items():
            outcome.diff.append((key, *(("(secret)", "(another secret)") if key in SECRET else (old, new))))
        after = before if outcome.check else known_master(sentinel, name)
        if not outcome.check:
            left = master_differences(of_master, {**after, **read_file(params["config_file"], name)})
            if left:
                raise RedisError(
                    f"{sentinel.where}: SENTINEL SET was accepted and did not last for {', '.join(sorted(left))}"
                )
        if params["certificate_file"] and certificate_is_stale(sentinel.peer_certificate, params["certificate_file"]):
            outcome.pending_restart.append("certificate")
        if binary_is_replaced(sentinel.info("server")["process_id"]):
            outcome.pending_restart.append("program")
    if int(after["config-epoch"]) < int(before["config-epoch"]):
        raise RedisError(
            f"{name}: expected the epoch to stay at {before['config-epoch']}, found {after['config-epoch']}"
        )
    return {"master_address": after["ip"], "epoch": int(after["config-epoch"])}


def converge_global(sentinel: RedisConnection, wanted: Mapping[str, str], check: bool) -> dict[str, tuple[str, str]]:
    """Converge the settings of the Sentinel itself; one command each, because Redis 7.0 takes only one."""
    found: dict[str, tuple[str, str]] = {}
    for name, value in wanted.items():
        old = table(sentinel.call("SENTINEL", "CONFIG", "GET", name)).get(name, "")
        if old != value:
            found[name] = (old, value)
            if not check:
                sentinel.call("SENTINEL", "CONFIG", "SET", name, value)
    return found


def known_master(sentinel: RedisConnection, name: str) -> dict[str, str]:
    """Return what the Sentinel knows of the master, under the names that SENTINEL SET uses."""
    for item in sentinel.call("SENTINEL", "MASTERS"):
        master = table(item)
        if master["name"] == name:
            return master
    raise ConfigError(
        f"{sentinel.where}: expected it to watch a master named {name}, found none: a service is not renamed in"
        " place; restore the name in the catalog"
    )


def read_file(path: str, name: str) -> dict[str, str]:
    """Read the settings that Sentinel shows nowhere else."""
    try:
        with open(path, encoding="utf-8") as handle:  # noqa: PTH123
            return from_file(handle.read(), name)
    except OSError as error:
        raise ConfigError(f"{path}: expected the file that Sentinel writes, found: {error.strerror}") from error


def health_problems(seen: Mapping[str, Observation]) -> list[str]:
    """Judge the Sentinels together: they know each other, name one master and can reach a majority."""
    found: list[str] = []
    for name, item in seen.items():
        if item["state"] != "up" or not item.get("master_address"):
            found.append(f"{name}: expected an answer from Sentinel, found {item['why']}")
            continue
        if item["quorum_error"]:
            found.append(f"{name}: expected a quorum, found {item['quorum_error']}")
        alive = [other for other in item["others"] if not AWAY & set(other["flags"])]
        if len(alive) != len(seen) - 1 or len(item["others"]) != len(seen) - 1:
            found.append(
                f"{name}: expected {len(seen) - 1} other Sentinels, found {len(item['others'])},"
                f" {len(alive)} of them alive"
            )
    named = sorted({item["master_address"] for item in seen.values() if item.get("master_address")})
    if len(named) > 1:
        found.append(f"expected the Sentinels to name one master, found {', '.join(named)}")
    return found


def wait_until(
    params: dict[str, Any], login: Login, judge: Callable[[Mapping[str, Observation]], list[str]]
) -> list[str]:
    """Ask all Sentinels until the judge finds nothing wrong or the deadline has passed; return what is left."""
    connect, deadline = connector(login), time.monotonic() + params["wait_seconds"]
    while True:
        seen = {
            member["name"]: observe_sentinel(
                connect, member["address"], params["sentinel_port"], params["sentinel_name"]
            )
            for member in params["members"]
        }
        found = judge(seen)
        if not found or time.monotonic() >= deadline:
            return found
        time.sleep(0.4)


def removable_problems(seen: Mapping[str, Observation], local: str) -> list[str]:
    """Return why the Sentinel of one member must not stop now: the others have to keep a majority."""
    others = {name: item for name, item in seen.items() if name != local}
    working = [name for name, item in others.items() if item["state"] == "up" and not item.get("quorum_error")]
    quorum = max([int(item.get("quorum", 0)) for item in others.values()] or [0])
    need = max(len(seen) // 2 + 1, quorum)
    if len(working) >= need:
        return []
    return [f"{local}: expected {need} other Sentinels that work before this one stops, found {len(working)}"]
