#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Observe a lab."""

from __future__ import annotations

DOCUMENTATION = r"""
module: nspawn_lab_info
author: Holdfast maintainers (@holdfast)
version_added: "0.1.0"
short_description: Which hosts of a lab exist and run
description:
  - Looks at the processes, files and limits of the lab's hosts. Changes nothing.
extends_documentation_fragment: holdfast.stateful.lab
options:
  addresses:
    description: Addresses of the hosts by name.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Look at the lab
  holdfast.stateful.nspawn_lab_info:
    lab: "{{ lookup('holdfast.stateful.lab') }}"
    addresses: {lab1: 192.0.2.11}
"""

RETURN = r"""
lab_state:
  description:
    - Id, network, hosts with their state (absent, stopped or started) and limits, and the path of an SSH configuration.
  returned: success
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.holdfast.stateful.plugins.module_utils.lab.identity import identify
from ansible_collections.holdfast.stateful.plugins.module_utils.lab.machine import Machine
from ansible_collections.holdfast.stateful.plugins.module_utils.lab.process import LabError


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={"lab": {"type": "dict", "required": True}, "addresses": {"type": "dict", "required": True}},
        supports_check_mode=True,
    )
    hosts = []
    try:
        lab = identify(module.params["lab"]["checkout"], module.params["lab"]["name"])
        for name, address in sorted(module.params["addresses"].items()):
            host = Machine(lab, name)
            spec = host.spec()
            state = "absent" if spec is None else "started" if host.running() else "stopped"
            limits = {"memory_mb": spec.memory_mb if spec else None, "cpus": spec.cpus if spec else None}
            hosts.append({"name": name, "address": address, "state": state, **limits})
    except (LabError, ValueError, OSError) as error:
        module.fail_json(msg=f"lab: {error}")
    seen = {
        "id": lab.id,
        "name": lab.name,
        "network": lab.network,
        "hosts": hosts,
        "ssh": {"config": f"{lab.state_dir}/ssh/config"},
    }
    module.exit_json(changed=False, lab_state=seen)


if __name__ == "__main__":
    main()
