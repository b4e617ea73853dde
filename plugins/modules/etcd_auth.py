#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ensure users, their grants and authentication in an etcd cluster."""

from __future__ import annotations

DOCUMENTATION = r"""
module: etcd_auth
short_description: Ensure users, their grants and authentication in an etcd cluster
version_added: 0.1.0
author: Holdfast maintainers (@holdfast)
description:
  - Every user gets a role of its own name with exactly the given grants. Users that are not given stay as they are.
  - Every password that is set is proven by a login.
  - Switches authentication on once root and the given users exist. Never switches it off.
  - Asks the first member that answers. Changes go through the quorum.
extends_documentation_fragment: [holdfast.stateful.host_tls]
options:
  members:
    description: The members of the cluster.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the member.
        type: str
        required: true
      address:
        description: Address at which clients reach it.
        type: str
        required: true
  client_port:
    description: Port for clients.
    type: int
    default: 2379
  root_user:
    description: As whom the module comes, one of those who are root.
    type: str
    default: root
  root_password:
    description: Password of O(root_user), also set when authentication is switched on.
    type: str
    required: true
  roots:
    description:
      - Who else is root. With two of them a password is rotated while the other works.
      - Has to name C(root) where O(root_user) is another.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the user.
        type: str
        required: true
      password:
        description: Its password.
        type: str
        required: true
  users:
    description: The users to ensure.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the user and of its role.
        type: str
        required: true
      password:
        description: Its password.
        type: str
        required: true
      grants:
        description: What its role may do.
        type: list
        elements: dict
        required: true
        suboptions:
          access:
            description: The kind of access.
            type: str
            choices: [READ, WRITE, READWRITE]
            required: true
          key:
            description: One key.
            type: str
          prefix:
            description: All keys that begin with this.
            type: str
attributes:
  check_mode:
    description: Compares and predicts.
    support: full
"""

EXAMPLES = r"""
- name: Give Patroni a user that reaches the keys of its scope and no other
  holdfast.stateful.etcd_auth:
    members: "{{ service_contract_service.settings.etcd.members }}"
    root_password: "{{ lookup('holdfast.stateful.secret', 'etcd-orders_db/root') }}"
    users:
      - name: patroni-orders-db
        password: "{{ lookup('holdfast.stateful.secret', 'orders-db/etcd') }}"
        grants:
          - {access: READWRITE, prefix: /service/orders-db/}
"""

RETURN = r"""
done:
  description: What was done, or in check mode would be.
  returned: always
  type: list
  elements: str
refusal:
  description: V(gate) when the cluster could not be asked or refused.
  returned: failure
  type: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.holdfast.stateful.plugins.module_utils.etcd import (
    EtcdClient,
    EtcdError,
    LoginRefusedError,
    Tls,
    url_of,
)
from ansible_collections.holdfast.stateful.plugins.module_utils.etcd_auth import ROOT, converge
from ansible_collections.holdfast.stateful.plugins.module_utils.host_tls import TLS_SPEC

GRANT = {
    "type": "list",
    "elements": "dict",
    "required": True,
    "required_one_of": [("key", "prefix")],
    "mutually_exclusive": [("key", "prefix")],
    "options": {
        "access": {"type": "str", "choices": ["READ", "WRITE", "READWRITE"], "required": True},
        "key": {"type": "str", "no_log": False},
        "prefix": {"type": "str"},
    },
}


def answering(client: EtcdClient, bases: list[str]) -> str:
    """Return the first member that answers. Raises EtcdError with what each of them said."""
    said = []
    for base in bases:
        try:
            client.post(base, "/v3/maintenance/status")
        except EtcdError as error:
            said.append(str(error))
        else:
            return base
    raise EtcdError("expected a member to answer, found none: " + "; ".join(said))


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **TLS_SPEC,
            "members": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {"name": {"type": "str", "required": True}, "address": {"type": "str", "required": True}},
            },
            "client_port": {"type": "int", "default": 2379},
            "root_user": {"type": "str", "default": ROOT},
            "root_password": {"type": "str", "required": True, "no_log": True},
            "roots": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "name": {"type": "str", "required": True},
                    "password": {"type": "str", "required": True, "no_log": True},
                },
            },
            "users": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "name": {"type": "str", "required": True},
                    "password": {"type": "str", "required": True, "no_log": True},
                    "grants": GRANT,
                },
            },
        },
        supports_check_mode=True,
    )
    params = module.params
    try:
        context = Tls(params["ca"], params["cert"], params["key"]).context()
        client = EtcdClient(context, 5.0, params["root_user"], params["root_password"])
        base = answering(client, [url_of(member["address"], params["client_port"]) for member in params["members"]])
        done = converge(client, base, params["users"], params["roots"], check=module.check_mode)
    except LoginRefusedError as error:
        module.fail_json(
            msg=f"etcd: {error}. The secrets file and the cluster disagree: put the old password back,"
            " or, as root, set it to the one in the file (etcdctl user passwd)",
            refusal="gate",
        )
    except EtcdError as error:
        module.fail_json(msg=f"etcd: {error}", refusal="gate")
    module.exit_json(changed=bool(done), done=done)


if __name__ == "__main__":
    main()
