#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Put the local RabbitMQ node into maintenance mode, or back into service."""

from __future__ import annotations

DOCUMENTATION = r"""
module: rabbitmq_maintenance
short_description: Put the local RabbitMQ node into maintenance mode or back into service
version_added: 0.1.0
author: Holdfast (@holdfast)
description:
  - With O(state=maintenance) clients are sent away and queue leaders move to other members. The module returns when
    another member has confirmed both the mode and that no leader is left here; the exit code of the tool is not
    believed.
  - Refused when a quorum would be lost with this node, or when the cluster is not well otherwise.
  - With O(state=in_service) the node takes clients and leaders again. Doing either twice changes nothing.
extends_documentation_fragment: [holdfast.stateful.rabbitmq]
options:
  state:
    description: The mode that the node must be in.
    type: str
    choices: [maintenance, in_service]
    required: true
  mixed_versions:
    description: Whether members may run different versions, as in the middle of an upgrade.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Drain the node
  holdfast.stateful.rabbitmq_maintenance:
    member: lab1
    members: [{name: lab1, address: 192.0.2.11}, {name: lab2, address: 192.0.2.12}, {name: lab3, address: 192.0.2.13}]
    monitor_password: "{{ lookup('holdfast.stateful.secret', 'events/monitor') }}"
    state: maintenance
"""

RETURN = r"""
before:
  description: Mode before.
  returned: always
  type: str
after:
  description: Mode after.
  returned: always
  type: str
queue_leaders:
  description: Queue leaders on this node before and after.
  returned: when it could be observed
  type: dict
refusal:
  description: V(gate) when a safety gate stays shut.
  returned: on refusal
  type: str
"""

import time
from collections.abc import Callable
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.holdfast.stateful.plugins.module_utils.rabbitmq import (
    Cluster,
    Node,
    blockers,
    node_name,
    stop_blockers,
)
from ansible_collections.holdfast.stateful.plugins.module_utils.rabbitmq_api import Deadline, GateError, RabbitmqError
from ansible_collections.holdfast.stateful.plugins.module_utils.rabbitmq_module import (
    CONNECTION_SPEC,
    POLL_SECONDS,
    Clients,
    give_up,
)
from ansible_collections.holdfast.stateful.plugins.module_utils.rabbitmq_node import run

TOOL = "/usr/sbin/rabbitmq-upgrade"


def mine(cluster: Cluster, member: str) -> Node:
    """Return the local node, which must run."""
    node = cluster.node(node_name(member))
    if node is None or not node.running:
        raise GateError(f"{member}: expected a running member, found it {'down' if node else 'unknown to the cluster'}")
    return node


def settle(clients: Clients, deadline: Deadline, done: Callable[[Cluster], str]) -> Cluster:
    """Wait until `done` has no objection any more."""
    objection = ""
    while True:
        try:
            cluster = clients.observe()
            objection = done(cluster)
            if not objection:
                return cluster
        except RabbitmqError as error:
            objection = str(error)
        if deadline.over:
            raise GateError(f"{clients.me}: {objection} ({deadline.seconds:.0f} s waited); bring it back with undrain")
        time.sleep(POLL_SECONDS)


def objection_to_drain(cluster: Cluster, name: str) -> str:
    """Say what is missing to maintenance mode, empty when nothing is."""
    node = cluster.node(name)
    if node is None or not node.running:
        return "expected it to stay up while it is drained, found it down"
    if not node.draining:
        return "expected maintenance mode, found it in service"
    left = cluster.leaders()[name]
    return f"expected no queue leader left here, found {left}" if left else ""


def objection_to_service(cluster: Cluster, name: str) -> str:
    """Say what is missing to being in service, empty when nothing is."""
    node = cluster.node(name)
    if node is None or not node.running:
        return "expected it to run, found it down"
    if node.draining:
        return "expected it in service, found maintenance mode"
    if cluster.seen_by != name:
        return "expected its own management API to answer again, found silence"
    return ""


def tool(verb: str, deadline: Deadline) -> str:
    """Run the tool and return what it said; what it did is observed elsewhere."""
    done = run([TOOL, verb], max(30.0, deadline.left))
    return "" if done.returncode == 0 else f"{TOOL} {verb} ended with {done.returncode}: {done.stderr.strip()[-300:]}"


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **CONNECTION_SPEC,
            "state": {"type": "str", "choices": ["maintenance", "in_service"], "required": True},
            "mixed_versions": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    deadline, result = Deadline(module.params["timeout"]), dict[str, Any](changed=False)
    try:
        clients = Clients(module.params)
        converge(module, clients, deadline, result)
    except RabbitmqError as error:
        give_up(module, error, **result)
    module.exit_json(**result)


def converge(module: AnsibleModule, clients: Clients, deadline: Deadline, result: dict[str, Any]) -> None:
    """Change the mode when it is another one."""
    drain, name = module.params["state"] == "maintenance", node_name(clients.me)
    objection = objection_to_drain if drain else objection_to_service
    cluster = clients.observe()
    node = mine(cluster, clients.me)
    before = "maintenance" if node.draining else "in_service"
    result.update(before=before, after=module.params["state"], queue_leaders={"before": cluster.leaders()[name]})
    if not objection(cluster, name):
        result["queue_leaders"]["after"] = cluster.leaders()[name]
        return
    if drain and not node.draining:
        found = blockers(cluster, clients.names, mixed_versions=module.params["mixed_versions"]) + stop_blockers(
            cluster, name
        )
        if found:
            raise GateError(
                f"{clients.me}: expected that it may be drained, found: {'; '.join(found)}; nothing was changed"
            )
    result["changed"] = True
    if module.check_mode:
        return
    said = tool("drain" if drain else "revive", deadline)
    try:
        cluster = settle(clients, deadline, lambda seen: objection(seen, name))
    except GateError as error:
        raise GateError(f"{error}; {said}" if said else str(error)) from error
    result["queue_leaders"]["after"] = cluster.leaders()[name]


if __name__ == "__main__":
    main()
