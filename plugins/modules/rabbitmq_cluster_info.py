#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Observe a RabbitMQ cluster, and wait for it to be well when asked to."""

from __future__ import annotations

DOCUMENTATION = r"""
module: rabbitmq_cluster_info
short_description: Observe a RabbitMQ cluster and wait for it to be well when asked to
version_added: 0.1.0
author: Holdfast (@holdfast)
description:
  - Returns members, versions, alarms, partitions, maintenance mode and queue leaders as the local member sees them.
    When the local member does not answer, as in maintenance mode, another one is asked.
  - Returns everything that is wrong in RV(blockers). What could not be observed is a blocker.
extends_documentation_fragment: [holdfast.stateful.rabbitmq]
options:
  wait:
    description: Whether to wait until nothing is wrong, and to fail at the deadline.
    type: bool
    default: false
  cluster_name:
    description: Name that the cluster must have.
    type: str
    default: ''
  in_maintenance:
    description: Members that may be in maintenance mode.
    type: list
    elements: str
    default: []
  mixed_versions:
    description: Whether members may run different versions, as in the middle of an upgrade.
    type: bool
    default: false
  cookie_sha256:
    description: SHA-256 of the Erlang cookie that the member must have. Another one is a blocker.
    type: str
  upgrade_package:
    description: Package whose candidate version is compared with the installed one, as RV(package).
    type: str
  upgrade_with:
    description: Packages that are upgraded together with O(upgrade_package).
    type: list
    elements: str
    default: []
  upgrade_target:
    description: Version that the candidate must be, V(latest) for any.
    type: str
    default: latest
"""

EXAMPLES = r"""
- name: Wait until the cluster is well
  holdfast.stateful.rabbitmq_cluster_info:
    member: lab1
    members: [{name: lab1, address: 192.0.2.11}, {name: lab2, address: 192.0.2.12}, {name: lab3, address: 192.0.2.13}]
    monitor_password: "{{ lookup('holdfast.stateful.secret', 'events/monitor') }}"
    wait: true
"""

RETURN = r"""
cluster:
  description: The cluster, or nothing when no member answered.
  returned: always
  type: dict
blockers:
  description: Everything that is wrong, one sentence each.
  returned: always
  type: list
  elements: str
installed:
  description: Whether the member holds data of a cluster.
  returned: always
  type: bool
stop_blockers:
  description: Why the local node must not stop now.
  returned: always
  type: list
  elements: str
package:
  description: Installed and candidate version, why the hop is refused, and what is older than its candidate.
  returned: with O(upgrade_package)
  type: dict
refusal:
  description: V(gate) when the cluster was not well at the deadline.
  returned: on refusal
  type: str
"""

import hashlib
import hmac
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.holdfast.stateful.plugins.module_utils.rabbitmq import (
    hop_problem,
    node_name,
    stop_blockers,
    upstream,
)
from ansible_collections.holdfast.stateful.plugins.module_utils.rabbitmq_api import Deadline, RabbitmqError
from ansible_collections.holdfast.stateful.plugins.module_utils.rabbitmq_module import (
    CONNECTION_SPEC,
    Clients,
    give_up,
    look,
    wait_until_well,
)
from ansible_collections.holdfast.stateful.plugins.module_utils.rabbitmq_node import has_data, run

COOKIE = "/var/lib/rabbitmq/.erlang.cookie"


def cookie_blockers(member: str, digest: str | None) -> list[str]:
    """Return whether the member has another cookie than its cluster."""
    if not digest:
        return []
    try:
        cookie = Path(COOKIE).read_bytes()
    except FileNotFoundError:
        return []
    if hmac.compare_digest(hashlib.sha256(cookie).hexdigest(), digest):
        return []
    return [
        f"{member}: expected the Erlang cookie of the cluster in {COOKIE}, found another one: with it the node can't be"
        " reached by its peers after a restart; put the right one back, or stop the node so that a run may do it"
    ]


def policies(packages: list[str]) -> dict[str, dict[str, str]]:
    """Return what apt knows now about each package."""
    done = run(["apt-cache", "policy", *packages], 60)
    found: dict[str, dict[str, str]] = {}
    table: dict[str, str] = {}
    for line in done.stdout.splitlines():
        if line and not line[0].isspace():
            table = found.setdefault(line.rstrip(":"), {})
        else:
            key, _colon, value = line.strip().partition(": ")
            table.setdefault(key, value)
    if done.returncode != 0:
        raise RabbitmqError(f"apt-cache policy: expected success, found: {done.stderr.strip()}")
    return found


def package_versions(package: str, others: list[str], target: str) -> dict[str, Any]:
    """Return installed and candidate version, why the hop is refused, and what is older than its candidate."""
    found = policies([package, *others])
    installed, candidate = (found.get(package, {}).get(key, "(none)") for key in ("Installed", "Candidate"))
    if candidate == "(none)":
        raise RabbitmqError(f"{package}: expected a candidate version, found none: check the package sources")
    outdated = [
        name for name, table in found.items() if table.get("Installed") not in {None, "(none)", table.get("Candidate")}
    ]
    problem = "" if installed == "(none)" else hop_problem(installed, candidate)
    if target != "latest" and target not in {candidate, upstream(candidate)}:
        problem = f"expected {target} as the candidate, found {candidate}: offer that version, or change the target"
    return {"installed": installed, "candidate": candidate, "problem": problem, "outdated": outdated}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **CONNECTION_SPEC,
            "wait": {"type": "bool", "default": False},
            "cluster_name": {"type": "str", "default": ""},
            "in_maintenance": {"type": "list", "elements": "str", "default": []},
            "mixed_versions": {"type": "bool", "default": False},
            "cookie_sha256": {"type": "str"},
            "upgrade_package": {"type": "str"},
            "upgrade_with": {"type": "list", "elements": "str", "default": []},
            "upgrade_target": {"type": "str", "default": "latest"},
        },
        supports_check_mode=True,
    )
    params = module.params
    rules = {key: params[key] for key in ("cluster_name", "in_maintenance", "mixed_versions")}
    result: dict[str, Any] = {"changed": False}
    try:
        clients = Clients(params)
        if params["upgrade_package"]:
            result["package"] = package_versions(
                params["upgrade_package"], params["upgrade_with"], params["upgrade_target"]
            )
        if params["wait"]:
            wait_until_well(clients, Deadline(params["timeout"]), **rules)
        cluster, found = look(clients, **rules)
    except RabbitmqError as error:
        give_up(module, error, **result)
    module.exit_json(
        **result,
        installed=has_data(node_name(clients.me)),
        cluster=cluster.to_dict() if cluster else None,
        blockers=found + cookie_blockers(params["member"], params["cookie_sha256"]),
        stop_blockers=stop_blockers(cluster, node_name(clients.me)) if cluster else found,
    )


if __name__ == "__main__":
    main()
