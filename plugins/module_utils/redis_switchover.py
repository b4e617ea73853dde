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
    RedisReplyError,
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
    """Pause writes, let the candidate catch up, promote it. Whatever happens, the old master is unpaused."""
    with plan.server(connect, plan.old) as master, plan.server(connect, plan.new) as replica:
        try:
            # The pause ends by itself: a controller that dies here leaves a service that writes again.
            master.call("CLIENT", "PAUSE", int(params["pause_seconds"] * 1000), "WRITE")
            trace.mark("paused")
            captured = int(master.info("replication")["master_repl_offset"])
            catch_up(replica, captured, params["offset_seconds"])
            trace.mark("caught_up")
            with plan.sentinel(connect, plan.new) as sentinel:
                sentinel.call("SENTINEL", "FAILOVER", plan.name)
            trace.mark("ordered")
            wait_for_promotion(replica, plan, trace, params["pause_seconds"])
        finally:
            unpause(connect, plan, master)
            trace.mark("unpaused")


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


def wait_for_promotion(replica: RedisConnection, plan: Plan, trace: Trace, seconds: float) -> None:
    """Wait until the candidate is master; beyond the pause it would no longer be lossless."""
    # The pause must outlast the promotion, so give up a little before it ends.
    deadline = time.monotonic() + seconds - 1.0
    while True:
        # Sentinel kills the clients of a promoted server, this one too.
        try:
            if replica.call("ROLE")[0] == "master":
                trace.mark("promoted")
                return
        except RedisReplyError:
            raise
        except RedisError:
            trace.mark("promoted")
            return
        if time.monotonic() >= deadline:
            raise SwitchoverError(
                f"{plan.new}: expected to be promoted within {seconds - 1:g} s of pause, found a replica"
            )
        time.sleep(0.02)


def unpause(connect: Connect, plan: Plan, master: RedisConnection) -> None:
    """End the pause of the old master; over a new connection where Sentinel has closed the old one."""
    try:
        master.call("CLIENT", "UNPAUSE")
    except RedisError:
        # If it can't be reached at all, the pause ends by itself.
        with contextlib.suppress(RedisError), plan.server(connect, plan.old) as again:
            again.call("CLIENT", "UNPAUSE")


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
