#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Drop PostgreSQL objects that are not declared, each named by an operator."""

from __future__ import annotations

DOCUMENTATION = r"""
module: postgres_drop_objects
short_description: Drop PostgreSQL objects that are not declared, each named by an operator
version_added: 0.1.0
author: Holdfast maintainers (@holdfast)
description:
  - Drops exactly what O(confirm) names, on the member that leads; on the other members it does nothing.
  - Looks at all of it first and drops nothing when one object stands against it, such as one that is declared, a
    database with sessions, or a role that owns something. Never cascades and never ends a session.
extends_documentation_fragment: [holdfast.stateful.host_tls, holdfast.stateful.patroni]
options:
  port:
    description: Port of PostgreSQL.
    type: int
    default: 5432
  timeout:
    description: Seconds until the cluster must be healthy.
    type: float
    default: 0
  objects:
    description: The contract's C(settings.objects), complete. Nothing of it is dropped.
    type: dict
    required: true
  monitor:
    description: The role that reads statistics, which is never dropped.
    type: str
    required: true
  known:
    description: Roles and schemas of Holdfast itself, which are never dropped.
    type: list
    elements: str
    default: []
  confirm:
    description:
      - What to drop, each as C(database/NAME), C(role/NAME), C(schema/DATABASE/NAME), C(extension/DATABASE/NAME) or
        C(partitions/DATABASE/SCHEMA.TABLE). The last one ends the maintenance of a table and leaves the table alone.
    type: list
    elements: str
    required: true
attributes:
  check_mode:
    description: Looks for everything that stands against it, and drops nothing.
    support: full
  diff_mode:
    description: Shows what would be dropped.
    support: full
"""

EXAMPLES = r"""
- name: Drop what a team has left behind
  holdfast.stateful.postgres_drop_objects:
    name: db1
    scope: orders-db
    members: "{{ service_contract_service.members }}"
    objects: "{{ service_contract_service.settings.objects }}"
    monitor: holdfast_monitor
    confirm: [database/trial, role/trial_app]
"""

RETURN = r"""
leads:
  description: Whether this host's member leads, and so looked.
  returned: success
  type: bool
dropped:
  description: What was dropped, or would be.
  returned: success
  type: list
  elements: str
absent:
  description: What was named and is not there.
  returned: success
  type: list
  elements: str
refusal:
  description: V(gate) when nothing was dropped because something stands against it.
  returned: failure
  type: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.holdfast.stateful.plugins.module_utils.patroni import PatroniError
from ansible_collections.holdfast.stateful.plugins.module_utils.patroni_watch import CLUSTER_SPEC, Watch
from ansible_collections.holdfast.stateful.plugins.module_utils.postgres_drop import declared, drop, parse
from ansible_collections.holdfast.stateful.plugins.module_utils.postgres_objects import ObjectsError


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **CLUSTER_SPEC,
            "port": {"type": "int", "default": 5432},
            "objects": {"type": "dict", "required": True},
            "monitor": {"type": "str", "required": True},
            "known": {"type": "list", "elements": "str", "default": []},
            "confirm": {"type": "list", "elements": "str", "required": True},
        },
        supports_check_mode=True,
    )
    params = module.params
    dropped: list = []  # type: ignore[type-arg]  # sanity wants no typing import here
    absent: list = []  # type: ignore[type-arg]
    try:
        targets = parse(params["confirm"])
        watch = Watch(params)
        watch.require(params["timeout"], "before anything is dropped")
        leads = watch.verdict.leader == params["name"]
        if leads:
            keep = declared(params["objects"], params["monitor"], params["known"])
            dropped, absent = drop(params["port"], targets, keep, module.check_mode)
    except (PatroniError, ObjectsError) as error:
        module.fail_json(msg=f"{params['name']} of {params['scope']}: {error}", refusal="gate")
    before = "\n".join([*dropped, ""]) if dropped else ""
    diff = {"header": f"objects of {params['scope']}", "before": before, "after": ""}
    module.exit_json(changed=bool(dropped), leads=leads, dropped=dropped, absent=absent, diff=diff)


if __name__ == "__main__":
    main()
