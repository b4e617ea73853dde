#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Observe an etcd cluster and this host's member of it."""

from __future__ import annotations

DOCUMENTATION = r"""
module: etcd_cluster_info
short_description: Observe an etcd cluster and this host's member of it
version_added: 0.1.0
author: Holdfast maintainers (@holdfast)
description:
  - Asks every declared member for its status and compares the members with the declared ones, over TLS with a client
    certificate.
  - Reports whether this host has data, which decides whether its member may start.
  - Changes nothing.
extends_documentation_fragment: [holdfast.stateful.etcd, holdfast.stateful.host_tls]
options:
  data_dir:
    description: Folder of this member's data.
    type: path
    required: true
  grant:
    description: File that exists while a new cluster is beginning.
    type: path
    default: /etc/etcd/begin.env
  require:
    description:
      - V(nothing) observes once. V(member) wants a quorum that this host's member is part of, V(all) wants every member
        healthy and the declared ones only.
    type: str
    choices: [nothing, member, all]
    default: nothing
  timeout:
    description: Seconds until what is required must be there.
    type: float
    default: 0
attributes:
  check_mode:
    description: Only observes.
    support: full
"""

EXAMPLES = r"""
- name: Wait until every member of the consensus store is healthy
  holdfast.stateful.etcd_cluster_info:
    name: db1
    members: "{{ service_contract_service.settings.etcd.members }}"
    data_dir: /var/lib/etcd/orders-db
    require: all
    timeout: 60
"""

RETURN = r"""
has_data:
  description: Whether this host's member has data.
  returned: always
  type: bool
granted:
  description: Whether this host's member is part of a beginning that was not finished.
  returned: always
  type: bool
active_state:
  description: State of the unit.
  returned: always
  type: str
healthy:
  description: Whether there is a quorum that this host's member is part of.
  returned: always
  type: bool
all_healthy:
  description: Whether all members are healthy and the declared ones.
  returned: always
  type: bool
quorum:
  description: Whether a majority agrees on a leader.
  returned: always
  type: bool
leader:
  description: Name of the member that leads by agreement.
  returned: always
  type: str
members:
  description: What each member says.
  returned: always
  type: list
  elements: dict
problems:
  description: Everything that is not as it should be.
  returned: always
  type: list
  elements: str
refusal:
  description: V(gate) when what is required was not there in time.
  returned: failure
  type: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.holdfast.stateful.plugins.module_utils.etcd import EtcdError
from ansible_collections.holdfast.stateful.plugins.module_utils.etcd_watch import CLUSTER_SPEC, Watch, local_state
from ansible_collections.holdfast.stateful.plugins.module_utils.systemd_unit import UnitError


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **CLUSTER_SPEC,
            "data_dir": {"type": "path", "required": True},
            "grant": {"type": "path", "default": "/etc/etcd/begin.env"},
            "require": {"type": "str", "choices": ["nothing", "member", "all"], "default": "nothing"},
        },
        supports_check_mode=True,
    )
    params = module.params
    try:
        state = local_state(params["data_dir"], params["grant"])
        watch = Watch(params)
        met = watch.wait("all" if params["require"] == "all" else "member", params["timeout"])
    except (EtcdError, UnitError) as error:
        module.fail_json(msg=f"etcd member {params['name']}: {error}", refusal="gate")
    result = {**state, "healthy": watch.good("member"), **watch.result(), "changed": False}
    if params["require"] != "nothing" and not met:
        wanted = "every member healthy" if params["require"] == "all" else "a quorum with this member in it"
        module.fail_json(
            msg=f"etcd member {params['name']}: expected {wanted} within {params['timeout']:g} s, found:"
            f" {'; '.join(watch.verdict.problems) or 'no quorum'}. Look at 'journalctl -u etcd' on the members named",
            refusal="gate",
            **result,
        )
    module.exit_json(**result)


if __name__ == "__main__":
    main()
