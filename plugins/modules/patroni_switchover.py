#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Move the lead of a Patroni cluster away from this host, to a named and healthy member."""

from __future__ import annotations

DOCUMENTATION = r"""
module: patroni_switchover
short_description: Move the lead of a Patroni cluster away from this host
version_added: 0.1.0
author: Holdfast maintainers (@holdfast)
description:
  - Does nothing when this host's member does not lead.
  - Refuses when the cluster is not healthy or paused, or when no other member may lead.
  - Always names the candidate. What the API answers decides nothing, because it may answer before it is over. What
    counts is that the members agree on the new leader and that the cluster is healthy again.
extends_documentation_fragment: [holdfast.stateful.host_tls, holdfast.stateful.patroni]
options:
  candidate:
    description:
      - The member that must lead next. Without it the synchronous standby with the least lag, by name in a tie.
    type: str
  timeout:
    description: Seconds for the gate, and again for the move.
    type: float
    default: 60
attributes:
  check_mode:
    description: Checks the gate and predicts.
    support: full
"""

EXAMPLES = r"""
- name: Move the lead away from this host
  holdfast.stateful.patroni_switchover:
    name: db1
    scope: orders-db
    members: "{{ service_contract_service.members }}"
"""

RETURN = r"""
previous_leader:
  description: Who led before.
  returned: always
  type: str
leader:
  description: Who leads now, or would.
  returned: always
  type: str
seconds:
  description: How long it took until the members agreed on the new leader.
  returned: always
  type: float
refusal:
  description: V(gate) when the lead could not be moved safely.
  returned: failure
  type: str
"""

import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.holdfast.stateful.plugins.module_utils.patroni import PatroniError, choose_candidate
from ansible_collections.holdfast.stateful.plugins.module_utils.patroni_watch import CLUSTER_SPEC, Watch


def move(watch: Watch, leader: str, candidate: str) -> float:
    """Ask for the move and watch until it has happened."""
    timeout = watch.params["timeout"]
    begin = time.monotonic()
    try:
        status, said = watch.api(leader, timeout).ask("POST", "/switchover", {"leader": leader, "candidate": candidate})
        answer = f"HTTP {status}: {str(said)[:300]}"
    except PatroniError as error:
        status, answer = 0, str(error)
    if status in {400, 409, 412}:
        raise PatroniError(f"Patroni refused to move the lead to {candidate}: {answer}")
    # Everything else, a 503 above all, may mean that it still goes on: only the members know.
    if not watch.wait(timeout, lambda verdict: verdict.leader == candidate):
        raise PatroniError(
            f"expected {candidate} to lead within {timeout:g} s, found {watch.verdict.leader or 'no leader'}"
            f" ({watch.complaint()}); Patroni answered {answer}. Look at 'patronictl list' before anything else is done"
        )
    return round(time.monotonic() - begin, 3)


def act(watch: Watch, check: bool) -> dict:  # type: ignore[type-arg]  # sanity wants no typing import here
    """Pass the gate, then move the lead if it is here."""
    params = watch.params
    watch.require(params["timeout"], "before the lead moves")
    if watch.verdict.paused:
        raise PatroniError("expected automatic failover to be armed, found it paused: resume it, then run again")
    before = str(watch.verdict.leader)
    if before != params["name"]:
        return {"changed": False, "previous_leader": before, "leader": before, "seconds": 0.0}
    sync = params["synchronous_nodes"] > 0
    candidate, reasons = choose_candidate(watch.view(before), sync, params["candidate"])
    if candidate is None:
        raise PatroniError(f"no member may lead instead of {before}: {'; '.join(reasons) or 'there is none'}")
    seconds = 0.0
    if not check:
        seconds = move(watch, before, candidate)
        watch.require(params["timeout"], "after the lead moved")
    return {"changed": True, "previous_leader": before, "leader": candidate, "seconds": seconds}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={**CLUSTER_SPEC, "candidate": {"type": "str"}, "timeout": {"type": "float", "default": 60}},
        supports_check_mode=True,
    )
    params = module.params
    try:
        result = act(Watch(params), module.check_mode)
    except PatroniError as error:
        module.fail_json(msg=f"{params['name']} of {params['scope']}: {error}", refusal="gate")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
