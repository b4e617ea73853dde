# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The steps by which a member leaves a Patroni cluster, or is built anew."""

from __future__ import annotations

import time
from typing import Any

from ansible_collections.holdfast.stateful.plugins.module_utils.etcd import EtcdClient, Tls, url_of
from ansible_collections.holdfast.stateful.plugins.module_utils.patroni import Api, PatroniError
from ansible_collections.holdfast.stateful.plugins.module_utils.patroni_removal import (
    judge_staying,
    reinit_blocker,
    removal_blocker,
    slot_of,
)
from ansible_collections.holdfast.stateful.plugins.module_utils.patroni_watch import INTERVAL, Watch
from ansible_collections.holdfast.stateful.plugins.module_utils.postgres_objects import session

# Patroni keeps the slot of a member that is gone for this long; one second has it dropped in the next round.
RETENTION = "member_slots_ttl"
OURS = 1


def removable(watch: Watch, _check: bool) -> list[str]:
    """Refuse a removal that the cluster could not bear; what the member keeps it gives up before it stops."""
    blocker = _blocker(watch, "")
    if blocker:
        raise PatroniError(blocker)
    return []


def _blocker(watch: Watch, without: str) -> str:
    """Look, and return why the member must not be removed; ``without`` is one whose promises don't count any more."""
    params = watch.params
    watch.look()
    watch.verdict = judge_staying(watch.views, params["scope"], params["synchronous_nodes"], without)
    return removal_blocker(watch.views, watch.verdict, params["member"])


def admissible(watch: Watch, _check: bool) -> list[str]:
    """Refuse to admit others while a member that is about to leave leads: they could not copy from it."""
    watch.look()
    leaders = {view.leader for view in watch.views if view.leader}
    if not leaders:
        raise PatroniError(f"expected the members to see a leader, found: {watch.complaint()}")
    leading = sorted(leaders & set(watch.params["leaving"]))
    if leading:
        raise PatroniError(f"{', '.join(leading)} leads: move the lead to a member that stays first, then run again")
    return []


def leading(watch: Watch, check: bool) -> list[str]:
    """Wait until this host's member says that it leads."""
    name, timeout = watch.params["name"], watch.params["timeout"]
    if not check and not watch.wait(timeout, lambda _verdict: watch.view(name).leads):
        raise PatroniError(f"expected {name} to lead within {timeout:g} s, found: {watch.complaint()}")
    return []


def forget(watch: Watch, check: bool) -> list[str]:
    """Delete the member's key, and have its slot dropped; only where this host's member leads."""
    params = watch.params
    member, steps = params["member"], []
    _await_health(watch, "" if check else member, 0 if check else params["timeout"])
    if watch.verdict.leader != params["name"]:
        return []
    if watch.api(params["name"]).get("/config").get(RETENTION) == OURS:
        steps.append(f"set {RETENTION} back, which an aborted run left at {OURS} s")
        if not check:
            _patch(watch.api(params["name"]), {RETENTION: None})
    if member in {str(item.get("name")) for item in watch.view(params["name"]).listed}:
        steps.append(f"delete the key of {member}")
        if not check:
            _delete_key(watch, member)
    if _has_slot(params["port"], member):
        steps.append(f"drop the replication slot of {member}")
        if not check:
            _drop_slot(watch, member)
    if steps and not check:
        _await_health(watch, member, params["timeout"])
    return steps


def _await_health(watch: Watch, without: str, timeout: float) -> None:
    """Wait until the cluster bears it: when a member stops, the leader may need a moment to choose another."""
    deadline = time.monotonic() + timeout
    while blocker := _blocker(watch, without):
        if time.monotonic() >= deadline:
            raise PatroniError(f"{blocker} (after {timeout:g} s)" if timeout else blocker)
        time.sleep(INTERVAL)


def _delete_key(watch: Watch, member: str) -> None:
    """Delete the key and see that nobody writes it again."""
    params = watch.params
    context = Tls(params["ca"], params["cert"], params["key"]).context()
    client = EtcdClient(context, 5.0, params["etcd_user"] or "", params["etcd_password"] or "")
    stores = [url_of(item["address"], params["etcd_client_port"]) for item in params["etcd_members"]]
    client.delete_through_any(stores, f"/service/{params['scope']}/members/{member}")
    config = watch.api(params["name"]).get("/config")
    time.sleep(float(config.get("loop_wait", 10)) + 1)
    watch.look()
    if member in {str(item.get("name")) for item in watch.view(params["name"]).listed}:
        raise PatroniError(f"{member} has written its key again: Patroni still runs there. Stop it, then run again")


def _has_slot(port: int, member: str) -> bool:
    """Ask this host's server whether it keeps WAL for the member."""
    with session(port) as cursor:
        cursor.execute("SELECT count(*) FROM pg_replication_slots WHERE slot_name = %s", (slot_of(member),))
        return bool(cursor.fetchone()[0])


def _drop_slot(watch: Watch, member: str) -> None:
    """Shorten the time for which Patroni keeps slots of absent members until this one is gone, and set it back."""
    params = watch.params
    api = watch.api(params["name"])
    before = api.get("/config").get(RETENTION)
    _patch(api, {RETENTION: OURS})
    try:
        deadline = time.monotonic() + params["timeout"]
        while _has_slot(params["port"], member):
            if time.monotonic() >= deadline:
                raise PatroniError(f"expected Patroni to drop slot {slot_of(member)} in {params['timeout']:g} s")
            time.sleep(INTERVAL)
    finally:
        # One second is ours, also when an earlier run was killed before it could set it back.
        _patch(api, {RETENTION: None if before == OURS else before})


def _patch(api: Api, patch: dict[str, Any]) -> None:
    """Send one change of the dynamic configuration."""
    status, said = api.ask("PATCH", "/config", patch)
    if status != 200:
        raise PatroniError(f"{api.where}/config: expected HTTP 200, found {status}: {str(said)[:300]}")


def reinitialize(watch: Watch, check: bool) -> list[str]:
    """Have Patroni delete this member's data and copy the leader's, and wait until it streams."""
    params = watch.params
    name, timeout = params["name"], params["timeout"]
    watch.look()
    blocker = reinit_blocker(watch.views, watch.verdict, name, params["synchronous_nodes"])
    if blocker:
        raise PatroniError(blocker)
    own = watch.view(name)
    if own.error is not None:
        raise PatroniError(f"expected Patroni to answer here, found: {own.error}. Start it (systemctl start patroni)")
    steps = [f"copy {watch.verdict.leader} to {name}"]
    if check:
        return steps
    before = own.own.get("postmaster_start_time")
    status, said = watch.api(name, 30.0).ask("POST", "/reinitialize", {"force": True})
    if status != 200:
        raise PatroniError(f"Patroni refused to begin: HTTP {status}: {str(said)[:300]}")

    def is_back() -> bool:
        view = watch.view(name).own
        return view.get("state") == "running" and view.get("postmaster_start_time") != before

    if not watch.wait(timeout, lambda verdict: verdict.healthy and is_back()):
        found = watch.complaint() if watch.verdict.problems else "the server that ran before"
        raise PatroniError(f"expected a new replica that streams within {timeout:g} s, found: {found}")
    return steps
