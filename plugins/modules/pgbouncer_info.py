#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Observe the poolers of a PostgreSQL service: what is paused, who watches, and where their paths end."""

from __future__ import annotations

DOCUMENTATION = r"""
module: pgbouncer_info
short_description: Observe the poolers of a PostgreSQL service
version_added: 0.1.0
author: Holdfast maintainers (@holdfast)
description:
  - Asks the named poolers, over verified TLS and in one remote call, what is paused and whether their dead-men watch.
    Follows the path of each through its HAProxy to a server that takes writes. Changes nothing.
options:
  members:
    description: The members whose poolers are asked.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the member.
        type: str
        required: true
      address:
        description: Address of its pooler.
        type: str
        required: true
  port:
    description: Port of the poolers.
    type: int
    required: true
  admin_user:
    description: The poolers' administrator.
    type: str
    required: true
  admin_password:
    description: Password of O(admin_user).
    type: str
    required: true
  databases:
    description: Databases that each pooler must have.
    type: list
    elements: str
    required: true
  ca:
    description: Certificate of the authority that signed the members' certificates.
    type: path
    default: /etc/holdfast/pki/ca.crt
  require_healthy:
    description: Fail when a pooler is not as it should be in time.
    type: bool
    default: false
  timeout:
    description: Seconds until all must be well.
    type: float
    default: 0
attributes:
  check_mode:
    description: Never changes anything.
    support: full
"""

EXAMPLES = r"""
- name: Wait until this member's pooler serves
  holdfast.stateful.pgbouncer_info:
    members: [{name: db1, address: 192.0.2.11}]
    port: 6432
    admin_user: holdfast_pooler_admin
    admin_password: "{{ lookup('holdfast.stateful.secret', 'orders-db/pooler-admin') }}"
    databases: [orders, orders_ro]
    require_healthy: true
    timeout: 30
"""

RETURN = r"""
poolers:
  description: For each member what is paused, whether its dead-man watches, and the address at which its path ends.
  returned: always
  type: list
  elements: dict
problems:
  description: Everything that is not as it should be.
  returned: always
  type: list
  elements: str
refusal:
  description: V(gate) when O(require_healthy) and a pooler was not well in time.
  returned: failure
  type: str
"""

import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.holdfast.stateful.plugins.module_utils.pooler_pause import poolers_of

MEMBERS = {
    "type": "list",
    "elements": "dict",
    "required": True,
    "options": {"name": {"type": "str", "required": True}, "address": {"type": "str", "required": True}},
}


def look(params: dict) -> tuple:  # type: ignore[type-arg]  # sanity wants no typing import here
    """Observe all poolers once; return them, and everything that is wrong."""
    options = {**params, "read_only_databases": [], "settle_ms": 0}
    poolers = poolers_of(options, params["members"], params["ca"])
    try:
        states, problems = poolers.look()
        paths = poolers.paths()
    finally:
        poolers.close()
    for name, path in sorted(paths.items()):
        if not path.value:
            problems.append(f"{name}: expected a path to a server that takes writes, found {path.error or 'a standby'}")
    seen = [
        {
            "name": name,
            "paused": list(states[name].paused) if name in states else None,
            "watched": states[name].watched if name in states else None,
            "leader_address": paths[name].value,
        }
        for name in sorted(paths)
    ]
    return seen, problems


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "members": MEMBERS,
            "port": {"type": "int", "required": True},
            "admin_user": {"type": "str", "required": True},
            "admin_password": {"type": "str", "required": True, "no_log": True},
            "databases": {"type": "list", "elements": "str", "required": True},
            "ca": {"type": "path", "default": "/etc/holdfast/pki/ca.crt"},
            "require_healthy": {"type": "bool", "default": False},
            "timeout": {"type": "float", "default": 0},
        },
        supports_check_mode=True,
    )
    params = module.params
    deadline = time.monotonic() + params["timeout"]
    seen, problems = look(params)
    while problems and time.monotonic() < deadline:
        time.sleep(0.3)
        seen, problems = look(params)
    if problems and params["require_healthy"]:
        found = "; ".join(problems)
        module.fail_json(
            msg=f"expected all poolers to serve within {params['timeout']:g} s, found: {found}."
            " Look at 'journalctl -u pgbouncer -u haproxy -u holdfast-pgbouncer-deadman' on the members named",
            poolers=seen,
            problems=problems,
            refusal="gate",
        )
    module.exit_json(changed=False, poolers=seen, problems=problems)


if __name__ == "__main__":
    main()
