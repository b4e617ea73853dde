#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Remove a member from a Patroni cluster, step by step, or build this host's replica anew."""

from __future__ import annotations

DOCUMENTATION = r"""
module: patroni_member
short_description: Remove a member from a Patroni cluster, or build a replica anew
version_added: 0.1.0
author: Holdfast maintainers (@holdfast)
description:
  - O(members) are the declared members, which stay. Who leads is asked of them, never read from an inventory.
  - V(admissible) refuses while one of O(leaving) leads, before others are added in its place.
  - V(removable) refuses a member that leads, that is declared, or without which the others would not be healthy.
  - V(retired) runs on the member that leaves. It gives up being a synchronous standby (the tag C(nosync)), and when the
    leader has chosen another, Patroni is stopped and disabled and the data directory renamed. Refuses a host whose
    Patroni is configured for another scope, and data in which a process still works.
  - Nobody is removed while automatic failover is paused. Other members that leave later block nothing.
  - V(absent) runs on the members that stay, and acts on the one that leads. Deletes the member's key and has Patroni
    drop its replication slot.
  - V(reinitialized) runs on the member itself. Deletes its data and copies the leader's. Refuses the leader, and when
    there is no leader by agreement, a synchronous standby that no other could replace, and while failover is paused.
  - V(located) only reports what this host's member contributes to the question who led last, also without a consensus
    store. V(leading) waits until this host's member leads.
extends_documentation_fragment: [holdfast.stateful.host_tls, holdfast.stateful.patroni]
options:
  state:
    description: What is wanted.
    type: str
    choices: [admissible, removable, retired, absent, reinitialized, located, leading]
    required: true
  member:
    description: The member that leaves, with V(removable) and V(absent).
    type: str
  data_dir:
    description: Data directory of the member that leaves, with V(retired).
    type: path
  wipe:
    description: With V(retired), delete the data directory instead of renaming it.
    type: bool
    default: false
  port:
    description: Port of PostgreSQL, with V(absent).
    type: int
    default: 5432
  etcd_members:
    description: Members of the consensus store, with V(absent).
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the member.
        type: str
        required: true
      address:
        description: Address of its client port.
        type: str
        required: true
  etcd_client_port:
    description: Port of the consensus store.
    type: int
    default: 2379
  etcd_user:
    description: User that may write the keys of O(scope) in the consensus store.
    type: str
  etcd_password:
    description: Password of O(etcd_user).
    type: str
  hold:
    description: File that forbids Patroni to start here while it exists, and names who led, with V(located).
    type: path
    default: /etc/systemd/system/patroni.service.d/hold.conf
  timeout:
    description: Seconds for each step.
    type: float
    default: 120
attributes:
  check_mode:
    description: Checks the gate and predicts.
    support: full
"""

EXAMPLES = r"""
- name: Build this host's replica anew
  holdfast.stateful.patroni_member:
    name: db3
    scope: orders-db
    members: "{{ service_contract_service.members }}"
    state: reinitialized
"""

RETURN = r"""
leader:
  description: Who leads.
  returned: always
  type: str
steps:
  description: What was done, or would be.
  returned: always
  type: list
  elements: str
report:
  description:
    - Whether this host's member leads and takes writes, its timeline and WAL position, whether its Patroni runs, and
      who led when it was held back.
  returned: with O(state=located)
  type: dict
refusal:
  description: V(gate) when the cluster could not bear it.
  returned: failure
  type: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.holdfast.stateful.plugins.module_utils.etcd import EtcdError
from ansible_collections.holdfast.stateful.plugins.module_utils.patroni import PatroniError
from ansible_collections.holdfast.stateful.plugins.module_utils.patroni_departure import (
    admissible,
    forget,
    leading,
    reinitialize,
    removable,
)
from ansible_collections.holdfast.stateful.plugins.module_utils.patroni_hold import HOLD, read_hold, report_of
from ansible_collections.holdfast.stateful.plugins.module_utils.patroni_retirement import retire
from ansible_collections.holdfast.stateful.plugins.module_utils.patroni_watch import CLUSTER_SPEC, MEMBERS_SPEC, Watch
from ansible_collections.holdfast.stateful.plugins.module_utils.postgres_host import UNIT, HostError
from ansible_collections.holdfast.stateful.plugins.module_utils.postgres_objects import ObjectsError
from ansible_collections.holdfast.stateful.plugins.module_utils.systemd_unit import UnitError, active_state


def located(watch: Watch, _check: bool) -> list[str]:
    """Look at the members; what this one contributes is in the report."""
    watch.look()
    return []


def report(watch: Watch) -> dict:  # type: ignore[type-arg]  # sanity wants no typing import here
    """Return what this host contributes to the question who led last."""
    params = watch.params
    return report_of(watch.view(params["name"]), read_hold(params["hold"]), active_state(UNIT))


STATES = {
    "admissible": admissible,
    "removable": removable,
    "retired": retire,
    "absent": forget,
    "reinitialized": reinitialize,
    "located": located,
    "leading": leading,
}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **CLUSTER_SPEC,
            "state": {"type": "str", "choices": list(STATES), "required": True},
            "member": {"type": "str"},
            "data_dir": {"type": "path"},
            "wipe": {"type": "bool", "default": False},
            "port": {"type": "int", "default": 5432},
            "etcd_members": {**MEMBERS_SPEC, "required": False, "default": []},
            "etcd_client_port": {"type": "int", "default": 2379},
            "etcd_user": {"type": "str"},
            "etcd_password": {"type": "str", "no_log": True},
            "hold": {"type": "path", "default": HOLD},
            "timeout": {"type": "float", "default": 120},
        },
        required_if=[
            ("state", "removable", ("member",)),
            ("state", "absent", ("member",)),
            ("state", "retired", ("data_dir",)),
        ],
        supports_check_mode=True,
    )
    params = module.params
    watch = Watch(params)
    try:
        steps = STATES[params["state"]](watch, module.check_mode)
        more = {"report": report(watch)} if params["state"] == "located" else {}
    except (PatroniError, EtcdError, HostError, ObjectsError, UnitError, OSError) as error:
        module.fail_json(msg=f"{params['name']} of {params['scope']}: {error}", refusal="gate")
    module.exit_json(changed=bool(steps), steps=steps, leader=watch.verdict.leader, **more)


if __name__ == "__main__":
    main()
