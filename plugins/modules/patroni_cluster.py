#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Observe a Patroni cluster, and converge its dynamic configuration and the declared objects."""

from __future__ import annotations

DOCUMENTATION = r"""
module: patroni_cluster
short_description: Observe a Patroni cluster, and converge its configuration and the declared objects
version_added: 0.1.0
author: Holdfast maintainers (@holdfast)
description:
  - Asks every member about itself and about the cluster, in one remote call. Healthy means one leader by agreement and
    by its own word, every other declared member streaming on its timeline, and as many synchronous standbys as asked.
  - With O(config), compares the dynamic configuration with it and sends the difference. Parameters that this host's
    server does not know, or whose value it would not take, are refused before anything is changed. Where there is no
    server yet, PostgreSQL's program reads them and says what it would not take, before a cluster is made with them.
  - With O(objects), compares databases, roles, rights and partitions with what they should be, and converges them on
    the member that leads, whichever that is. On the other members this part does nothing. Nothing is dropped.
    Taken away are only the rights of the public, and from a declared role or group what makes it more than a plain one,
    C(SUPERUSER), C(CREATEDB), C(CREATEROLE), C(REPLICATION) and C(BYPASSRLS); RV(object_changes) names each. What is
    there and not declared is reported as RV(drift).
  - Converges nothing on a cluster that is not healthy.
  - Where this host's unit does not run, says whether Patroni may start on what the data directory holds.
extends_documentation_fragment: [holdfast.stateful.host_tls, holdfast.stateful.patroni]
options:
  port:
    description: Port of PostgreSQL.
    type: int
    default: 5432
  data_dir:
    description: PostgreSQL's data directory on this host.
    type: path
    required: true
  major:
    description: PostgreSQL's release series.
    type: str
    required: true
  etcd_members:
    description: Members of the consensus store.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the member.
        type: str
        required: true
      address:
        description: Address of its client port.
        type: str
        required: true
  etcd_client_port:
    description: Port of the consensus store.
    type: int
    default: 2379
  etcd_user:
    description: User that may read the keys of O(scope) in the consensus store.
    type: str
    required: true
  etcd_password:
    description: Password of O(etcd_user).
    type: str
    required: true
  hold:
    description: File that forbids Patroni to start here while it exists, and names who led.
    type: path
    default: /etc/systemd/system/patroni.service.d/hold.conf
  require:
    description: V(nothing) observes, V(healthy) fails when the cluster does not become healthy in time.
    type: str
    choices: [nothing, healthy]
    default: nothing
  timeout:
    description: Seconds until the cluster must be healthy.
    type: float
    default: 0
  config:
    description:
      - The part of the dynamic configuration that is declared. Null removes a key; keys that are not declared stay as
        they are.
    type: dict
  sends_config:
    description: Whether this host sends the difference of O(config); one of the members is enough.
    type: bool
    default: true
  initdb:
    description:
      - Options with which the cluster is made, as Patroni takes them. A live cluster that was made with another
        encoding, locale or without declared checksums is refused; so is a start on a host that does not have a declared
        locale.
    type: list
    elements: raw
    default: []
  objects:
    description: The contract's C(settings.objects), complete.
    type: dict
  passwords:
    description: Passwords by name of the login. Only SCRAM verifiers of them are sent to PostgreSQL.
    type: dict
  monitor:
    description: The role that reads statistics. It may connect to every declared database.
    type: str
  pooler:
    description: The role with which poolers look up verifiers. Only its own function is open to it.
    type: str
  pooler_password:
    description: Password of O(pooler).
    type: str
  pooler_databases:
    description: Databases in which poolers look up verifiers. Each gets the function.
    type: list
    elements: str
    default: [postgres]
  known:
    description: Roles and schemas of Holdfast itself, which are no drift.
    type: list
    elements: str
    default: []
attributes:
  check_mode:
    description: Observes and predicts.
    support: full
  diff_mode:
    description: Shows the difference of the configuration, and what would be done to objects.
    support: full
"""

EXAMPLES = r"""
- name: Wait until the cluster is healthy
  holdfast.stateful.patroni_cluster:
    name: db1
    scope: orders-db
    members: "{{ service_contract_service.members }}"
    major: "17"
    data_dir: /var/lib/postgresql/17/orders-db
    etcd_members: "{{ service_contract_service.settings.etcd.members }}"
    etcd_user: patroni-orders-db
    etcd_password: "{{ lookup('holdfast.stateful.secret', 'orders-db/etcd') }}"
    require: healthy
    timeout: 60
"""

RETURN = r"""
active_state:
  description: State of this host's Patroni unit.
  returned: always
  type: str
enabled:
  description: Whether this host's Patroni unit starts at boot.
  returned: always
  type: bool
has_data:
  description: Whether this host's data directory holds anything.
  returned: always
  type: bool
hold:
  description: Who led when a restore of the consensus store held this host's Patroni back; empty where none did.
  returned: always
  type: str
start_blocker:
  description: Why Patroni must not start on this host; empty where it may or runs already.
  returned: always
  type: str
watchdog:
  description:
    - V(none) where the host has no watchdog, V(active) while Patroni holds it, which it does where it leads, V(ready)
      where it could, V(closed) where it may not open it.
  returned: always
  type: str
healthy:
  description: Whether the cluster is healthy.
  returned: always
  type: bool
leader:
  description: Name of the member that leads.
  returned: always
  type: str
sync_standbys:
  description: Names of the synchronous standbys.
  returned: always
  type: list
  elements: str
paused:
  description: Whether automatic failover is switched off.
  returned: always
  type: bool
pending_restart:
  description: Names of the members that run with settings which need a restart to change.
  returned: always
  type: list
  elements: str
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
config_changes:
  description: What was sent, or would be.
  returned: always
  type: dict
objects_seen:
  description: Whether this host's member led and looked at the objects.
  returned: always
  type: bool
object_changes:
  description: What was done to objects, or would be. Inside a database that is still missing nothing is predicted.
  returned: always
  type: list
  elements: str
drift:
  description: Objects that are there and not declared, and declared ones that wait for something.
  returned: always
  type: list
  elements: str
refusal:
  description: V(gate) when a healthy cluster was required and not there.
  returned: failure
  type: str
"""

from collections.abc import Mapping

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.holdfast.stateful.plugins.module_utils import postgres_locale, postgres_pooler
from ansible_collections.holdfast.stateful.plugins.module_utils.etcd import EtcdError
from ansible_collections.holdfast.stateful.plugins.module_utils.patroni import PatroniError, undeclared_slots
from ansible_collections.holdfast.stateful.plugins.module_utils.patroni_config import (
    local_settings,
    send_difference,
    wait_for_notice,
)
from ansible_collections.holdfast.stateful.plugins.module_utils.patroni_hold import HOLD, read_hold
from ansible_collections.holdfast.stateful.plugins.module_utils.patroni_start import group_of, may_begin, may_start
from ansible_collections.holdfast.stateful.plugins.module_utils.patroni_watch import CLUSTER_SPEC, MEMBERS_SPEC, Watch
from ansible_collections.holdfast.stateful.plugins.module_utils.postgres_host import (
    UNIT,
    HostError,
    read_data_directory,
    watchdog_state,
)
from ansible_collections.holdfast.stateful.plugins.module_utils.postgres_objects import ObjectsError, session
from ansible_collections.holdfast.stateful.plugins.module_utils.postgres_objects_converge import converge, wanted_of
from ansible_collections.holdfast.stateful.plugins.module_utils.postgres_roles import Login
from ansible_collections.holdfast.stateful.plugins.module_utils.systemd_unit import UnitError, show

OBJECTS = ("objects", "passwords", "monitor")
ERRORS = (PatroniError, EtcdError, HostError, ObjectsError, UnitError)


def refuse_other_locale(params: Mapping) -> None:  # type: ignore[type-arg]
    """Refuse a cluster that was made with other options than those that are declared: nothing changes them later."""
    with session(params["port"]) as cursor:
        wrong = postgres_locale.problems(params["initdb"], postgres_locale.look(cursor))
    if wrong:
        raise PatroniError(
            f"nothing was changed: the live cluster was made with other options of initdb: {'; '.join(wrong)}. Declare"
            " what is there (postgres_initdb), or move the data to a new cluster by dump and restore"
        )


def converge_config(watch: Watch, result: dict, check: bool) -> None:  # type: ignore[type-arg]
    """Send the difference of the dynamic configuration, and wait until the members have taken note."""
    params = watch.params
    api = watch.api(params["name"])
    seconds = send_difference(
        api, params["scope"], params["config"], lambda: local_settings(params["port"]), result, check
    )
    if seconds:
        wait_for_notice(seconds)
        watch.look()
    result["drift"] = [*result["drift"], *undeclared_slots(api.get("/config"), params["config"])]


def converge_objects(watch: Watch, result: dict, check: bool) -> None:  # type: ignore[type-arg]
    """Converge the declared objects when this host's member leads."""
    params = watch.params
    if watch.verdict.leader != params["name"]:
        return
    wanted = wanted_of(params["objects"], params["passwords"], params["monitor"], tuple(params["known"]))
    outcome = converge(params["port"], wanted, check)
    changes = [*outcome.changes]
    if params["pooler"]:
        lookup = Login(params["pooler"], params["pooler_password"], settings=postgres_pooler.LOGIN_SETTINGS)
        changes += postgres_pooler.converge(params["port"], lookup, check, params["pooler_databases"])
    result.update(object_changes=changes, drift=[*result["drift"], *outcome.drift], objects_seen=True)
    if changes:
        result["changed"] = True
        after = "\n".join(changes) + "\n"
        result["diff"].append({"header": f"objects of {params['scope']}", "before": "", "after": after})


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **CLUSTER_SPEC,
            "port": {"type": "int", "default": 5432},
            "data_dir": {"type": "path", "required": True},
            "major": {"type": "str", "required": True},
            "etcd_members": MEMBERS_SPEC,
            "etcd_client_port": {"type": "int", "default": 2379},
            "etcd_user": {"type": "str", "required": True},
            "etcd_password": {"type": "str", "required": True, "no_log": True},
            "hold": {"type": "path", "default": HOLD},
            "require": {"type": "str", "choices": ["nothing", "healthy"], "default": "nothing"},
            "config": {"type": "dict"},
            "sends_config": {"type": "bool", "default": True},
            "initdb": {"type": "list", "elements": "raw", "default": []},
            "objects": {"type": "dict"},
            "passwords": {"type": "dict", "no_log": True},
            "monitor": {"type": "str"},
            "pooler": {"type": "str"},
            "pooler_password": {"type": "str", "no_log": True},
            "pooler_databases": {"type": "list", "elements": "str", "default": ["postgres"]},
            "known": {"type": "list", "elements": "str", "default": []},
        },
        required_together=[OBJECTS, ("pooler", "pooler_password")],
        supports_check_mode=True,
    )
    params = module.params
    result: dict = {  # type: ignore[type-arg]
        "changed": False,
        "diff": [],
        "enabled": False,
        "watchdog": "none",
        "has_data": True,
        "hold": "",
        "start_blocker": "",
        "config_changes": {},
        "objects_seen": False,
        "object_changes": [],
        "drift": [],
    }
    who = f"{params['name']} of {params['scope']}"
    try:
        result["hold"] = read_hold(params["hold"])
        unit = show(UNIT, "ActiveState", "UnitFileState", "MainPID")
        result.update(active_state=unit.get("ActiveState", "unknown"), enabled=unit.get("UnitFileState") == "enabled")
        result["watchdog"] = watchdog_state(int(unit.get("MainPID") or 0), group_of("postgres"))
        data = read_data_directory(params["data_dir"])
        result["has_data"] = data.entries > 0
        if result["active_state"] != "active":
            result["start_blocker"] = may_start(params, data) or may_begin(params, data, module.check_mode)
        watch = Watch(params)
        watch.wait(params["timeout"])
        if params["require"] == "healthy" and not watch.verdict.healthy:
            raise PatroniError(
                f"expected a healthy cluster within {params['timeout']:g} s, found: {watch.complaint()}."
                " Look at 'journalctl -u patroni' on the members named"
            )
        if watch.verdict.healthy and params["initdb"]:
            refuse_other_locale(params)
        if watch.verdict.healthy and params["config"] and params["sends_config"]:
            converge_config(watch, result, module.check_mode)
        if watch.verdict.healthy and params["objects"]:
            converge_objects(watch, result, module.check_mode)
        result.update(watch.result())
    except ERRORS as error:
        module.fail_json(msg=f"{who}: {error}", refusal="gate", **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
