#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Move the lead of a Patroni cluster away from this host, to a named and healthy member."""

from __future__ import annotations

DOCUMENTATION = r"""
module: patroni_switchover
short_description: Move the lead of a Patroni cluster away from this host
version_added: 0.1.0
author: Holdfast maintainers (@holdfast)
description:
  - Does nothing when this host's member does not lead.
  - Refuses when the cluster is not healthy or paused, or when no other member may lead.
  - Always names the candidate. What the API answers decides nothing, because it may answer before it is over. What
    counts is that the members agree on the new leader and that the cluster is healthy again.
  - With O(pooler), pauses all poolers of the service at the same time before the move, and resumes each as soon as its
    own path ends at the new leader, so that clients wait instead of failing. Poolers are resumed however the move ends;
    when this module is killed, the dead-man on each member resumes them.
extends_documentation_fragment: [holdfast.stateful.host_tls, holdfast.stateful.patroni]
options:
  candidate:
    description:
      - The member that must lead next. Without it the synchronous standby with the least lag, by name in a tie.
    type: str
  timeout:
    description: Seconds for the gate, and again for the move.
    type: float
    default: 60
  port:
    description: Port of PostgreSQL, for the checkpoint before a paused move.
    type: int
    default: 5432
  etcd_members:
    description:
      - Members of the consensus store. With them, and where exactly one synchronous standby may lead next, a paused
        move takes its request back as soon as the old leader stops, and the other standbys follow without a pause.
    type: list
    elements: dict
    default: []
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
    description: User of the consensus store, where it asks for one.
    type: str
    default: ""
  etcd_password:
    description: Password of O(etcd_user).
    type: str
    default: ""
  pooler:
    description: The poolers in front of the cluster. Without them the lead moves under the clients.
    type: dict
    suboptions:
      port:
        description: Port of the poolers, on every member.
        type: int
        required: true
      admin_user:
        description: The poolers' administrator.
        type: str
        required: true
      admin_password:
        description: Password of O(pooler.admin_user).
        type: str
        required: true
      databases:
        description: The poolers' databases that follow the leader.
        type: list
        elements: str
        required: true
      read_only_databases:
        description: The poolers' databases on replicas.
        type: list
        elements: str
        default: []
      pause_ms:
        description: How long open transactions may hold up the pause. After that all is resumed and nothing moves.
        type: int
        required: true
      settle_ms:
        description: How long after the move O(pooler.read_only_databases) are resumed.
        type: int
        default: 0
      deadman_seconds:
        description: After how long the members' dead-men resume by themselves. This module gives up earlier.
        type: int
        required: true
attributes:
  check_mode:
    description: Checks the gate and predicts.
    support: full
"""

EXAMPLES = r"""
- name: Move the lead away from this host
  holdfast.stateful.patroni_switchover:
    name: db1
    scope: orders-db
    members: "{{ service_contract_service.members }}"
"""

RETURN = r"""
previous_leader:
  description: Who led before.
  returned: always
  type: str
leader:
  description: Who leads now, or would.
  returned: always
  type: str
seconds:
  description: How long it took until the members agreed on the new leader.
  returned: always
  type: float
stall_ms:
  description: How long each member's pooler was paused for writers.
  returned: with O(pooler)
  type: dict
request:
  description: Whether the request for the move was taken back when the old leader stopped, or why not.
  returned: with O(pooler) and O(etcd_members)
  type: str
refusal:
  description: V(gate) when the lead could not be moved safely.
  returned: failure
  type: str
"""

import threading
import time
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.holdfast.stateful.plugins.module_utils.etcd import EtcdClient, EtcdError, Tls, url_of
from ansible_collections.holdfast.stateful.plugins.module_utils.patroni import PatroniError, choose_candidate
from ansible_collections.holdfast.stateful.plugins.module_utils.patroni_handover import Hastener, take_back
from ansible_collections.holdfast.stateful.plugins.module_utils.patroni_watch import CLUSTER_SPEC, MEMBERS_SPEC, Watch
from ansible_collections.holdfast.stateful.plugins.module_utils.pooler_console import PoolerError
from ansible_collections.holdfast.stateful.plugins.module_utils.pooler_pause import Poolers, poolers_of
from ansible_collections.holdfast.stateful.plugins.module_utils.postgres_objects import ObjectsError, session

POOLER_SPEC = {
    "port": {"type": "int", "required": True},
    "admin_user": {"type": "str", "required": True},
    "admin_password": {"type": "str", "required": True, "no_log": True},
    "databases": {"type": "list", "elements": "str", "required": True},
    "read_only_databases": {"type": "list", "elements": "str", "default": []},
    "pause_ms": {"type": "int", "required": True},
    "settle_ms": {"type": "int", "default": 0},
    "deadman_seconds": {"type": "int", "required": True},
}
# While this exists and is fresh, Patroni's before_stop hook stops the server itself (docs/adr/0063).
MARK = Path("/run/holdfast-switchover")
# What is left between giving up and the dead-man, so that this module resumes first.
HEADROOM = 3.0


class Move:
    """One request to Patroni, which may answer before the move is over, after it, or never."""

    def __init__(self, watch: Watch, leader: str, candidate: str) -> None:
        """Prepare."""
        self.watch, self.leader, self.candidate = watch, leader, candidate
        self.status, self.answer = 0, "nothing yet"

    def ask(self) -> None:
        """Ask for the move."""
        try:
            api = self.watch.api(self.leader, self.watch.params["timeout"])
            self.status, said = api.ask("POST", "/switchover", {"leader": self.leader, "candidate": self.candidate})
            self.answer = f"HTTP {self.status}: {str(said)[:300]}"
        except PatroniError as error:
            self.answer = str(error)

    def refusal(self) -> str:
        """Return why there will be no move. Everything else, a 503 above all, may mean that it still goes on."""
        refused = self.status in {400, 409, 412}
        return f"Patroni refused to move the lead to {self.candidate}: {self.answer}" if refused else ""

    def finish(self) -> None:
        """Wait until the members agree on the new leader: only they know."""
        if self.refusal():
            raise PatroniError(self.refusal())
        timeout = self.watch.params["timeout"]
        if not self.watch.wait(timeout, lambda verdict: verdict.leader == self.candidate):
            raise PatroniError(
                f"expected {self.candidate} to lead within {timeout:g} s, found"
                f" {self.watch.verdict.leader or 'no leader'} ({self.watch.complaint()}); Patroni answered"
                f" {self.answer}. Look at 'patronictl list' before anything else is done"
            )


def checkpoint(port: int) -> str:
    """Write out what is dirty now, so that the shutdown has little to write; return where the server's data is."""
    with session(port) as cursor:
        cursor.execute("CHECKPOINT")
        cursor.execute("SHOW data_directory")
        return str(cursor.fetchone()[0])


def hastener(move: Move, data_dir: str) -> Hastener | None:
    """Return what takes the request back in time, where the request decides nothing any more by then."""
    params = move.watch.params
    if params["synchronous_nodes"] != 1 or not params["etcd_members"]:
        return None
    context = Tls(params["ca"], params["cert"], params["key"]).context()
    client = EtcdClient(context, 1.0, params["etcd_user"], params["etcd_password"])
    stores = [url_of(member["address"], params["etcd_client_port"]) for member in params["etcd_members"]]
    return Hastener(data_dir, lambda: take_back(client, stores, params["scope"], move.leader, move.candidate))


def move_paused(move: Move, poolers: Poolers, address: str) -> dict:  # type: ignore[type-arg]
    """Move the lead behind paused poolers; they are resumed whatever happens."""
    params = move.watch.params
    haste = hastener(move, checkpoint(params["port"]))
    begin = time.monotonic()
    deadline = begin + params["pooler"]["deadman_seconds"] - HEADROOM
    late: list = []  # type: ignore[type-arg]
    MARK.touch()
    try:
        poolers.pause(params["pooler"]["pause_ms"] / 1000)
        # The answer comes seconds after the move: it is read when the poolers are running again.
        asked = threading.Thread(target=move.ask, daemon=True)
        asked.start()
        if haste is not None:
            haste.start()
        late = poolers.await_leader(address, deadline, move.refusal)
    finally:
        stuck = poolers.resume()
        MARK.unlink(missing_ok=True)
    outcome = {"request": haste.end()} if haste is not None else {}
    asked.join(params["timeout"])
    move.finish()
    if late or stuck:
        raise PoolerError(f"{move.candidate} leads, but not all poolers followed: {'; '.join(late + stuck)}")
    stalls = {name: int((moment - begin) * 1000) for name, moment in sorted(poolers.resumed.items())}
    return {**outcome, "stall_ms": stalls}


def act(watch: Watch, check: bool) -> dict:  # type: ignore[type-arg]  # sanity wants no typing import here
    """Pass the gate, then move the lead if it is here."""
    params = watch.params
    watch.require(params["timeout"], "before the lead moves")
    if watch.verdict.paused:
        raise PatroniError("expected automatic failover to be armed, found it paused: resume it, then run again")
    before = str(watch.verdict.leader)
    if before != params["name"]:
        return {"changed": False, "previous_leader": before, "leader": before, "seconds": 0.0}
    sync = params["synchronous_nodes"] > 0
    candidate, reasons = choose_candidate(watch.view(before), sync, params["candidate"])
    if candidate is None:
        raise PatroniError(f"no member may lead instead of {before}: {'; '.join(reasons) or 'there is none'}")
    result = {"changed": True, "previous_leader": before, "leader": candidate, "seconds": 0.0}
    poolers = poolers_of(params["pooler"], params["members"], params["ca"]) if params["pooler"] else None
    if poolers is not None:
        _states, problems = poolers.look()
        if problems:
            raise PoolerError("; ".join(problems))
    if check:
        return result
    move, begin = Move(watch, before, candidate), time.monotonic()
    if poolers is None:
        move.ask()
        move.finish()
    else:
        address = next(member["address"] for member in params["members"] if member["name"] == candidate)
        result.update(move_paused(move, poolers, address))
    result["seconds"] = round(time.monotonic() - begin, 3)
    watch.require(params["timeout"], "after the lead moved")
    return result


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **CLUSTER_SPEC,
            "candidate": {"type": "str"},
            "timeout": {"type": "float", "default": 60},
            "port": {"type": "int", "default": 5432},
            "etcd_members": {**MEMBERS_SPEC, "required": False, "default": []},
            "etcd_client_port": {"type": "int", "default": 2379},
            "etcd_user": {"type": "str", "default": ""},
            "etcd_password": {"type": "str", "default": "", "no_log": True},
            "pooler": {"type": "dict", "options": POOLER_SPEC},
        },
        supports_check_mode=True,
    )
    params = module.params
    try:
        result = act(Watch(params), module.check_mode)
    except (PatroniError, PoolerError, ObjectsError, EtcdError) as error:
        module.fail_json(msg=f"{params['name']} of {params['scope']}: {error}", refusal="gate")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
