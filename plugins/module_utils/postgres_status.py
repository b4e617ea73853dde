# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What this host's PostgreSQL member is and sees, from two questions to the local Patroni."""

from __future__ import annotations

import datetime
import socket
from collections.abc import Mapping
from typing import Any

from ansible_collections.holdfast.stateful.plugins.module_utils.etcd import EtcdError, Tls
from ansible_collections.holdfast.stateful.plugins.module_utils.host_tls import PKI
from ansible_collections.holdfast.stateful.plugins.module_utils.patroni import (
    SYNC_ROLES,
    Api,
    MemberView,
    PatroniError,
)
from ansible_collections.holdfast.stateful.plugins.module_utils.patroni_pause import deadline_of

RUNNING = {"running", "streaming"}


def observe_local(contract: dict[str, Any], credentials: dict[str, Any], timeout: float) -> dict[str, Any]:
    """Return the state of the local member; whatever goes wrong becomes state "unknown" with a problem.

    ``credentials`` may hold ``name`` (the inventory's name of this host; without it the member whose address this host
    has) and the paths ``ca``, ``cert`` and ``key``.
    """
    status: dict[str, Any] = {
        "engine": "postgres",
        "service": contract.get("service"),
        "host_role": "unknown",
        "state": "unknown",
        "version": None,
        "lag_seconds": None,
        "leader": None,
        "leader_since": None,
        "members_seen": [],
        "problems": [],
    }
    try:
        view, history = ask(contract, credentials, timeout)
        describe(view, history, contract, status)
    except (PatroniError, EtcdError) as error:
        status["problems"].append(str(error))
    except Exception as error:  # noqa: BLE001 - a status that raises tells an operator nothing about the other engines
        status["problems"].append(f"{type(error).__name__}: {error}")
    return status


def ask(contract: Mapping[str, Any], credentials: Mapping[str, Any], timeout: float) -> tuple[MemberView, Any]:
    """Ask the local Patroni about itself, the cluster and its past leaders."""
    wanted = credentials.get("name")
    here = [m for m in contract["members"] if (m["name"] == wanted if wanted else is_local(m["address"]))]
    if len(here) != 1:
        service = contract.get("service")
        raise PatroniError(f"expected this host among the members of {service}, found {len(here)} that fit")
    name, address = str(here[0]["name"]), here[0]["address"]
    files = (("ca", "ca.crt"), ("cert", "host.crt"), ("key", "host.key"))
    tls = Tls(*(str(credentials.get(key) or f"{PKI}/{file}") for key, file in files))
    api = Api(address, int(contract["settings"]["restapi_port"]), tls.context(), timeout)
    try:
        view = MemberView(name, None, api.get("/patroni"))
        try:
            view.cluster = api.get("/cluster")
        except PatroniError as error:
            # Patroni asks the store for it anew, and waits when the store's member that it talks to lost its power.
            view.error = f"expected its view of the cluster in time, found none although it answers: {error}"
            return view, None
        if not view.tells_streaming:
            view.senders = senders_of(view, contract, tls, timeout)
        if view.cluster.get("pause"):
            view.cluster["paused_until"] = deadline_of(api.get("/config"))
        return view, api.ask("GET", "/history")[1]
    finally:
        api.connection.close()


def senders_of(view: MemberView, contract: Mapping[str, Any], tls: Tls, timeout: float) -> list[dict[str, Any]]:
    """Ask the leader to whom it sends WAL, for a Patroni that doesn't say of itself whether it streams.

    A leader that doesn't answer sends to nobody as far as anybody can tell.
    """
    addresses = [member["address"] for member in contract["members"] if str(member["name"]) == view.leader]
    if not addresses:
        return []
    api = Api(addresses[0], int(contract["settings"]["restapi_port"]), tls.context(), timeout)
    try:
        return list(api.get("/patroni").get("replication") or [])
    except PatroniError:
        return []
    finally:
        api.connection.close()


def is_local(address: str) -> bool:
    """Say whether an address is one of this host's: only those can be bound."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.bind((address, 0))
    except OSError:
        return False
    return True


def describe(view: MemberView, history: Any, contract: Mapping[str, Any], status: dict[str, Any]) -> None:
    """Fill in what was observed."""
    if view.error:
        describe_alone(view, status)
        return
    listed = {str(item.get("name")): item for item in view.listed}
    own = listed.get(view.name, {})
    state = str(view.own.get("state") or "unknown")
    status["state"] = state
    status["version"] = version_text(view.own.get("server_version"))
    status["leader"] = view.leader
    status["members_seen"] = sorted(listed)
    status["leader_since"] = leader_since(view, history)
    follows = (contract.get("settings") or {}).get("standby_of")
    if view.leads:
        status["host_role"] = "leader"
        if not view.takes_writes:
            status["lag_seconds"] = lag_seconds(view.own, {"state": view.own.get("replication_state"), "lag": 0})
    else:
        status["host_role"] = "sync_standby" if own.get("role") in SYNC_ROLES else "replica"
        status["lag_seconds"] = lag_seconds(view.own, own)
    say = status["problems"].append
    if state not in RUNNING:
        say(f"PostgreSQL is {state}")
    if view.leader is None:
        say("no leader is seen")
    if not view.leads and state in RUNNING and own.get("state") != "streaming":
        say(f"does not stream from the leader: {own.get('state')}")
    if view.leads:
        status["problems"] += site_problems(view, follows)
    if view.cluster.get("pause"):
        until = view.cluster.get("paused_until")
        say(f"automatic failover is paused until {until} UTC" if until else "automatic failover is paused, with no end")
    if view.own.get("pending_restart"):
        say("settings wait for a restart")
    limit = (contract.get("budget") or {}).get("max_replica_lag_seconds")
    if limit is not None and (status["lag_seconds"] or 0) > limit:
        say(f"lags {status['lag_seconds']} s behind, the budget is {limit} s")
    declared = {str(member["name"]) for member in contract["members"]}
    if declared != set(listed):
        say(f"expected members {', '.join(sorted(declared))}, sees {', '.join(sorted(listed)) or 'none'}")


def describe_alone(view: MemberView, status: dict[str, Any]) -> None:
    """Fill in what a member says of itself alone, without its cluster: a standby's kind and lag stay unknown."""
    status["host_role"] = "leader" if view.leads else "replica"
    status["state"] = str(view.own.get("state") or "unknown")
    status["version"] = version_text(view.own.get("server_version"))
    status["members_seen"] = [view.name]
    status["problems"].append(str(view.error))


def site_problems(view: MemberView, follows: Mapping[str, Any] | None) -> list[str]:
    """Return what is wrong between a leader and the other site that the catalog says it follows, or does not."""
    if view.takes_writes:
        return [f"takes writes, and the catalog says that it follows {follows['service']}"] if follows else []
    if not follows:
        return ["leads a standby cluster, and the catalog says that it takes writes"]
    state = view.own.get("replication_state")
    return [] if state == "streaming" else [f"does not stream from {follows['service']}: {state or 'no connection'}"]


def version_text(number: Any) -> str | None:
    """Return 17.12 for 170012."""
    return f"{number // 10000}.{number % 10000}" if isinstance(number, int) else None


def lag_seconds(
    own: Mapping[str, Any], listed: Mapping[str, Any], now: datetime.datetime | None = None
) -> float | None:
    """Return how old the last replayed commit is, 0 where everything was replayed, nothing where it is not known."""
    xlog = own.get("xlog") or {}
    received, replayed = xlog.get("received_location"), xlog.get("replayed_location")
    if listed.get("state") == "streaming" and listed.get("lag") == 0 and received == replayed:
        return 0.0
    try:
        moment = datetime.datetime.fromisoformat(str(xlog.get("replayed_timestamp")))
    except ValueError:
        return None
    age = (now or datetime.datetime.now(datetime.UTC)) - moment
    return round(max(0.0, age.total_seconds()), 3)


def leader_since(view: MemberView, history: Any) -> str | None:
    """Return when the present timeline began; before the first failover, when the leader's server started."""
    timeline = view.own.get("timeline") or next(
        (item.get("timeline") for item in view.listed if item.get("name") == view.leader), None
    )
    if isinstance(history, list) and isinstance(timeline, int):
        for row in history:
            if isinstance(row, list) and len(row) > 3 and row[0] == timeline - 1:
                return str(row[3])
    if view.leads and view.own.get("postmaster_start_time"):
        text = str(view.own["postmaster_start_time"])
        return text.replace(" ", "T", 1) if len(text) > 10 and text[10] == " " else text
    return None
