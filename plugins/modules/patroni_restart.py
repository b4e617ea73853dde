#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Restart this host's PostgreSQL through Patroni, or Patroni with it, when the cluster can bear it."""

from __future__ import annotations

DOCUMENTATION = r"""
module: patroni_restart
short_description: Restart this host's PostgreSQL through Patroni, or Patroni with it
version_added: 0.1.0
author: Holdfast maintainers (@holdfast)
description:
  - Refuses when the cluster is not healthy, and to restart the unit of the member that leads.
  - Waits until this member is back and the cluster is healthy.
extends_documentation_fragment: [holdfast.stateful.host_tls, holdfast.stateful.patroni]
options:
  target:
    description:
      - V(postgres) restarts the server through Patroni's API, V(unit) restarts Patroni and with it the server.
    type: str
    choices: [postgres, unit]
    default: postgres
  only_pending:
    description: With O(target=postgres), restart only when settings wait for it.
    type: bool
    default: false
  newer_than:
    description: With O(target=unit), restart only when one of these files is newer than the start of the unit.
    type: list
    elements: path
    default: []
  allow_leader:
    description: With O(target=postgres), restart the server also when this member leads. Clients see the restart.
    type: bool
    default: false
  timeout:
    description: Seconds for the gate, and again for the restart.
    type: float
    default: 120
attributes:
  check_mode:
    description: Checks the gate and predicts.
    support: full
"""

EXAMPLES = r"""
- name: Restart PostgreSQL where settings wait for it
  holdfast.stateful.patroni_restart:
    name: db1
    scope: orders-db
    members: "{{ service_contract_service.members }}"
    only_pending: true
"""

RETURN = r"""
leader:
  description: Who leads.
  returned: always
  type: str
pending_restart:
  description: Members whose settings still wait for a restart.
  returned: always
  type: list
  elements: str
refusal:
  description: V(gate) when the cluster could not bear the restart.
  returned: failure
  type: str
"""

from collections.abc import Mapping

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.holdfast.stateful.plugins.module_utils.patroni import PatroniError
from ansible_collections.holdfast.stateful.plugins.module_utils.patroni_watch import CLUSTER_SPEC, Watch
from ansible_collections.holdfast.stateful.plugins.module_utils.postgres_host import UNIT
from ansible_collections.holdfast.stateful.plugins.module_utils.systemd_unit import UnitError, outdated, restart


def needed(watch: Watch) -> bool:
    """Say whether there is a reason to restart."""
    params = watch.params
    if params["target"] == "unit":
        return not params["newer_than"] or outdated(UNIT, params["newer_than"])
    return not params["only_pending"] or params["name"] in watch.verdict.pending_restart


def gate(watch: Watch) -> bool:
    """Refuse what the cluster could not bear; return whether there is a reason to restart."""
    params = watch.params
    watch.require(params["timeout"], "before a restart")
    reason = needed(watch)
    leads = watch.verdict.leader == params["name"]
    if reason and leads and (params["target"] == "unit" or not params["allow_leader"]):
        raise PatroniError("expected a member that does not lead: move the lead away first (drain)")
    return reason


def restart_request(params: Mapping) -> dict:  # type: ignore[type-arg]  # sanity wants no typing import here
    """Return the request: with a time limit of its own, as primary_start_timeout may be 0 and mean "fail over"."""
    limit = {"timeout": max(1, int(params["timeout"]))}
    return {**limit, "restart_pending": True} if params["only_pending"] else limit


def act(watch: Watch) -> None:
    """Restart, and wait until another server process runs here and the cluster is healthy."""
    params = watch.params
    name, timeout = params["name"], params["timeout"]
    before = watch.view(name).own.get("postmaster_start_time")
    answer = ""
    if params["target"] == "unit":
        restart(UNIT)
    else:
        try:
            status, said = watch.api(name, timeout).ask("POST", "/restart", restart_request(params))
            answer = f"; Patroni answered HTTP {status}: {str(said)[:300]}"
        except PatroniError as error:
            answer = f"; {error}"

    def is_back() -> bool:
        own = watch.view(name).own
        return own.get("state") == "running" and own.get("postmaster_start_time") != before

    if not watch.wait(timeout, lambda verdict: verdict.healthy and is_back()):
        raise PatroniError(
            f"expected a restarted server in a healthy cluster within {timeout:g} s, found: "
            + (watch.complaint() if watch.verdict.problems else "the server was not restarted")
            + answer
        )


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **CLUSTER_SPEC,
            "target": {"type": "str", "choices": ["postgres", "unit"], "default": "postgres"},
            "only_pending": {"type": "bool", "default": False},
            "newer_than": {"type": "list", "elements": "path", "default": []},
            "allow_leader": {"type": "bool", "default": False},
            "timeout": {"type": "float", "default": 120},
        },
        supports_check_mode=True,
    )
    params = module.params
    try:
        watch = Watch(params)
        changed = gate(watch)
        if changed and not module.check_mode:
            act(watch)
    except (PatroniError, UnitError, OSError) as error:
        module.fail_json(msg=f"{params['name']} of {params['scope']}: {error}", refusal="gate")
    module.exit_json(changed=changed, leader=watch.verdict.leader, pending_restart=watch.verdict.pending_restart)


if __name__ == "__main__":
    main()
