#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Observe the cluster of another site that a standby cluster follows."""

from __future__ import annotations

DOCUMENTATION = r"""
module: postgres_source_info
short_description: Observe the cluster of another site that a standby cluster follows
version_added: 0.1.0
author: Holdfast maintainers (@holdfast)
description:
  - Asks every member of the source from this host, over verified TLS, with this host's certificate.
  - A member that can't be asked is unknown, never gone.
extends_documentation_fragment: [holdfast.stateful.host_tls, holdfast.stateful.postgres_source]
options:
  major:
    description: PostgreSQL's release series here.
    type: str
    required: true
  require:
    description: V(followable) fails unless one member takes writes, has the same major and keeps O(slot).
    type: str
    choices: [nothing, followable]
    default: nothing
  timeout:
    description: Seconds until the source must be as required.
    type: float
    default: 0
attributes:
  check_mode:
    description: Changes nothing anyway.
    support: full
"""

EXAMPLES = r"""
- name: See whether the other site can be followed
  holdfast.stateful.postgres_source_info:
    sources: [{name: a1, address: 192.0.2.11}, {name: a2, address: 192.0.2.12}]
    slot: orders_db_b
    major: "17"
    require: followable
    timeout: 60
"""

RETURN = r"""
sources:
  description: What each member of the source says, with C(state) one of C(writable), C(standby), C(unknown).
  returned: always
  type: list
  elements: dict
blockers:
  description: Why no standby cluster can be copied from there.
  returned: always
  type: list
  elements: str
refusal:
  description: V(gate) when the source was not as required.
  returned: failure
  type: str
"""

import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.holdfast.stateful.plugins.module_utils.host_tls import TLS_SPEC
from ansible_collections.holdfast.stateful.plugins.module_utils.postgres_source import (
    SOURCE_SPEC,
    SourceError,
    look,
    start_blockers,
)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **TLS_SPEC,
            **SOURCE_SPEC,
            "major": {"type": "str", "required": True},
            "require": {"type": "str", "choices": ["nothing", "followable"], "default": "nothing"},
            "timeout": {"type": "float", "default": 0},
        },
        supports_check_mode=True,
    )
    params = module.params
    deadline = time.monotonic() + params["timeout"]
    try:
        while True:
            sources = look(params)
            blockers = start_blockers(sources, params["major"], params["slot"])
            if not blockers or params["require"] == "nothing" or time.monotonic() >= deadline:
                break
            time.sleep(0.5)
    except SourceError as error:
        module.fail_json(msg=str(error), refusal="gate", sources=[], blockers=[])
    result = {"sources": [source.to_dict() for source in sources], "blockers": blockers}
    if blockers and params["require"] == "followable":
        module.fail_json(msg="; ".join(blockers), refusal="gate", **result)
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
