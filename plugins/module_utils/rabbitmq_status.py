# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The local RabbitMQ member in a few milliseconds, for the status of all engines together."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any

from ansible_collections.holdfast.stateful.plugins.module_utils.rabbitmq import (
    Cluster,
    blockers,
    node_name,
    observe,
)
from ansible_collections.holdfast.stateful.plugins.module_utils.rabbitmq_api import (
    CA_FILE,
    MONITOR_USER,
    Api,
    RabbitmqError,
    UnreachableError,
    first_answer,
)

ALONE_SECONDS = 0.3


def observe_local(contract: dict[str, Any], credentials: dict[str, Any], timeout: float) -> dict[str, Any]:
    """Return the state of the member on this host; an error is a state, never an exception.

    `credentials` holds the password of the user monitor under the key `password`. There is no cluster leader: `leader`
    is the member with most queue leaders, or None when two have as many or no queue is replicated (docs/adr/0052).
    """
    empty: dict[str, Any] = {
        "engine": "rabbitmq",
        "service": contract.get("service"),
        "host_role": "member",
        "state": "unknown",
        "version": None,
        "lag_seconds": None,
        "leader": None,
        "leader_since": None,
        "members_seen": [],
        "problems": [],
    }
    me = os.uname().nodename.split(".")[0]
    try:
        return {**empty, **describe(contract, credentials, timeout, me)}
    except Exception as error:  # noqa: BLE001 - the status of three engines must not die with one of them
        return {**empty, "problems": [str(error) or type(error).__name__]}


def describe(contract: Mapping[str, Any], credentials: Mapping[str, Any], timeout: float, me: str) -> dict[str, Any]:
    """Ask the local member, then the others: in maintenance mode a member closes its own API."""
    members = {str(member["name"]).split(".", maxsplit=1)[0]: str(member["address"]) for member in contract["members"]}
    if me not in members:
        return {"problems": [f"{me}: expected it among the members {', '.join(members)}, found that it is not"]}
    order = [me, *(name for name in members if name != me)]
    until = time.monotonic() + timeout
    port, password = int(contract["settings"]["management_port"]), str(credentials["password"])
    apis = [
        Api(members[name], port, MONITOR_USER, password, ca_file=CA_FILE, timeout=max(0.2, timeout / len(order)))
        for name in order
    ]
    try:
        return summarise(first_answer(apis, lambda api: within(api, until)), list(members), me)
    except UnreachableError as error:
        return alone(apis[0], me, error)
    finally:
        for api in apis:
            api.close()


def within(api: Api, until: float) -> Cluster:
    """Observe, with no more time than is left."""
    api.timeout = max(0.1, min(api.timeout, until - time.monotonic()))
    return observe(api)


def alone(api: Api, me: str, error: UnreachableError) -> dict[str, Any]:
    """Return what a member says that has no view of its cluster: questions about it hang until a lost peer is given up.

    Seen on three hosts of which one lost its network: the API's overview came after 20 s, a member's alarms at once.
    """
    api.timeout = ALONE_SECONDS
    try:
        api.request("GET", "/health/checks/local-alarms")
    except RabbitmqError:
        raise error from None
    problem = f"{me}: expected its view of the cluster in time, found none although it answers: is a peer cut off?"
    return {"state": "running", "members_seen": [me], "problems": [problem]}


def summarise(cluster: Cluster, members: list[str], me: str) -> dict[str, Any]:
    """Return what the status shows."""
    node = cluster.node(node_name(me))
    leaders = cluster.leaders().most_common(2)
    tied = len(leaders) == 2 and leaders[0][1] == leaders[1][1]
    problems = blockers(cluster, members)
    if node is not None and node.running and not node.draining and cluster.seen_by != node.name:
        problems.append(f"{me}: expected its own management API to answer, found silence while its node runs")
    return {
        "state": node.state if node else "unknown",
        "version": cluster.versions.get(node_name(me)) or cluster.version,
        "leader": leaders[0][0].partition("@")[2] if leaders and not tied else None,
        "members_seen": sorted(name.partition("@")[2] for name in cluster.running),
        "problems": problems,
    }
