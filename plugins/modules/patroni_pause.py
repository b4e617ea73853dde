#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Pause or resume the automatic failover of a Patroni cluster."""

from __future__ import annotations

DOCUMENTATION = r"""
module: patroni_pause
short_description: Pause or resume the automatic failover of a Patroni cluster
version_added: 0.1.0
author: Holdfast maintainers (@holdfast)
description:
  - A pause carries its deadline in the same write. Timers on the members, which the role arms before, end it.
  - Pauses only a healthy cluster. Resumes any, through the first member that takes the change.
  - Waits until every member that answers has taken note.
extends_documentation_fragment: [holdfast.stateful.host_tls, holdfast.stateful.patroni]
options:
  state:
    description: What is wanted.
    type: str
    choices: [paused, resumed]
    required: true
  until:
    description: With O(state=paused), the deadline in UTC, such as V(2026-01-31 23:59:00). At most 24 hours away.
    type: str
  reason:
    description: Why, for whoever reads the status.
    type: str
    default: maintenance
  timeout:
    description: Seconds until every member must have taken note.
    type: float
    default: 60
attributes:
  check_mode:
    description: Checks the gate and predicts.
    support: full
"""

EXAMPLES = r"""
- name: Pause automatic failover
  holdfast.stateful.patroni_pause:
    name: db1
    scope: orders-db
    members: "{{ service_contract_service.members }}"
    state: paused
    until: "2026-01-31 23:59:00"
"""

RETURN = r"""
paused_until:
  description: The deadline in force, empty where there is none.
  returned: always
  type: str
refusal:
  description: V(gate) when the cluster could not bear it, V(input) when the deadline can't be accepted.
  returned: failure
  type: str
"""

import datetime

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.holdfast.stateful.plugins.module_utils.patroni import PatroniError, config_patch
from ansible_collections.holdfast.stateful.plugins.module_utils.patroni_pause import (
    PATCH_TO_RESUME,
    PauseError,
    check_deadline,
    deadline_of,
    patch_to_pause,
)
from ansible_collections.holdfast.stateful.plugins.module_utils.patroni_watch import CLUSTER_SPEC, Watch


def config_of(watch: Watch) -> tuple[str, dict]:  # type: ignore[type-arg]  # sanity wants no typing import here
    """Return the first member that answers, and the dynamic configuration that it sees."""
    said = []
    for view in watch.views:
        if view.error is None:
            try:
                return view.name, watch.api(view.name).get("/config")
            except PatroniError as error:
                said.append(str(error))
    raise PatroniError("no member answers: " + ("; ".join(said) or watch.complaint()))


def noticed(watch: Watch, paused: bool) -> bool:
    """Say whether every member that answers sees it so."""
    answering = [view for view in watch.views if view.error is None]
    return bool(answering) and all(bool(view.cluster.get("pause")) == paused for view in answering)


def act(watch: Watch, check: bool) -> tuple[bool, str]:
    """Pass the gate, send the difference, wait for everybody; return whether it changed, and the deadline."""
    params = watch.params
    paused = params["state"] == "paused"
    if paused:
        check_deadline(params["until"], datetime.datetime.now(datetime.UTC))
        watch.require(params["timeout"], "before its failover is paused")
    else:
        watch.look()
    name, config = config_of(watch)
    patch = config_patch(config, patch_to_pause(params["until"], params["reason"]) if paused else PATCH_TO_RESUME)
    if patch and not check:
        status, said = watch.api(name).ask("PATCH", "/config", patch)
        if status != 200:
            raise PatroniError(f"{name}: expected HTTP 200, found {status}: {str(said)[:300]}")
    if not check and not watch.wait(params["timeout"], lambda _verdict: noticed(watch, paused)):
        raise PatroniError(f"expected every member to see the cluster {params['state']} within {params['timeout']:g} s")
    return bool(patch), (params["until"] if paused else "") if not check else (deadline_of(config) or "")


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **CLUSTER_SPEC,
            "state": {"type": "str", "choices": ["paused", "resumed"], "required": True},
            "until": {"type": "str"},
            "reason": {"type": "str", "default": "maintenance"},
            "timeout": {"type": "float", "default": 60},
        },
        required_if=[("state", "paused", ("until",))],
        supports_check_mode=True,
    )
    params = module.params
    try:
        changed, until = act(Watch(params), module.check_mode)
    except PauseError as error:
        module.fail_json(msg=f"{params['scope']}: {error}", refusal="input")
    except PatroniError as error:
        module.fail_json(msg=f"{params['name']} of {params['scope']}: {error}", refusal="gate")
    module.exit_json(changed=changed, paused_until=until)


if __name__ == "__main__":
    main()
