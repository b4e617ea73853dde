#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Defragment this host's etcd member, or save a snapshot through it."""

from __future__ import annotations

DOCUMENTATION = r"""
module: etcd_maintenance
short_description: Defragment this host's etcd member, or save a snapshot through it
version_added: 0.1.0
author: Holdfast maintainers (@holdfast)
description:
  - Defragmenting blocks the member while it lasts, so every declared member has to be healthy, before and after.
  - A snapshot gets its name only after it was read back. This host's member has to be part of a quorum.
extends_documentation_fragment: [holdfast.stateful.etcd, holdfast.stateful.host_tls]
options:
  state:
    description: What is done.
    type: str
    choices: [defragmented, saved]
    required: true
  path:
    description: File on this host for the snapshot, with O(state=saved). Its folder must exist.
    type: path
  timeout:
    description: Seconds to wait for healthy members, before and again after.
    type: float
    default: 60
attributes:
  check_mode:
    description: Checks the gate and predicts.
    support: full
"""

EXAMPLES = r"""
- name: Give space back to the file system
  holdfast.stateful.etcd_maintenance:
    name: db1
    members: "{{ service_contract_service.settings.etcd.members }}"
    state: defragmented
"""

RETURN = r"""
bytes_before:
  description: Size of the member's store before.
  returned: with O(state=defragmented)
  type: int
bytes_after:
  description: Size of the member's store after.
  returned: with O(state=defragmented)
  type: int
snapshot:
  description: Hash, revision, number of keys and size, as read back from the file.
  returned: with O(state=saved), except in check mode
  type: dict
refusal:
  description: V(gate) when the cluster could not bear it, or the snapshot can't be believed.
  returned: failure
  type: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.holdfast.stateful.plugins.module_utils.etcd import EtcdError, url_of
from ansible_collections.holdfast.stateful.plugins.module_utils.etcd_snapshot import save
from ansible_collections.holdfast.stateful.plugins.module_utils.etcd_watch import CLUSTER_SPEC, Watch

SECONDS_FOR_A_DEFRAGMENTATION = 120.0


def own_address(watch: Watch) -> str:
    """Return where this host's member is asked."""
    for member in watch.params["members"]:
        if member["name"] == watch.params["name"]:
            return url_of(member["address"], watch.params["client_port"])
    raise EtcdError("expected this host among the members, found others only")


def require(watch: Watch, what: str, when: str) -> None:
    """Wait for what is required, or refuse."""
    if not watch.wait(what, watch.params["timeout"]):
        found = "; ".join(watch.verdict.problems) or "no quorum"
        raise EtcdError(f"expected {'every' if what == 'all' else 'this'} member healthy {when}, found {found}")


def defragment(watch: Watch, base: str, check: bool) -> dict:  # type: ignore[type-arg]  # sanity wants no typing import
    """Defragment between two gates."""
    require(watch, "all", "before this one pauses")
    before = watch.own().db_bytes
    if not check:
        watch.patient(SECONDS_FOR_A_DEFRAGMENTATION).post(base, "/v3/maintenance/defragment")
        require(watch, "all", "after it")
    return {"changed": True, "bytes_before": before, "bytes_after": watch.own().db_bytes}


def snapshot(watch: Watch, base: str, check: bool) -> dict:  # type: ignore[type-arg]
    """Save a snapshot."""
    require(watch, "member", "before a snapshot is taken through it")
    return {"changed": True} if check else {"changed": True, "snapshot": save(watch.params["path"], base, watch.params)}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **CLUSTER_SPEC,
            "state": {"type": "str", "choices": ["defragmented", "saved"], "required": True},
            "path": {"type": "path"},
            "timeout": {"type": "float", "default": 60},
        },
        required_if=[("state", "saved", ("path",))],
        supports_check_mode=True,
    )
    params = module.params
    try:
        watch = Watch(params)
        base = own_address(watch)
        result = (snapshot if params["state"] == "saved" else defragment)(watch, base, module.check_mode)
    except (EtcdError, OSError) as error:
        module.fail_json(msg=f"etcd member {params['name']}: {error}", refusal="gate")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
