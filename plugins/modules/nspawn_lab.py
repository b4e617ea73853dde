#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Converge what the hosts of a lab share."""

from __future__ import annotations

DOCUMENTATION = r"""
module: nspawn_lab
author: Holdfast maintainers (@holdfast)
version_added: "0.1.0"
short_description: What the hosts of a lab share
description:
  - Checks the machine, builds the suite's image once, and creates the lab's bridge, address translation and routes.
  - With O(state=absent) removes everything that carries the lab's id, including hosts that no inventory names any more.
  - Runs on the controlling machine, as root.
extends_documentation_fragment: holdfast.stateful.lab
options:
  state:
    description: Whether the lab is to be there; V(checked) only looks whether it could be.
    type: str
    choices: [present, absent, checked]
    default: present
  suites:
    description: Debian suites whose images are needed.
    type: list
    elements: str
    default: [trixie]
  hosts:
    description: Names of the lab's hosts, for the space that they need.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Make the image and the network
  holdfast.stateful.nspawn_lab:
    lab: "{{ lookup('holdfast.stateful.lab') }}"
"""

RETURN = r"""
parts:
  description: What was created or removed.
  returned: success
  type: list
  elements: str
images:
  description: The image of each suite.
  returned: success
  type: dict
"""

import json
import shutil
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.holdfast.stateful.plugins.module_utils.lab.cgroups import hierarchies
from ansible_collections.holdfast.stateful.plugins.module_utils.lab.connections import (
    close_connections,
    make_control_folder,
    open_connections,
)
from ansible_collections.holdfast.stateful.plugins.module_utils.lab.identity import Lab, identify
from ansible_collections.holdfast.stateful.plugins.module_utils.lab.image import Image
from ansible_collections.holdfast.stateful.plugins.module_utils.lab.machine import Machine
from ansible_collections.holdfast.stateful.plugins.module_utils.lab.network import LabNetwork
from ansible_collections.holdfast.stateful.plugins.module_utils.lab.preflight import observe, problems
from ansible_collections.holdfast.stateful.plugins.module_utils.lab.process import LabError


def machines(lab: Lab) -> list[str]:
    """Return the names of all hosts that this lab has left traces of, on disk or in a cgroup."""
    folder = Path(lab.machine_dir)
    names = {path.name for path in folder.iterdir() if path.is_dir()} if folder.is_dir() else set()
    marker = f"holdfast-{lab.id}-"
    for mount, _controllers in hierarchies():
        names |= {path.name.removeprefix(marker) for path in mount.glob(f"{marker}*")}
    return sorted(names)


def create(module: AnsibleModule, lab: Lab) -> dict[str, Any]:
    """Build images, then the network."""
    images, parts = {}, []
    for suite in module.params["suites"]:
        changed, path = Image(suite).ensure(check_mode=module.check_mode)
        images[suite] = str(path)
        parts += [f"image {suite}"] if changed else []
    owner = Path(lab.machine_dir) / "owner.json"
    if not module.check_mode:
        owner.parent.mkdir(parents=True, exist_ok=True)
        make_control_folder()
        owner.write_text(json.dumps({"checkout": lab.checkout, "name": lab.name}), encoding="utf-8")
    parts += LabNetwork(lab).create(check_mode=module.check_mode)
    return {"changed": bool(parts), "parts": parts, "images": images}


def remove(module: AnsibleModule, lab: Lab) -> dict[str, Any]:
    """Remove connections, hosts, network and folders; images stay, other labs use them."""
    parts = [f"connection {path}" for path in open_connections(lab)]
    if not module.check_mode:
        close_connections(lab)
    for name in machines(lab):
        parts.append(f"host {name}")
        if not module.check_mode:
            Machine(lab, name).remove()
    parts += LabNetwork(lab).remove(check_mode=module.check_mode)
    for folder in (Path(lab.machine_dir), Path(lab.state_dir)):
        if folder.exists():
            parts.append(str(folder))
            if not module.check_mode:
                shutil.rmtree(folder)
    return {"changed": bool(parts), "parts": parts, "images": {}}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "lab": {"type": "dict", "required": True},
            "state": {"type": "str", "choices": ["present", "absent", "checked"], "default": "present"},
            "suites": {"type": "list", "elements": "str", "default": ["trixie"]},
            "hosts": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    try:
        lab = identify(module.params["lab"]["checkout"], module.params["lab"]["name"])
        seen = observe(lab)
        present = set(machines(lab)) if not seen.missing_programs and seen.effective_uid == 0 else set()
        ready = not seen.missing_programs and all(Image(suite).path().is_dir() for suite in module.params["suites"])
        new = 0 if module.params["state"] == "absent" else len(set(module.params["hosts"]) - present)
        if found := problems(seen, lab, new, image_cached=ready):
            blockers = [
                problem for problem in found if module.params["state"] != "absent" or problem.startswith("privilege")
            ]
            if blockers:
                module.fail_json(
                    msg="This machine can't carry the lab; nothing was changed. " + " | ".join(blockers),
                    refusal="gate",
                    problems=blockers,
                )
        if module.params["state"] == "absent":
            module.exit_json(**remove(module, lab))
        if module.params["state"] == "checked":
            module.exit_json(changed=False, parts=[], images={})
        module.exit_json(**create(module, lab))
    except (LabError, ValueError, OSError) as error:
        module.fail_json(msg=f"lab: {error}")


if __name__ == "__main__":
    main()
