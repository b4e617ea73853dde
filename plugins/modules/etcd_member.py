#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Drain, restart, add, replace or remove this host's etcd member, when the cluster can bear it."""

from __future__ import annotations

DOCUMENTATION = r"""
module: etcd_member
short_description: Drain, restart, add, replace or remove this host's etcd member
version_added: 0.1.0
author: Holdfast maintainers (@holdfast)
description:
  - Refuses unless every declared member is healthy, so that the cluster keeps its quorum without this one. Where this
    member joins, is replaced or leaves, every other one has to be healthy.
extends_documentation_fragment: [holdfast.stateful.etcd, holdfast.stateful.host_tls]
options:
  state:
    description:
      - V(drained) means that this member does not lead. V(restarted) restarts the unit.
      - V(present) means that this member votes. It enters as a learner, is started and then promoted. Its packages and
        files must be there.
      - V(absent) means that it is no member. The unit and the data are left to the caller.
      - V(retired) means that the unit on this host is stopped for good. The data stays. Refuses an etcd with other data
        than O(data_dir).
    type: str
    choices: [drained, restarted, present, absent, retired]
    required: true
  replace:
    description:
      - With O(state=present), give a member that lost its data a new identity. What is left of its data is renamed.
      - Refuses for a member that answers.
    type: bool
    default: false
  only_lost:
    description: With O(state=absent), do nothing where the member answers and sees a leader within ten seconds.
    type: bool
    default: false
  data_dir:
    description: Folder of this member's data, with O(state=present) and O(state=retired).
    type: path
  grant:
    description: File that permits a member without data to start.
    type: path
    default: /etc/etcd/begin.env
  newer_than:
    description: Files. With O(state=restarted), restart only when one of them is newer than the start of the unit.
    type: list
    elements: path
    default: []
  timeout:
    description: Seconds to wait for healthy members, before and again after.
    type: float
    default: 60
attributes:
  check_mode:
    description: Checks the gate and predicts.
    support: full
"""

EXAMPLES = r"""
- name: Move the lead to another member
  holdfast.stateful.etcd_member:
    name: db1
    members: "{{ service_contract_service.settings.etcd.members }}"
    state: drained

- name: Give a member that lost its data a new identity
  holdfast.stateful.etcd_member:
    name: db3
    members: "{{ service_contract_service.settings.etcd.members }}"
    data_dir: /var/lib/etcd/orders-db
    state: present
    replace: true
"""

RETURN = r"""
leader:
  description: Name of the member that leads.
  returned: always
  type: str
previous_leader:
  description: Name of the member that led before.
  returned: always
  type: str
steps:
  description: What was done to the membership, or would be.
  returned: with O(state=present), O(state=absent) or O(state=retired)
  type: list
  elements: str
refusal:
  description: V(gate) when the cluster could not bear it.
  returned: failure
  type: str
"""

import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.holdfast.stateful.plugins.module_utils.etcd import EtcdError, url_of
from ansible_collections.holdfast.stateful.plugins.module_utils.etcd_members import join, leave
from ansible_collections.holdfast.stateful.plugins.module_utils.etcd_retirement import retire
from ansible_collections.holdfast.stateful.plugins.module_utils.etcd_watch import (
    CLUSTER_SPEC,
    INTERVAL,
    UNIT,
    Watch,
    local_state,
)
from ansible_collections.holdfast.stateful.plugins.module_utils.systemd_unit import UnitError, outdated, restart

STATES = ["drained", "restarted", "present", "absent", "retired"]


def drain(watch: Watch) -> None:
    """Hand the lead to the first other member, and wait until it has it."""
    params = watch.params
    own = watch.own()
    others = [view for view in watch.views if view.name != own.name]
    base = next(url_of(m["address"], params["client_port"]) for m in params["members"] if m["name"] == own.name)
    watch.client.post(base, "/v3/maintenance/transfer-leadership", {"targetID": others[0].member_id})
    deadline = time.monotonic() + params["timeout"]
    while watch.look().leader in (None, own.name):
        if time.monotonic() >= deadline:
            raise EtcdError(f"expected {others[0].name} to lead, found {watch.verdict.leader}")
        time.sleep(INTERVAL)


def restart_member(watch: Watch) -> None:
    """Restart, and wait until every member is healthy again."""
    restart(UNIT)
    if not watch.wait("all", watch.params["timeout"]):
        raise EtcdError("expected every member healthy after the restart, found " + "; ".join(watch.verdict.problems))


def act(watch: Watch, check: bool) -> tuple[bool, str | None]:
    """Pass the gate, then do what is asked; return whether there was something to do, and who led before."""
    params = watch.params
    if not watch.wait("all", params["timeout"]):
        raise EtcdError(
            "expected every member healthy before this one pauses, found "
            + "; ".join(watch.verdict.problems or ["no quorum"])
        )
    before = watch.verdict.leader
    if params["state"] == "drained":
        changed = before == params["name"]
        if changed and not check:
            drain(watch)
    else:
        changed = not params["newer_than"] or outdated(UNIT, params["newer_than"])
        if changed and not check:
            restart_member(watch)
    return changed, before


def change_membership(watch: Watch, check: bool) -> list[str]:
    """Join or leave; return the steps."""
    params = watch.params
    if watch.error:
        raise EtcdError(watch.error)
    if params["state"] == "absent":
        return leave(watch, check)
    return join(watch, local_state(params["data_dir"], params["grant"])["has_data"], check)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **CLUSTER_SPEC,
            "state": {"type": "str", "choices": STATES, "required": True},
            "replace": {"type": "bool", "default": False},
            "only_lost": {"type": "bool", "default": False},
            "data_dir": {"type": "path"},
            "grant": {"type": "path", "default": "/etc/etcd/begin.env"},
            "newer_than": {"type": "list", "elements": "path", "default": []},
            "timeout": {"type": "float", "default": 60},
        },
        required_if=[("state", "present", ("data_dir",)), ("state", "retired", ("data_dir",))],
        supports_check_mode=True,
    )
    params = module.params
    more: dict = {}  # type: ignore[type-arg]  # sanity wants no typing import here
    try:
        watch = Watch(params)
        if params["state"] == "retired":
            before, more["steps"] = None, retire(params["data_dir"], module.check_mode)
            changed = bool(more["steps"])
        elif params["state"] in {"present", "absent"}:
            before = watch.look().leader
            more["steps"] = change_membership(watch, module.check_mode)
            changed = bool(more["steps"])
        else:
            changed, before = act(watch, module.check_mode)
    except (EtcdError, UnitError, OSError) as error:
        module.fail_json(msg=f"etcd member {params['name']}: {error}", refusal="gate")
    module.exit_json(changed=changed, previous_leader=before, leader=watch.verdict.leader, **more)


if __name__ == "__main__":
    main()
