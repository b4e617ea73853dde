#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Converge one lab host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: nspawn_machine
author: Holdfast maintainers (@holdfast)
version_added: "0.1.0"
short_description: A lab host, as a full system booted by systemd-nspawn
description:
  - Creates, boots, stops or removes one lab host. The host is an overlay of its suite's image, has systemd and sshd,
    its own network namespace on the lab's bridge, and cgroups of its own that carry its memory and CPU limits.
  - A host whose making was interrupted is thrown away and made anew; one that has booted keeps its files.
  - Runs on the controlling machine, as root, after M(holdfast.stateful.nspawn_lab).
extends_documentation_fragment: holdfast.stateful.lab
options:
  name:
    description: Short name of the host, at most six of C(a-z) and C(0-9); network device names leave no more room.
    type: str
    required: true
  state:
    description:
      - V(started) creates the host if need be, boots it and waits for its SSH server. V(present) only creates it.
      - V(stopped) shuts it down.
    type: str
    choices: [present, started, stopped, absent]
    default: started
  suite:
    description: Debian suite of the host.
    type: str
    default: trixie
  address:
    description: IPv4 address inside the lab's network. Required unless O(state=absent) or O(state=stopped).
    type: str
  memory_mb:
    description: Memory limit in MiB, also what the host sees as its size; 0 is none.
    type: int
    default: 0
  cpus:
    description: CPU limit in cores; 0 is none.
    type: float
    default: 0
  hard:
    description: Cut the power instead of shutting down, with O(state=stopped).
    type: bool
    default: false
  authorized_key:
    description: Public key that may log in as the unprivileged user C(ops).
    type: str
  host_key:
    description: Path of the private ed25519 host key on the controlling machine, its public half beside it.
    type: path
"""

EXAMPLES = r"""
- name: Boot a host of 1.5 GiB
  holdfast.stateful.nspawn_machine:
    lab: "{{ lookup('holdfast.stateful.lab') }}"
    name: lab1
    address: "{{ lookup('holdfast.stateful.lab').prefix }}.11"
    memory_mb: 1536
    authorized_key: "{{ lookup('ansible.builtin.file', 'id_ed25519.pub') }}"
    host_key: ssh_host_lab1
"""

RETURN = r"""
machine:
  description: Name, address, state and console log of the host.
  returned: success
  type: dict
"""

import ipaddress
import re
from dataclasses import replace
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.holdfast.stateful.plugins.module_utils.lab.identity import identify
from ansible_collections.holdfast.stateful.plugins.module_utils.lab.image import Image
from ansible_collections.holdfast.stateful.plugins.module_utils.lab.machine import Machine, Spec
from ansible_collections.holdfast.stateful.plugins.module_utils.lab.process import LabError


def wanted(params: dict[str, Any], network: str) -> Spec:
    """Return the host that the parameters describe. Raises ValueError for an address outside the lab's network."""
    if ipaddress.ip_address(params["address"]) not in ipaddress.ip_network(network):
        raise ValueError(f"{params['name']}: address {params['address']} is outside the lab's network {network}")
    return Spec(
        name=params["name"],
        image=str(Image(params["suite"]).path()),
        address=params["address"],
        memory_mb=params["memory_mb"],
        cpus=params["cpus"],
        authorized_key=params["authorized_key"].strip(),
        host_key=params["host_key"],
    )


def converge(host: Machine, spec: Spec, state: str, *, check_mode: bool) -> bool:
    """Bring the host to `state`; return whether anything changed (or would)."""
    changed = False
    current = host.spec()
    if current is not None and replace(current, memory_mb=0, cpus=0.0, image="") != replace(
        spec, memory_mb=0, cpus=0.0, image=""
    ):
        raise LabError(
            f"{host.name}: exists with address {current.address}, wanted is {spec.address} or other keys; such a "
            "host is not rebuilt silently: destroy the lab first (playbooks/destroy_lab.yml)"
        )
    if current is None:
        changed = True
        if not check_mode:
            host.create(spec)
    else:
        # A host keeps the image that it was made from; a newer recipe is for new hosts.
        spec = replace(spec, image=current.image)
        if (current.memory_mb, current.cpus) != (spec.memory_mb, spec.cpus):
            changed = True
            if not check_mode:
                host.resize(spec)
    if state == "started" and not host.running():
        changed = True
        if not check_mode:
            host.start(spec)
    return changed


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "lab": {"type": "dict", "required": True},
            "name": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "started", "stopped", "absent"], "default": "started"},
            "suite": {"type": "str", "default": "trixie"},
            "address": {"type": "str"},
            "memory_mb": {"type": "int", "default": 0},
            "cpus": {"type": "float", "default": 0},
            "hard": {"type": "bool", "default": False},
            "authorized_key": {"type": "str", "no_log": False},
            "host_key": {"type": "path", "no_log": False},
        },
        required_if=[
            ("state", "present", ["address", "authorized_key", "host_key"]),
            ("state", "started", ["address", "authorized_key", "host_key"]),
        ],
        supports_check_mode=True,
    )
    params = module.params
    if not re.fullmatch(r"[a-z][a-z0-9]{0,5}", params["name"]):
        module.fail_json(msg=f"name {params['name']!r}: expected a letter and up to five of a-z and 0-9")
    try:
        lab = identify(params["lab"]["checkout"], params["lab"]["name"])
        host = Machine(lab, params["name"])
        with host.lock():
            if params["state"] == "absent":
                changed = host.exists() if module.check_mode else host.remove()
            elif params["state"] == "stopped":
                changed = host.running() if module.check_mode else host.stop(hard=params["hard"])
            else:
                changed = converge(host, wanted(params, lab.network), params["state"], check_mode=module.check_mode)
        state = "absent" if host.spec() is None else "started" if host.running() else "stopped"
    except (LabError, ValueError, OSError) as error:
        module.fail_json(msg=f"{params['name']}: {error}")
    machine = {
        "name": params["name"],
        "address": params["address"],
        "state": state,
        "console": str(host.folder / "console.log"),
    }
    module.exit_json(changed=changed, machine=machine)


if __name__ == "__main__":
    main()
