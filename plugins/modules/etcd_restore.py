#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Make a snapshot the data of this host's etcd member, and forget what it remembers of Patroni's roles."""

from __future__ import annotations

DOCUMENTATION = r"""
module: etcd_restore
short_description: Restore this host's etcd member from a snapshot
version_added: 0.1.0
author: Holdfast maintainers (@holdfast)
description:
  - V(restored) stops the unit, verifies the snapshot and turns it into the data of one member of a new cluster. What
    was there is renamed. The caller starts the members when all of them were restored from the same snapshot.
  - V(forgotten) deletes the keys that say who led and who was synchronous when the snapshot was taken. With them, a
    member without the last commits could lead.
extends_documentation_fragment: [holdfast.stateful.etcd, holdfast.stateful.host_tls]
options:
  state:
    description: What is done.
    type: str
    choices: [restored, forgotten]
    required: true
  path:
    description: The snapshot on this host, with V(restored).
    type: path
  token:
    description: A token that no other cluster has, with V(restored).
    type: str
  data_dir:
    description: Folder of this member's data, with V(restored).
    type: path
  scope:
    description: Patroni's scope, with V(forgotten).
    type: str
  timeout:
    description: Seconds until every member must be healthy, with V(forgotten).
    type: float
    default: 60
attributes:
  check_mode:
    description: Verifies the snapshot and predicts.
    support: full
"""

EXAMPLES = r"""
- name: Restore the member
  holdfast.stateful.etcd_restore:
    name: db1
    members: "{{ service_contract_service.settings.etcd.members }}"
    state: restored
    path: /var/lib/holdfast/etcd/orders-db.db
    token: orders-db-20260131
    data_dir: /var/lib/etcd/orders-db
"""

RETURN = r"""
snapshot:
  description: Hash, revision, number of keys and size of the snapshot.
  returned: with O(state=restored)
  type: dict
keys:
  description: Keys that were deleted, or would be.
  returned: with O(state=forgotten)
  type: list
  elements: str
refusal:
  description: V(gate) when the snapshot can't be believed or the members are not healthy.
  returned: failure
  type: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.holdfast.stateful.plugins.module_utils.etcd import EtcdError, url_of
from ansible_collections.holdfast.stateful.plugins.module_utils.etcd_snapshot import restore, verify
from ansible_collections.holdfast.stateful.plugins.module_utils.etcd_watch import CLUSTER_SPEC, UNIT, Watch
from ansible_collections.holdfast.stateful.plugins.module_utils.systemd_unit import UnitError, systemctl

# What was true when the snapshot was taken and need not be now; the configuration and the identity stay.
ROLES = ("leader", "sync", "status", "failover", "failsafe", "optime/leader")


def restored(params: dict, check: bool) -> dict:  # type: ignore[type-arg]  # sanity wants no typing import here
    """Verify, stop, restore."""
    status = verify(params["path"])
    if not check:
        peers = {member["name"]: url_of(member["address"], params["peer_port"]) for member in params["members"]}
        systemctl("stop", "--", UNIT)
        restore(params["path"], params["name"], peers, params["token"], params["data_dir"])
    return {"changed": True, "snapshot": status}


def forgotten(params: dict, check: bool) -> dict:  # type: ignore[type-arg]
    """Delete the keys of roles from a healthy store."""
    watch = Watch(params)
    if not watch.wait("all", params["timeout"]):
        raise EtcdError("expected every member healthy, found " + ("; ".join(watch.verdict.problems) or "no quorum"))
    bases = [url_of(member["address"], params["client_port"]) for member in params["members"]]
    keys = [f"/service/{params['scope']}/{role}" for role in ROLES]
    found = [key for key in keys if watch.client.get_from_any(bases, key) is not None]
    for key in [] if check else found:
        watch.client.delete_through_any(bases, key)
    return {"changed": bool(found), "keys": found}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **CLUSTER_SPEC,
            "state": {"type": "str", "choices": ["restored", "forgotten"], "required": True},
            "path": {"type": "path"},
            "token": {"type": "str", "no_log": False},
            "data_dir": {"type": "path"},
            "scope": {"type": "str"},
            "timeout": {"type": "float", "default": 60},
        },
        required_if=[("state", "restored", ("path", "token", "data_dir")), ("state", "forgotten", ("scope",))],
        supports_check_mode=True,
    )
    params = module.params
    try:
        result = (restored if params["state"] == "restored" else forgotten)(params, module.check_mode)
    except (EtcdError, UnitError, OSError) as error:
        module.fail_json(msg=f"etcd member {params['name']}: {error}", refusal="gate")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
