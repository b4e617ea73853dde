# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the RabbitMQ modules share: connection options, clients, and waiting for a healthy cluster."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, NoReturn

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.holdfast.stateful.plugins.module_utils.rabbitmq import (
    Cluster,
    blockers,
    node_name,
    observe,
    observe_own_word,
)
from ansible_collections.holdfast.stateful.plugins.module_utils.rabbitmq_api import (
    ADMIN_USER,
    MONITOR_USER,
    Api,
    Deadline,
    DeniedError,
    GateError,
    RabbitmqError,
    UnreachableError,
    first_answer,
)

POLL_SECONDS = 0.4
CONNECTION_SPEC: dict[str, dict[str, Any]] = {
    "member": {"type": "str", "required": True},
    "members": {
        "type": "list",
        "elements": "dict",
        "required": True,
        "options": {"name": {"type": "str", "required": True}, "address": {"type": "str", "required": True}},
    },
    "port": {"type": "int", "default": 15671},
    "ca_file": {"type": "path", "default": "/etc/holdfast/pki/ca.crt"},
    "monitor_password": {"type": "str", "required": True, "no_log": True},
    "timeout": {"type": "int", "default": 120},
}


class Clients:
    """Clients of every member for the monitoring user, and of the local one for the administrator."""

    def __init__(self, params: Mapping[str, Any], request_timeout: float = 5.0) -> None:
        """Prepare the clients; nothing is sent yet."""
        self.me: str = params["member"]
        self.names: list[str] = [member["name"] for member in params["members"]]
        self._addresses = {member["name"]: member["address"] for member in params["members"]}
        if self.me not in self._addresses:
            raise GateError(f"{self.me}: expected it among the members {', '.join(self.names)}, found that it is not")
        self._params, self._timeout = params, request_timeout
        # Whether a member's own word counts until its statistics come. They alone tell of partitions, which members
        # that were only just made cannot have.
        self.own_word = False
        self.monitors = {name: self._client(name, MONITOR_USER, params["monitor_password"]) for name in self.names}

    def _client(self, name: str, user: str, password: str) -> Api:
        return Api(
            self._addresses[name],
            self._params["port"],
            user,
            password,
            ca_file=self._params["ca_file"],
            timeout=self._timeout,
        )

    def admin(self) -> Api:
        """Return a client of the local member for the administrator."""
        return self._client(self.me, ADMIN_USER, self._params["admin_password"])

    @property
    def local(self) -> Api:
        """Return the client of the local member."""
        return self.monitors[self.me]

    def address(self, name: str) -> str:
        """Return the address of a member."""
        return str(self._addresses[name])

    def ordered(self) -> list[Api]:
        """Return the clients, the local one first."""
        return [self.local, *(self.monitors[name] for name in self.names if name != self.me)]

    def observe(self) -> Cluster:
        """Ask the local member, and the others when it does not answer (in maintenance mode it does not)."""
        cluster: Cluster = first_answer(self.ordered(), observe)
        return self._hear(cluster) if self.own_word else cluster

    def _hear(self, cluster: Cluster) -> Cluster:
        """Ask those that no statistics came from; who does not answer stays without a version, which is a blocker."""
        versions = dict(cluster.versions)
        for name, monitor in self.monitors.items():
            if node_name(name) in cluster.silent:
                with suppress(RabbitmqError):
                    node, version = observe_own_word(monitor)
                    versions[node] = version
        return dataclasses.replace(cluster, versions=versions)


def look(clients: Clients, **rules: Any) -> tuple[Cluster | None, list[str]]:
    """Observe once; what could not be observed is a blocker too."""
    try:
        cluster = clients.observe()
    except DeniedError as error:
        return None, [f"{error}: apply the definitions again, they set the password"]
    except RabbitmqError as error:
        return None, [str(error)]
    found = blockers(cluster, clients.names, **rules)
    mine = cluster.node(node_name(clients.me))
    if cluster.seen_by != node_name(clients.me) and mine is not None and mine.running and not mine.draining:
        found.append(f"{clients.me}: expected its own management API to answer, found silence while its node runs")
    return cluster, found


def wait_until_well(
    clients: Clients,
    deadline: Deadline,
    hopeless: Callable[[], str] = lambda: "",
    **rules: Any,
) -> Cluster:
    """Return the cluster as soon as nothing is wrong with it; at the deadline fail with everything that is."""
    last_check = time.monotonic()
    while True:
        cluster, found = look(clients, **rules)
        if cluster is not None and not found:
            return cluster
        if deadline.over:
            raise GateError(
                f"{clients.me}: expected a healthy cluster within {deadline.seconds:.0f} s, found: " + "; ".join(found)
            )
        if time.monotonic() - last_check > 2:
            last_check = time.monotonic()
            if said := hopeless():
                raise RabbitmqError(said)
        time.sleep(POLL_SECONDS)


def give_up(module: AnsibleModule, error: RabbitmqError, **more: Any) -> NoReturn:
    """Fail; a gate that stays shut is told apart from an error."""
    if isinstance(error, GateError):
        more.setdefault("refusal", "gate")
    module.fail_json(msg=str(error), **more)
    raise AssertionError("fail_json does not return")


__all__ = ["CONNECTION_SPEC", "POLL_SECONDS", "Clients", "UnreachableError", "give_up", "look", "wait_until_well"]
