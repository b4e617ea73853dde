#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Make a snapshot the data of this host's etcd member, and forget what it remembers and need not be true any more."""

from __future__ import annotations

DOCUMENTATION = r"""
module: etcd_restore
short_description: Restore this host's etcd member from a snapshot
version_added: 0.1.0
author: Holdfast maintainers (@holdfast)
description:
  - V(verified) only reads the snapshot back.
  - V(restored) stops the unit, verifies the snapshot and turns it into the data of one member of a new cluster. What
    was there is renamed. The caller starts the members when all of them were restored from the same snapshot. Refuses
    while Patroni runs on this host.
  - V(forgotten) needs a quorum. Deletes the keys that say who led and who was synchronous when the snapshot was taken.
    With them, a member without the last commits could lead. Takes a pause out of Patroni's dynamic configuration, whose
    deadline may be over, and makes it follow a source only where O(standby_cluster) is declared.
extends_documentation_fragment: [holdfast.stateful.etcd, holdfast.stateful.host_tls]
options:
  state:
    description: What is done.
    type: str
    choices: [verified, restored, forgotten]
    required: true
  path:
    description: The snapshot on this host, with V(verified) and V(restored).
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
  standby_cluster:
    description:
      - The declared section of that name in Patroni's dynamic configuration, with V(forgotten). A snapshot's own stays
        where one is declared, and is removed where none is.
    type: dict
  timeout:
    description: Seconds until a quorum must agree, with V(forgotten).
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
  returned: with O(state=verified) and O(state=restored)
  type: dict
keys:
  description: Keys that were deleted, or would be.
  returned: with O(state=forgotten)
  type: list
  elements: str
config_removed:
  description: Keys that were taken out of the dynamic configuration, or would be.
  returned: with O(state=forgotten)
  type: list
  elements: str
config_added:
  description: Keys that were put into the dynamic configuration, or would be.
  returned: with O(state=forgotten)
  type: list
  elements: str
refusal:
  description: V(gate) when the snapshot can't be believed, Patroni runs here, or there is no quorum.
  returned: failure
  type: str
"""

import json

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.holdfast.stateful.plugins.module_utils.etcd import EtcdError, url_of
from ansible_collections.holdfast.stateful.plugins.module_utils.etcd_snapshot import restore, verify
from ansible_collections.holdfast.stateful.plugins.module_utils.etcd_watch import CLUSTER_SPEC, UNIT, Watch
from ansible_collections.holdfast.stateful.plugins.module_utils.patroni_pause import PATCH_TO_RESUME
from ansible_collections.holdfast.stateful.plugins.module_utils.systemd_unit import UnitError, active_state, systemctl

# What was true when the snapshot was taken and need not be now; the configuration and the identity stay.
ROLES = ("leader", "sync", "status", "failover", "failsafe", "optime/leader")
STANDBY = "standby_cluster"
PATRONI = "patroni.service"


def verified(params: dict, _check: bool) -> dict:  # type: ignore[type-arg]  # sanity wants no typing import here
    """Read the snapshot back."""
    return {"changed": False, "snapshot": verify(params["path"])}


def restored(params: dict, check: bool) -> dict:  # type: ignore[type-arg]
    """Verify, stop, restore."""
    status = verify(params["path"])
    if not params["token"]:
        raise EtcdError("expected a token that no other restore has, found none")
    patroni = active_state(PATRONI)
    if patroni not in {"inactive", "failed"} and not check:
        raise EtcdError(f"expected {PATRONI} to be stopped here, found it {patroni}: it would act on old roles")
    if not check:
        peers = {member["name"]: url_of(member["address"], params["peer_port"]) for member in params["members"]}
        systemctl("stop", "--", UNIT)
        restore(params["path"], params["name"], peers, params["token"], params["data_dir"])
    return {"changed": True, "snapshot": status}


def forgotten(params: dict, check: bool) -> dict:  # type: ignore[type-arg]
    """Correct the configuration, then delete the keys of roles, from a store that a quorum agrees on."""
    watch = Watch(params)
    if not watch.wait("quorum", params["timeout"]):
        raise EtcdError("expected a quorum, found " + ("; ".join(watch.verdict.problems) or "none"))
    bases = [url_of(member["address"], params["client_port"]) for member in params["members"]]
    place = f"/service/{params['scope']}"
    text = watch.client.get_from_any(bases, f"{place}/config")
    config, removed, added = corrected(text, params["standby_cluster"])
    keys = [f"{place}/{role}" for role in ROLES]
    found = [key for key in keys if watch.client.get_from_any(bases, key) is not None]
    if (removed or added) and not check:
        watch.client.put_through_any(bases, f"{place}/config", json.dumps(config, separators=(",", ":")))
    for key in [] if check else found:
        watch.client.delete_through_any(bases, key)
    changed = bool(found or removed or added)
    return {"changed": changed, "keys": found, "config_removed": removed, "config_added": added}


def corrected(text: str | None, standby_cluster: dict | None) -> tuple[dict, list[str], list[str]]:  # type: ignore[type-arg]
    """Return a snapshot's dynamic configuration without what is over, and the keys that were removed and added."""
    if text is None:
        return {}, [], []
    try:
        config = json.loads(text)
    except ValueError:
        config = None
    if not isinstance(config, dict):
        raise EtcdError(f"expected Patroni's dynamic configuration in the snapshot, found {text[:200]!r}")
    over = {*PATCH_TO_RESUME, *(() if standby_cluster else (STANDBY,))}
    removed = sorted(over & set(config))
    kept = {key: value for key, value in config.items() if key not in over}
    added = [STANDBY] if standby_cluster and not kept.get(STANDBY) else []
    return {**kept, **({STANDBY: standby_cluster} if added else {})}, removed, added


STATES = {"verified": verified, "restored": restored, "forgotten": forgotten}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **CLUSTER_SPEC,
            "state": {"type": "str", "choices": ["verified", "restored", "forgotten"], "required": True},
            "path": {"type": "path"},
            "token": {"type": "str", "no_log": False},
            "data_dir": {"type": "path"},
            "scope": {"type": "str"},
            "standby_cluster": {"type": "dict"},
            "timeout": {"type": "float", "default": 60},
        },
        required_if=[
            ("state", "verified", ("path",)),
            ("state", "restored", ("path", "token", "data_dir")),
            ("state", "forgotten", ("scope",)),
        ],
        supports_check_mode=True,
    )
    params = module.params
    try:
        result = STATES[params["state"]](params, module.check_mode)
    except (EtcdError, UnitError, OSError) as error:
        module.fail_json(msg=f"etcd member {params['name']}: {error}", refusal="gate")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
