#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Move the master to another member without losing an acknowledged write."""

from __future__ import annotations

DOCUMENTATION = r"""
module: redis_switchover
short_description: Move the master to another member without losing an acknowledged write
version_added: 0.1.0
author: Holdfast (@holdfast)
description:
  - Refuses unless the service is healthy. Prefers the candidate by its priority, pauses writes, waits until the
    candidate has everything that was acknowledged, orders Sentinel to fail over, demotes the old master, and waits
    until all members follow.
  - The pause is always ended, also when a step fails; where a server can't be reached it ends by itself. A server
    that was replaced never takes writes again as a master.
  - A master that moved while the service had a problem is not moved back.
extends_documentation_fragment:
  - holdfast.stateful.redis
  - holdfast.stateful.redis.topology
options:
  source:
    description:
      - Move the master away from this member. Nothing is done when another member is master.
    type: str
  candidate:
    description:
      - Member to promote. Nothing is done when it is the master. Without it, the replica with the least to catch up.
    type: str
  max_lag_seconds:
    description: How far a replica may be behind.
    type: float
    default: 10.0
  pause_seconds:
    description: How long writes may be paused at most. The pause ends as soon as the new master accepts writes.
    type: float
    default: 12.0
  offset_seconds:
    description: How long the candidate may take to catch up while writes are paused.
    type: float
    default: 2.0
  sentinel_seconds:
    description: How long Sentinel may take to learn the candidate's priority, which it asks for every 10 seconds.
    type: float
    default: 15.0
  settle_seconds:
    description: How long the other members may take to follow the new master.
    type: float
    default: 60.0
  drained_priority:
    description:
      - Afterwards give this priority to O(source), at run time only. V(0) keeps Sentinel from promoting it.
    type: int
attributes:
  check_mode:
    description: Changes nothing and predicts who would be promoted.
    support: full
"""

EXAMPLES = r"""
- name: Move the master away from this host
  holdfast.stateful.redis_switchover:
    login_user: admin
    login_password: "{{ lookup('holdfast.stateful.secret', 'sessions/admin') }}"
    members: "{{ service_contract_service.members }}"
    sentinel_name: sessions
    source: "{{ inventory_hostname }}"
"""

RETURN = r"""
old:
  description: Name of the member that was master.
  returned: success
  type: str
new:
  description: Name of the member that is master.
  returned: success
  type: str
steps:
  description: Milliseconds from the start to the end of each step.
  returned: success
  type: dict
refusal:
  description: V(gate) when a safety gate refused; then nothing was changed.
  returned: on failure
  type: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.holdfast.stateful.plugins.module_utils.redis_client import LOGIN_SPEC, RedisError, login_of
from ansible_collections.holdfast.stateful.plugins.module_utils.redis_switchover import (
    GateError,
    SwitchoverError,
    set_priority,
    switch_over,
)
from ansible_collections.holdfast.stateful.plugins.module_utils.redis_topology import TOPOLOGY_SPEC, connector


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **LOGIN_SPEC,
            **TOPOLOGY_SPEC,
            "source": {"type": "str"},
            "candidate": {"type": "str"},
            "max_lag_seconds": {"type": "float", "default": 10.0},
            "pause_seconds": {"type": "float", "default": 12.0},
            "offset_seconds": {"type": "float", "default": 2.0},
            "sentinel_seconds": {"type": "float", "default": 15.0},
            "settle_seconds": {"type": "float", "default": 60.0},
            "drained_priority": {"type": "int"},
        },
        supports_check_mode=True,
    )
    params = module.params
    connect = connector(login_of(params))
    addresses = {item["name"]: item["address"] for item in params["members"]}
    for key in ("source", "candidate"):
        if params[key] is not None and params[key] not in addresses:
            module.fail_json(msg=f"{key}: expected one of {', '.join(addresses)}, found {params[key]}", refusal="input")
    try:
        result = switch_over(connect, params["members"], params, module.check_mode)
        if params["drained_priority"] is not None and params["source"] is not None:
            address = addresses[params["source"]]
            changed = set_priority(connect, address, params["port"], params["drained_priority"], module.check_mode)
            result["changed"] = result["changed"] or changed
    except GateError as error:
        module.fail_json(msg=f"{params['sentinel_name']}: {error}", refusal="gate")
    except (SwitchoverError, RedisError) as error:
        module.fail_json(msg=f"{params['sentinel_name']}: {error}; writes are not paused any more")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
