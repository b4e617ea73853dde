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
      - V(restarted) stops and starts it, V(stopped) stops it, unless that would take a quorum away.
    type: str
    choices: [started, restarted, stopped]
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
            description: Virtual host, or C(*) for every one that there is.
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

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.holdfast.stateful.plugins.module_utils.rabbitmq_api import RabbitmqError
from ansible_collections.holdfast.stateful.plugins.module_utils.rabbitmq_definitions import SPEC
from ansible_collections.holdfast.stateful.plugins.module_utils.rabbitmq_module import CONNECTION_SPEC, give_up
from ansible_collections.holdfast.stateful.plugins.module_utils.rabbitmq_work import Work


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **CONNECTION_SPEC,
            "state": {"type": "str", "choices": ["started", "restarted", "stopped"], "default": "started"},
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


if __name__ == "__main__":
    main()
