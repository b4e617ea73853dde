# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A planned change of the master that loses no acknowledged write: pause, match offsets, promote, always unpause."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.holdfast.stateful.plugins.module_utils.redis_client import (
    RedisConnection,
    RedisError,
    table,
)
from ansible_collections.holdfast.stateful.plugins.module_utils.redis_topology import (
    Connect,
    Observation,
    observe,
    problems,
)

#: The priority that makes Sentinel prefer a replica over all others, which have 100.
PREFERRED = 1
#: How much of the pause is kept for demoting the old master and for its first synchronisation.
RESERVE_SECONDS = 4.0


class SwitchoverError(Exception):
    """Why the switchover did not happen, and in what state the service was left."""


class GateError(SwitchoverError):
    """A safety gate refused; nothing was changed."""


@dataclass
class Plan:
    """Who hands over to whom."""

    old: str
    new: str
    addresses: Mapping[str, str]
    port: int
    sentinel_port: int
    name: str

    def server(self, connect: Connect, member: str) -> RedisConnection:
        """Connect to a member's Redis."""
        return connect(self.addresses[member], self.port)

    def sentinel(self, connect: Connect, member: str) -> RedisConnection:
        """Connect to a member's Sentinel."""
        return connect(self.addresses[member], self.sentinel_port)


@dataclass
class Trace:
    """What happened when, in milliseconds."""

    started: float = field(default_factory=time.monotonic)
    steps: dict[str, int] = field(default_factory=dict)

    def mark(self, step: str) -> None:
        """Record a step."""
        self.steps[step] = round((time.monotonic() - self.started) * 1000)


def choose(seen: Mapping[str, Observation], old: str, candidate: str | None) -> str:
    """Return the replica to promote: the one named, or the one with the least to catch up."""
    usable = {
        name: item["redis"]
        for name, item in seen.items()
        if name != old and item["redis"].get("link_up") and item["redis"].get("priority", 0) > 0
    }
    if candidate is not None:
        if candidate not in usable:
            raise GateError(
                f"{candidate}: expected a replica in sync with priority above 0, found another:"
                f" choose from {sorted(usable)}"
            )
        return candidate
    if not usable:
        raise GateError(
            "expected a replica in sync with priority above 0, found none: repair one, or undrain it, then run again"
        )
    return min(usable, key=lambda name: (usable[name]["priority"], -usable[name]["offset"], name))


def wait(what: str, seconds: float, condition: Callable[[], bool], interval: float = 0.2) -> None:
    """Poll until the condition holds; a server that can't be asked for a moment is asked again."""
    deadline = time.monotonic() + seconds
    while True:
        last = ""
        try:
            if condition():
                return
        except RedisError as error:
            last = f" ({error})"
        if time.monotonic() >= deadline:
            raise SwitchoverError(f"expected {what} within {seconds:g} s, found that it is not so{last}")
        time.sleep(interval)


def switch_over(
    connect: Connect,
    members: Sequence[Mapping[str, str]],
    params: Mapping[str, Any],
    check: bool,
) -> dict[str, Any]:
    """Move the master away from a member, or to a candidate. Returns what was done and how long each step took."""
    seen = observe(connect, members, params["port"], params["sentinel_port"], params["sentinel_name"])
    masters = [name for name, item in seen.items() if item["redis"].get("role") == "master"]
    old = masters[0] if len(masters) == 1 else None
    source, candidate = params["source"], params["candidate"]
    if old is not None and (old == candidate or (source is not None and old != source)):
        return {"changed": False, "old": old, "new": old, "steps": {}}
    found = problems(seen, params["max_lag_seconds"], with_sentinel=True)
    if found or old is None:
        raise GateError(f"expected a healthy service before the master moves, found: {'; '.join(found)}")
    new = choose(seen, old, candidate)
    plan = Plan(
        old,
        new,
        {item["name"]: item["address"] for item in members},
        params["port"],
        params["sentinel_port"],
        params["sentinel_name"],
    )
    if check:
        return {"changed": True, "old": old, "new": new, "steps": {}}
    trace = Trace()
    priority = seen[new]["redis"]["priority"]
    try:
        prefer(connect, plan, trace, params["sentinel_seconds"])
        hand_over(connect, plan, trace, params)
        settle(connect, plan, trace, params["settle_seconds"])
    finally:
        restore_priority(connect, plan, priority)
    return {"changed": True, "old": old, "new": new, "steps": trace.steps}


def prefer(connect: Connect, plan: Plan, trace: Trace, seconds: float) -> None:
    """Make Sentinel prefer the candidate; it learns of priorities only every 10 s, so wait until it has."""
    with plan.server(connect, plan.new) as server:
        server.call("CONFIG", "SET", "replica-priority", PREFERRED)

    def known() -> bool:
        with plan.sentinel(connect, plan.new) as sentinel:
            replicas = [table(item) for item in sentinel.call("SENTINEL", "REPLICAS", plan.name)]
        return any(i["ip"] == plan.addresses[plan.new] and int(i["slave-priority"]) == PREFERRED for i in replicas)

    wait(f"Sentinel on {plan.new} to know its priority", seconds, known)
    trace.mark("preferred")


def hand_over(connect: Connect, plan: Plan, trace: Trace, params: Mapping[str, Any]) -> None:
    """Pause writes, let the candidate catch up, promote it, demote the old master. Whatever happens, the pause ends.

    The old master must not take a write after the promotion: Sentinel itself demotes it many seconds later (17 s
    measured), and what it acknowledges until then is lost. So it is unpaused as a replica, or because nothing was
    promoted.
    """
    with plan.server(connect, plan.old) as master:
        try:
            # The pause ends by itself: a controller that dies here leaves a service that writes again.
            deadline = time.monotonic() + params["pause_seconds"] - RESERVE_SECONDS
            master.call("CLIENT", "PAUSE", int(params["pause_seconds"] * 1000), "WRITE")
            trace.mark("paused")
            captured = int(master.info("replication")["master_repl_offset"])
            with plan.server(connect, plan.new) as replica:
                catch_up(replica, captured, params["offset_seconds"])
            trace.mark("caught_up")
            with plan.sentinel(connect, plan.new) as sentinel:
                sentinel.call("SENTINEL", "FAILOVER", plan.name)
            trace.mark("ordered")
            wait_for_promotion(connect, plan, trace, deadline)
        finally:
            end_pause(connect, plan, master, trace)


def catch_up(replica: RedisConnection, captured: int, seconds: float) -> None:
    """Wait until the replica has everything that was acknowledged before the pause."""
    deadline = time.monotonic() + seconds
    while True:
        reached = int(replica.info("replication").get("slave_repl_offset", -1))
        if reached >= captured:
            return
        if time.monotonic() >= deadline:
            raise SwitchoverError(
                f"{replica.where}: expected offset {captured} within {seconds:g} s, found {reached}: writes go on"
            )
        time.sleep(0.005)


def wait_for_promotion(connect: Connect, plan: Plan, trace: Trace, deadline: float) -> None:
    """Wait until the candidate is master, and all Sentinels hand out its address."""
    target = plan.addresses[plan.new]

    def promoted() -> bool:
        return is_master(connect, plan)

    def announced() -> bool:
        for member in plan.addresses:
            with plan.sentinel(connect, member) as sentinel:
                if sentinel.call("SENTINEL", "GET-MASTER-ADDR-BY-NAME", plan.name)[0] != target:
                    return False
        return True

    wait(f"{plan.new} to be promoted", deadline - time.monotonic(), promoted, 0.05)
    trace.mark("promoted")
    wait(f"every Sentinel to name {plan.new}", deadline - time.monotonic(), announced, 0.05)
    trace.mark("announced")


def is_master(connect: Connect, plan: Plan) -> bool:
    """Ask the candidate for its part."""
    with plan.server(connect, plan.new) as server:
        return bool(server.call("ROLE")[0] == "master")


def end_pause(connect: Connect, plan: Plan, master: RedisConnection, trace: Trace) -> None:
    """End the pause: as a replica where the candidate was promoted, as the master where it was not.

    Where the candidate can't be asked, nobody knows: the pause is left to end by itself, in a few seconds.
    """
    try:
        promoted = is_master(connect, plan)
    except RedisError:
        return
    if not promoted:
        again(connect, plan, master, ["CLIENT", "UNPAUSE"])
        trace.mark("unpaused")
        return
    # What Sentinel would do later. Clients stay paused until the new master has a replica: it refuses writes without.
    again(connect, plan, master, ["REPLICAOF", plan.addresses[plan.new], plan.port], ["CONFIG", "REWRITE"])
    trace.mark("demoted")
    with contextlib.suppress(SwitchoverError):
        wait("the new master to accept writes", RESERVE_SECONDS / 2, lambda: accepts_writes(connect, plan), 0.05)
    again(connect, plan, master, ["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"], ["CLIENT", "UNPAUSE"])
    trace.mark("unpaused")


def accepts_writes(connect: Connect, plan: Plan) -> bool:
    """Say whether the new master has the replicas that it wants before it accepts a write."""
    with plan.server(connect, plan.new) as server:
        needed = int(server.config_get(["min-replicas-to-write"])["min-replicas-to-write"])
        return int(server.info("replication").get("min_slaves_good_slaves", needed)) >= needed


def again(connect: Connect, plan: Plan, master: RedisConnection, *commands: Sequence[str | int]) -> None:
    """Send commands to the old master, over a new connection where Sentinel has closed the old one."""
    try:
        master.transaction(*commands)
    except RedisError:
        with plan.server(connect, plan.old) as fresh:
            fresh.transaction(*commands)


def settle(connect: Connect, plan: Plan, trace: Trace, seconds: float) -> None:
    """Wait until every Sentinel names the new master and every other member follows it."""
    target = plan.addresses[plan.new]
    members = [{"name": name, "address": address} for name, address in plan.addresses.items()]

    def settled() -> bool:
        seen = observe(connect, members, plan.port, plan.sentinel_port, plan.name)
        return seen[plan.new]["redis"].get("role") == "master" and all(
            item["sentinel"].get("master_address") == target
            and "failover_in_progress" not in item["sentinel"].get("flags", [])
            and (name == plan.new or (item["redis"].get("master_address") == target and item["redis"]["link_up"]))
            for name, item in seen.items()
        )

    wait(f"every Sentinel to name {plan.new} and every member to follow it", seconds, settled)
    trace.mark("settled")


def restore_priority(connect: Connect, plan: Plan, priority: int) -> None:
    """Give the candidate its own priority back, also in its file, where the promotion has written the other."""
    with contextlib.suppress(RedisError), plan.server(connect, plan.new) as server:
        server.transaction(["CONFIG", "SET", "replica-priority", priority], ["CONFIG", "REWRITE"])


def set_priority(connect: Connect, address: str, port: int, priority: int, check: bool) -> bool:
    """Set a member's priority at run time; say whether it was another."""
    with connect(address, port) as server:
        if int(server.config_get(["replica-priority"])["replica-priority"]) == priority:
            return False
        if not check:
            server.call("CONFIG", "SET", "replica-priority", priority)
    return True
