#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Give roles a second login, prove that both work, or see that one is no longer in use."""

from __future__ import annotations

DOCUMENTATION = r"""
module: postgres_login
short_description: Two logins for one role, so that passwords are rotated without a failed login
version_added: 0.1.0
author: Holdfast maintainers (@holdfast)
description:
  - V(present) converges role and second login on the host whose server leads. Then, on every host, logs in with both
    over the network, so that a login is handed out only after it was seen to work on every member.
  - V(unused) refuses while a client of this host's pooler, or a session of its server, uses a login. Server connections
    that the pooler keeps open for nobody are closed first, each after its transaction.
  - Only SCRAM verifiers are sent in statements.
options:
  state:
    description: What is wanted.
    type: str
    choices: [present, unused]
    default: present
  port:
    description: Port of PostgreSQL.
    type: int
    default: 5432
  address:
    description: Address of this host's server, as clients know it.
    type: str
    required: true
  ca:
    description: Certificate of the authority that signed the server's certificate.
    type: path
    default: /etc/holdfast/pki/ca.crt
  logins:
    description: The roles.
    type: list
    elements: dict
    required: true
    suboptions:
      role:
        description: The role that owns things and logs in, too.
        type: str
        required: true
      second:
        description: Its second login.
        type: str
        required: true
      database:
        description: A database that the role may connect to. Without one, no login of it is proven.
        type: str
        default: ""
      password:
        description: Password of O(logins[].role).
        type: str
        required: true
      second_password:
        description: Password of O(logins[].second).
        type: str
        required: true
  users:
    description: With O(state=unused), the logins that must not be in use.
    type: list
    elements: str
    default: []
  pooler:
    description: With O(state=unused), this host's pooler.
    type: dict
    suboptions:
      port:
        description: Its port.
        type: int
        required: true
      admin_user:
        description: Its administrator.
        type: str
        required: true
      admin_password:
        description: Password of O(pooler.admin_user).
        type: str
        required: true
  timeout:
    description: Seconds until every login must work here, or until no session of it is left.
    type: float
    default: 30
attributes:
  check_mode:
    description: Predicts, and proves nothing.
    support: full
"""

EXAMPLES = r"""
- name: Provide two logins
  holdfast.stateful.postgres_login:
    address: 192.0.2.11
    logins:
      - role: orders_app
        second: orders_app_b
        database: orders
        password: "{{ lookup('holdfast.stateful.secret', 'orders-db/app') }}"
        second_password: "{{ lookup('holdfast.stateful.secret', 'orders-db/app_b') }}"
"""

RETURN = r"""
steps:
  description: What was done, or would be; empty on hosts whose server does not lead.
  returned: always
  type: list
  elements: str
refusal:
  description: V(gate) when a login did not work, or is still in use.
  returned: failure
  type: str
"""

import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.holdfast.stateful.plugins.module_utils.host_tls import PKI
from ansible_collections.holdfast.stateful.plugins.module_utils.pooler_console import (
    ADMIN_DATABASE,
    PoolerError,
    Session,
    renew_servers,
    users_of,
)
from ansible_collections.holdfast.stateful.plugins.module_utils.pooler_console import Login as PoolerLogin
from ansible_collections.holdfast.stateful.plugins.module_utils.postgres_logins import (
    Pair,
    converge_pairs,
    prove_login,
    sessions_of,
)
from ansible_collections.holdfast.stateful.plugins.module_utils.postgres_objects import ObjectsError

LOGIN = {
    "role": {"type": "str", "required": True},
    "second": {"type": "str", "required": True},
    "database": {"type": "str", "default": ""},
    "password": {"type": "str", "required": True, "no_log": True},
    "second_password": {"type": "str", "required": True, "no_log": True},
}


def provide(params: dict, check: bool) -> list[str]:  # type: ignore[type-arg]  # sanity wants no typing import here
    """Converge where the server leads, and prove everywhere."""
    pairs = [Pair(i["role"], i["second"], i["password"], i["second_password"]) for i in params["logins"]]
    steps = converge_pairs(params["port"], pairs, check)
    where = {"host": params["address"], "port": params["port"], "sslmode": "verify-full", "sslrootcert": params["ca"]}
    for item in [] if check else [item for item in params["logins"] if item["database"]]:
        place = {**where, "dbname": item["database"]}
        prove_login(place, item["role"], item["password"], params["timeout"])
        prove_login(place, item["second"], item["second_password"], params["timeout"])
    return steps


def refuse_used(params: dict) -> list[str]:  # type: ignore[type-arg]
    """Refuse while one of the logins is in use."""
    used: dict = {}  # type: ignore[type-arg]
    if params["pooler"]:
        place = {"name": "localhost", "address": params["address"]}
        known = params["pooler"]
        login = PoolerLogin(known["port"], known["admin_user"], known["admin_password"], params["ca"])
        console = Session(place, login, ADMIN_DATABASE)
        used = users_of(console, params["users"])
        if not used:
            renew_servers(console)
        console.close()
    deadline = time.monotonic() + params["timeout"]
    while not used:
        used = sessions_of(params["port"], params["users"])
        if not used or time.monotonic() >= deadline:
            break
        used = {}
        time.sleep(0.3)
    if used:
        said = "; ".join(f"{user} from {', '.join(hosts)}" for user, hosts in sorted(used.items()))
        raise ObjectsError(f"expected no session of the old login, found {said}: give those the new one first")
    return []


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["present", "unused"], "default": "present"},
            "port": {"type": "int", "default": 5432},
            "address": {"type": "str", "required": True},
            "ca": {"type": "path", "default": f"{PKI}/ca.crt"},
            "logins": {"type": "list", "elements": "dict", "required": True, "options": LOGIN},
            "users": {"type": "list", "elements": "str", "default": []},
            "pooler": {
                "type": "dict",
                "options": {
                    "port": {"type": "int", "required": True},
                    "admin_user": {"type": "str", "required": True},
                    "admin_password": {"type": "str", "required": True, "no_log": True},
                },
            },
            "timeout": {"type": "float", "default": 30},
        },
        supports_check_mode=True,
    )
    params = module.params
    try:
        steps = provide(params, module.check_mode) if params["state"] == "present" else refuse_used(params)
    except (ObjectsError, PoolerError) as error:
        module.fail_json(msg=f"{params['address']}:{params['port']}: {error}", refusal="gate")
    module.exit_json(changed=bool(steps), steps=steps)


if __name__ == "__main__":
    main()
