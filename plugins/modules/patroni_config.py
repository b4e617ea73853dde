#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Converge the dynamic configuration of a Patroni cluster, and observe what waits for a restart on this host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: patroni_config
short_description: Converge the dynamic configuration of a Patroni cluster
version_added: 0.1.0
author: Holdfast maintainers (@holdfast)
description:
  - Compares the declared keys with the live configuration and sends the difference through Patroni's REST API, from
    the host whose member leads. On the other hosts only observes.
  - Before anything is sent, asks the leader's server about every declared parameter. A name it does not know, or a
    value out of its range, refuses the whole change.
  - Reports the shared-memory values that this host's server runs with, and those that are declared, because they
    decide the order of restarts.
  - Refuses on a cluster that is not healthy.
extends_documentation_fragment: [holdfast.stateful.host_tls, holdfast.stateful.patroni]
options:
  port:
    description: Port of PostgreSQL.
    type: int
    default: 5432
  config:
    description: Declared keys. Null removes one; keys that are not declared stay as they are. Empty only observes.
    type: dict
    default: {}
  timeout:
    description: Seconds until the cluster must be healthy.
    type: float
    default: 60
attributes:
  check_mode:
    description: Compares, judges and predicts.
    support: full
  diff_mode:
    description: Shows the keys that differ, before and after.
    support: full
"""

EXAMPLES = r"""
- name: Allow more connections
  holdfast.stateful.patroni_config:
    name: db1
    scope: orders-db
    members: "{{ service_contract_service.members }}"
    config:
      postgresql:
        parameters:
          max_connections: 200
          work_mem: null
"""

RETURN = r"""
config_changes:
  description: What was sent, or would be; empty on hosts that do not lead.
  returned: always
  type: dict
leader:
  description: Who leads.
  returned: always
  type: str
pending:
  description: Whether settings wait for a restart of this host's server.
  returned: always
  type: bool
pending_restart:
  description: Names of all members whose settings wait for a restart.
  returned: always
  type: list
  elements: str
waits_for:
  description: Parameters that wait for a restart of this host's server, as far as Patroni names them.
  returned: always
  type: list
  elements: str
running:
  description: Shared-memory values that this host's server runs with.
  returned: always
  type: dict
wanted:
  description: Shared-memory values that are declared.
  returned: always
  type: dict
refusal:
  description: V(gate) when the cluster is not healthy or the change was refused.
  returned: failure
  type: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.holdfast.stateful.plugins.module_utils.patroni import PatroniError
from ansible_collections.holdfast.stateful.plugins.module_utils.patroni_config import (
    local_settings,
    send_difference,
    shared_values,
    wait_for_notice,
)
from ansible_collections.holdfast.stateful.plugins.module_utils.patroni_watch import CLUSTER_SPEC, Watch
from ansible_collections.holdfast.stateful.plugins.module_utils.postgres_objects import ObjectsError


def act(watch: Watch, result: dict, check: bool) -> None:  # type: ignore[type-arg]  # sanity wants no typing import
    """Pass the gate, send the difference where this host leads, and observe."""
    params = watch.params
    watch.require(params["timeout"], "before its configuration changes")
    api = watch.api(params["name"])
    settings = local_settings(params["port"])
    if params["config"] and watch.verdict.leader == params["name"]:
        seconds = send_difference(api, params["scope"], params["config"], lambda: settings, result, check)
        if seconds:
            wait_for_notice(seconds)
            watch.require(params["timeout"], "after its configuration changed")
    own = watch.view(params["name"]).own
    result.update(
        leader=watch.verdict.leader,
        pending=bool(own.get("pending_restart")),
        pending_restart=watch.verdict.pending_restart,
        waits_for=sorted(own.get("pending_restart_reason") or {}),
        **shared_values(api, settings),
    )


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **CLUSTER_SPEC,
            "port": {"type": "int", "default": 5432},
            "config": {"type": "dict", "default": {}},
            "timeout": {"type": "float", "default": 60},
        },
        supports_check_mode=True,
    )
    params = module.params
    result: dict = {"changed": False, "diff": [], "config_changes": {}}  # type: ignore[type-arg]
    try:
        act(Watch(params), result, module.check_mode)
    except (PatroniError, ObjectsError) as error:
        module.fail_json(msg=f"{params['name']} of {params['scope']}: {error}", refusal="gate", **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
