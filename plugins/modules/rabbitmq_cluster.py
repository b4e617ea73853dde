#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Start or restart the local RabbitMQ node behind its gates, apply definitions, and wait for a healthy cluster."""

from __future__ import annotations

DOCUMENTATION = r"""
module: rabbitmq_cluster
short_description: Start or restart the local RabbitMQ node behind its gates and wait for a healthy cluster
version_added: 0.1.0
author: Holdfast (@holdfast)
description:
  - Starts the local node when it does not run. A node that holds data always starts. A node without data only starts
    when every other member is accounted for, either observed in a cluster or known to hold no data, because two halves
    that can't see each other must not become two clusters.
  - Applies O(definitions) through the management API when given. Nothing is deleted.
  - Waits until all members run in one cluster with one version, without alarms, partitions and leaderless queues.
  - A node is never reset and its data is never touched.
extends_documentation_fragment: [holdfast.stateful.rabbitmq]
options:
  state:
    description:
      - V(started) starts the node when it does not run.
      - V(restarted) stops and starts it, unless that would take a quorum away.
    type: str
    choices: [started, restarted]
    default: started
  blank_members:
    description: Members that are known to hold no data, as observed in the same run.
    type: list
    elements: str
    default: []
  epmd_port:
    description: Port of Erlang's port mapper.
    type: int
    default: 4369
  cluster_name:
    description: Name that the cluster must have.
    type: str
    default: ''
  allow_maintenance:
    description: Whether members in maintenance mode count as well; they are reported as a warning.
    type: bool
    default: false
  mixed_versions:
    description: Whether members may run different versions, as in the middle of an upgrade.
    type: bool
    default: false
  admin_password:
    description: Password of the user C(admin), needed with O(definitions).
    type: str
  bootstrap_file:
    description:
      - Definitions that nodes load when they boot. They are imported on this host when the administrator's password is
        refused, which completes a rotation of that password.
    type: path
    default: /etc/rabbitmq/definitions.json
  definitions:
    description: What M(holdfast.stateful.rabbitmq_definitions) takes, to save a remote call.
    type: dict
    suboptions:
      vhosts:
        description: Virtual hosts.
        type: list
        elements: dict
        default: []
        suboptions:
          name:
            description: Name.
            type: str
            required: true
          default_queue_type:
            description: Type of queues that are declared without one.
            type: str
            choices: [quorum, stream, classic]
            default: quorum
      users:
        description: Users.
        type: list
        elements: dict
        default: []
        suboptions:
          name:
            description: Name.
            type: str
            required: true
          password:
            description: Password.
            type: str
          password_hash:
            description: Salted SHA-256 hash of the password, so that the password itself stays on the controller.
            type: str
          tags:
            description: Tags.
            type: list
            elements: str
            default: []
      permissions:
        description: Rights of users in virtual hosts.
        type: list
        elements: dict
        default: []
        suboptions:
          user:
            description: User.
            type: str
            required: true
          vhost:
            description: Virtual host.
            type: str
            required: true
          configure:
            description: Regular expression of names it may declare and delete.
            type: str
            default: ^$
          write:
            description: Regular expression of names it may publish to.
            type: str
            default: ^$
          read:
            description: Regular expression of names it may consume from.
            type: str
            default: ^$
attributes:
  diff_mode:
    description: Shows what the definitions change, without passwords.
    support: full
"""

EXAMPLES = r"""
- name: Start the node and wait for the cluster
  holdfast.stateful.rabbitmq_cluster:
    member: lab1
    members: [{name: lab1, address: 192.0.2.11}, {name: lab2, address: 192.0.2.12}, {name: lab3, address: 192.0.2.13}]
    monitor_password: "{{ lookup('holdfast.stateful.secret', 'events/monitor') }}"
    cluster_name: events
    timeout: 300
"""

RETURN = r"""
cluster:
  description: The cluster as the local member sees it.
  returned: when it could be observed
  type: dict
started:
  description: Whether the node was started or restarted.
  returned: always
  type: bool
definitions_changed:
  description: What was sent to the management API.
  returned: always
  type: list
  elements: str
refusal:
  description: V(gate) when a safety gate stays shut, V(input) when the wish itself is wrong.
  returned: on refusal
  type: str
diff:
  description: One before and after per changed definition.
  returned: in diff mode
  type: list
  elements: dict
"""

import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.holdfast.stateful.plugins.module_utils.rabbitmq import node_name, observe, stop_blockers
from ansible_collections.holdfast.stateful.plugins.module_utils.rabbitmq_api import (
    Deadline,
    DeniedError,
    RabbitmqError,
    GateError,
    UnreachableError,
)
from ansible_collections.holdfast.stateful.plugins.module_utils.rabbitmq_definitions import (
    SPEC,
    apply,
    diff_of,
    input_problems,
    plan,
    read,
)
from ansible_collections.holdfast.stateful.plugins.module_utils.rabbitmq_module import (
    CONNECTION_SPEC,
    POLL_SECONDS,
    Clients,
    give_up,
    wait_until_well,
)
from ansible_collections.holdfast.stateful.plugins.module_utils.rabbitmq_node import (
    UNIT,
    allow_join,
    epmd_names,
    forbid_join,
    has_data,
    recent_log,
    run,
    start_blockers,
    systemctl,
    unit_state,
)

DENIAL_SECONDS = 6


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **CONNECTION_SPEC,
            "state": {"type": "str", "choices": ["started", "restarted"], "default": "started"},
            "blank_members": {"type": "list", "elements": "str", "default": []},
            "epmd_port": {"type": "int", "default": 4369},
            "cluster_name": {"type": "str", "default": ""},
            "allow_maintenance": {"type": "bool", "default": False},
            "mixed_versions": {"type": "bool", "default": False},
            "admin_password": {"type": "str", "no_log": True},
            "bootstrap_file": {"type": "path", "default": "/etc/rabbitmq/definitions.json"},
            "definitions": {"type": "dict", "options": SPEC},
        },
        required_by={"definitions": ["admin_password"]},
        supports_check_mode=True,
    )
    work = Work(module)
    try:
        work.converge()
    except RabbitmqError as error:
        give_up(module, error, **work.result)
    module.exit_json(**work.result)


class Work:
    """One call."""

    def __init__(self, module: AnsibleModule) -> None:
        """Prepare."""
        self.module, self.params = module, module.params
        self.deadline = Deadline(self.params["timeout"])
        self.result: dict[str, Any] = {"changed": False, "started": False, "definitions_changed": []}

    def converge(self) -> None:
        """Start, define, wait."""
        wish = self.params["definitions"]
        if wish and (problems := input_problems(wish)):
            self.module.fail_json(msg="; ".join(problems), refusal="input", **self.result)
        clients = Clients(self.params)
        state = unit_state()
        if state in {"inactive", "failed", "deactivating"}:
            self.start(clients, state)
        elif self.params["state"] == "restarted":
            self.restart(clients)
        if self.result["started"] and self.module.check_mode:
            return
        if wish:
            self.define(clients, wish)
        maintenance = clients.names if self.params["allow_maintenance"] else []
        cluster = wait_until_well(
            clients,
            self.deadline,
            self.hopeless,
            cluster_name=self.params["cluster_name"],
            in_maintenance=maintenance,
            mixed_versions=self.params["mixed_versions"],
        )
        if not self.module.check_mode:
            forbid_join()
        self.result["cluster"] = cluster.to_dict()
        for node in cluster.nodes:
            if node.draining:
                self.module.warn(f"{node.name} is in maintenance mode: run undrain when the work is done")

    def start(self, clients: Clients, state: str) -> None:
        """Start a node that does not run, when its gate opens."""
        self.result.update(changed=True, started=True)
        if self.module.check_mode:
            return
        if not has_data(node_name(clients.me)):
            self.wait_for_peers(clients)
            allow_join()
        if state == "failed":
            systemctl("reset-failed", UNIT)
        systemctl("start", "--no-block", UNIT)

    def wait_for_peers(self, clients: Clients) -> None:
        """Wait until every other member is accounted for, or refuse."""
        while True:
            peers, counted = {}, set()
            for name in clients.names:
                if name != clients.me:
                    peers[name], counts_me = self.peer(clients, name)
                    counted |= {name} if counts_me else set()
            found = start_blockers(
                clients.me, data_here=False, peers=peers, member_of=counted.__contains__
            )
            if not found:
                return
            if self.deadline.over:
                raise GateError("; ".join(found))
            time.sleep(POLL_SECONDS)

    def peer(self, clients: Clients, name: str) -> tuple[str, bool]:
        """Say what is known of another member, and whether its cluster counts this one as a member."""
        try:
            registered = epmd_names(clients.address(name), self.params["epmd_port"])
        except RabbitmqError as error:
            return str(error), False
        if "rabbit" not in registered:
            return ("blank" if name in self.params["blank_members"] else "its node does not run"), False
        if name in self.params["blank_members"]:
            # It is being started by this very run.
            return "blank", False
        try:
            cluster = observe(clients.monitors[name])
        except RabbitmqError as error:
            return str(error), False
        return "running", cluster.node(node_name(clients.me)) is not None

    def restart(self, clients: Clients) -> None:
        """Stop and start the node, unless a quorum needs it."""
        cluster = clients.observe()
        if found := stop_blockers(cluster, node_name(clients.me)):
            raise GateError(f"{clients.me}: expected that it may stop, found: {'; '.join(found)}; nothing was stopped")
        self.result.update(changed=True, started=True)
        if not self.module.check_mode:
            systemctl("restart", UNIT, timeout=max(30.0, self.deadline.left))

    def hopeless(self) -> str:
        """Say why waiting is pointless, empty while it is not."""
        state = unit_state()
        if state in {"failed", "inactive"}:
            said = recent_log() or "none"
            return f"{self.params['member']}: expected {UNIT} to run, found it {state}; its last errors: {said}"
        return ""

    def define(self, clients: Clients, wish: dict[str, Any]) -> None:
        """Apply the definitions as soon as the API answers."""
        healed, patience = False, Deadline(DENIAL_SECONDS)
        while True:
            api = clients.admin()
            try:
                steps = plan(read(api), wish)
                break
            except DeniedError as error:
                if not patience.over:
                    # A node that has just booted answers before it has loaded its bootstrap file.
                    time.sleep(POLL_SECONDS)
                    continue
                if healed or self.module.check_mode:
                    raise DeniedError(
                        f"{error}: check {self.params['bootstrap_file']} and the secret of admin"
                    ) from error
                self.import_bootstrap()
                healed = True
            except UnreachableError as error:
                if self.deadline.over:
                    raise GateError(f"{error} ({self.params['timeout']} s waited)") from error
                if said := self.hopeless():
                    raise RabbitmqError(said) from error
                time.sleep(POLL_SECONDS)
        if steps:
            self.result["changed"] = True
            self.result["definitions_changed"] += [step.what for step in steps]
            if self.module._diff:
                self.result["diff"] = diff_of(steps)
        if not self.module.check_mode:
            apply(api, steps)

    def import_bootstrap(self) -> None:
        """Let the local node load its bootstrap file, which holds the administrator's new password as a hash."""
        path = self.params["bootstrap_file"]
        done = run(["/usr/sbin/rabbitmqctl", "--quiet", "import_definitions", path], max(30.0, self.deadline.left))
        if done.returncode != 0:
            raise RabbitmqError(
                f"{path}: expected rabbitmqctl to import it, found exit code {done.returncode}:"
                f" {(done.stderr or done.stdout).strip()[-500:]}"
            )
        self.result["changed"] = True
        self.result["definitions_changed"].append("user admin")


if __name__ == "__main__":
    main()
