#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Promote a standby cluster to one that takes writes."""

from __future__ import annotations

DOCUMENTATION = r"""
module: patroni_promote
short_description: Promote a standby cluster to one that takes writes
version_added: 0.1.0
author: Holdfast maintainers (@holdfast)
description:
  - Takes the section C(standby_cluster) out of the dynamic configuration and waits until one member takes writes.
  - Refuses while a member of the source takes writes, whatever else was said. Refuses where that can't be seen, unless
    O(source_is_lost) states it.
  - Refuses without a leader by agreement of a majority. A cluster that takes writes already is left as it is.
extends_documentation_fragment:
  - holdfast.stateful.host_tls
  - holdfast.stateful.patroni
  - holdfast.stateful.postgres_source
options:
  source_is_lost:
    description: An operator's word that no member of the source takes writes, or will again.
    type: bool
    default: false
  timeout:
    description: Seconds until a member must take writes.
    type: float
    default: 60
attributes:
  check_mode:
    description: Passes the gate and predicts.
    support: full
"""

EXAMPLES = r"""
- name: Promote the cluster of this site
  holdfast.stateful.patroni_promote:
    name: b1
    scope: orders-db-b
    members: "{{ service_contract_service.members }}"
    sources: "{{ service_contract_service.settings.standby_of.members }}"
    slot: orders_db_b
    source_is_lost: true
"""

RETURN = r"""
leader:
  description: Name of the member that takes writes, in check mode of the one that leads.
  returned: success
  type: str
sources:
  description: What each member of the source said, empty where the cluster took writes already.
  returned: success
  type: list
  elements: dict
before:
  description: Timeline, received and replayed position and the time of the last commit, right before the promotion.
  returned: success
  type: dict
refusal:
  description: V(gate) when the promotion was refused, or did not come in time.
  returned: failure
  type: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.holdfast.stateful.plugins.module_utils.patroni import PatroniError
from ansible_collections.holdfast.stateful.plugins.module_utils.patroni_promotion import promote
from ansible_collections.holdfast.stateful.plugins.module_utils.patroni_watch import CLUSTER_SPEC, Watch
from ansible_collections.holdfast.stateful.plugins.module_utils.postgres_source import SOURCE_SPEC, SourceError, look


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **CLUSTER_SPEC,
            **SOURCE_SPEC,
            "source_is_lost": {"type": "bool", "default": False},
            "timeout": {"type": "float", "default": 60},
        },
        supports_check_mode=True,
    )
    params = module.params
    try:
        result = promote(
            Watch(params), params["source_is_lost"], lambda: look(params), params["timeout"], module.check_mode
        )
    except (PatroniError, SourceError) as error:
        module.fail_json(msg=f"{params['name']} of {params['scope']}: {error}", refusal="gate")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
