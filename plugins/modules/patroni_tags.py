#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Wait until every member's Patroni has written tags to the consensus store."""

from __future__ import annotations

DOCUMENTATION = r"""
module: patroni_tags
short_description: Wait until every member's Patroni has written tags to the consensus store
version_added: 0.1.0
author: Holdfast maintainers (@holdfast)
description:
  - A reload of Patroni is asked for, not awaited. The tags that its members list in the consensus store are written
    after a reload, with what the reload brought, so they prove that each has taken it and can write.
  - Asks every member what it lists of itself. One that can't be asked has not taken it.
  - Changes nothing.
extends_documentation_fragment: [holdfast.stateful.host_tls, holdfast.stateful.patroni]
options:
  tags:
    description: Tags and the values that every member must list.
    type: dict
    required: true
  timeout:
    description: Seconds until all must have written them.
    type: float
    default: 0
attributes:
  check_mode:
    description: Never changes anything.
    support: full
"""

EXAMPLES = r"""
- name: Wait until every Patroni logs in to the store as its second user
  holdfast.stateful.patroni_tags:
    name: db1
    scope: orders-db
    members: "{{ service_contract_service.members }}"
    tags: {store_login: b}
    timeout: 60
"""

RETURN = r"""
missing:
  description: Who has not, and what was found there.
  returned: always
  type: list
  elements: str
refusal:
  description: V(gate) when a member had not in time.
  returned: failure
  type: str
"""

import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.holdfast.stateful.plugins.module_utils.patroni import without_tags
from ansible_collections.holdfast.stateful.plugins.module_utils.patroni_watch import CLUSTER_SPEC, INTERVAL, Watch


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={**CLUSTER_SPEC, "tags": {"type": "dict", "required": True}}, supports_check_mode=True
    )
    params = module.params
    watch = Watch(params)
    deadline = time.monotonic() + params["timeout"]
    watch.look()
    while (missing := without_tags(watch.views, params["tags"])) and time.monotonic() < deadline:
        time.sleep(INTERVAL)
        watch.look()
    if missing:
        module.fail_json(
            msg=f"{params['scope']}: expected every Patroni to have taken {params['tags']} within"
            f" {params['timeout']:g} s, found {'; '.join(missing)}. Look at 'journalctl -u patroni' there,"
            " then run again",
            missing=missing,
            refusal="gate",
        )
    module.exit_json(changed=False, missing=[])


if __name__ == "__main__":
    main()
