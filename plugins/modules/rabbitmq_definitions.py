#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Read, diff and apply virtual hosts, users and permissions of RabbitMQ in one call."""

from __future__ import annotations

DOCUMENTATION = r"""
module: rabbitmq_definitions
short_description: Read, diff and apply virtual hosts, users and permissions of RabbitMQ in one call
version_added: 0.1.0
author: Holdfast (@holdfast)
description:
  - Compares what the cluster has with what it should have and sends what differs through the management API.
  - Nothing is deleted.
  - A password that somebody changed is found by computing the salted hash.
extends_documentation_fragment: [holdfast.stateful.rabbitmq]
options:
  admin_password:
    description: Password of the user C(admin).
    type: str
    required: true
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
    description: Shows what changes, without passwords.
    support: full
"""

EXAMPLES = r"""
- name: Declare a tenant
  holdfast.stateful.rabbitmq_definitions:
    member: lab1
    members: [{name: lab1, address: 192.0.2.11}]
    monitor_password: "{{ lookup('holdfast.stateful.secret', 'events/monitor') }}"
    admin_password: "{{ lookup('holdfast.stateful.secret', 'events/admin') }}"
    vhosts: [{name: events}]
    users: [{name: events_app, password: "{{ lookup('holdfast.stateful.secret', 'events/app') }}"}]
    permissions: [{user: events_app, vhost: events, configure: ".*", write: ".*", read: ".*"}]
"""

RETURN = r"""
definitions_changed:
  description: What was sent to the management API.
  returned: always
  type: list
  elements: str
refusal:
  description: V(input) when the wish itself is wrong.
  returned: on refusal
  type: str
diff:
  description: One before and after per change.
  returned: in diff mode
  type: list
  elements: dict
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.holdfast.stateful.plugins.module_utils.rabbitmq_api import RabbitmqError
from ansible_collections.holdfast.stateful.plugins.module_utils.rabbitmq_definitions import (
    SPEC,
    apply,
    diff_of,
    input_problems,
    plan,
    read,
    unknown_references,
)
from ansible_collections.holdfast.stateful.plugins.module_utils.rabbitmq_module import (
    CONNECTION_SPEC,
    Clients,
    give_up,
)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **CONNECTION_SPEC,
            "admin_password": {"type": "str", "required": True, "no_log": True},
            **SPEC,
        },
        supports_check_mode=True,
    )
    try:
        api = Clients(module.params).admin()
        have = read(api)
        if problems := input_problems(module.params) + unknown_references(module.params, have):
            module.fail_json(msg="; ".join(problems), refusal="input", definitions_changed=[])
        steps = plan(have, module.params)
        if not module.check_mode:
            apply(api, steps)
    except RabbitmqError as error:
        give_up(module, error, definitions_changed=[])
    more = {"diff": diff_of(steps)} if module._diff else {}
    module.exit_json(changed=bool(steps), definitions_changed=[step.what for step in steps], **more)


if __name__ == "__main__":
    main()
