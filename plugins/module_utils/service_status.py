# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From what each member says of itself to what is true of a service: pure, and never better than what was seen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.holdfast.stateful.plugins.module_utils.connection import client_port

UNKNOWN = "unknown"
#: States in which a member does its work; anything else is a problem.
WORKING = {"running", "streaming"}
LEADING = {"leader", "primary", "master"}
#: Engines where one member leads the whole service; RabbitMQ has a leader for each queue instead.
SINGLE_LEADER = {"postgres", "redis"}

ARGUMENT_SPEC: dict[str, Any] = {
    "contracts": {"type": "dict"},
    "secrets_file": {"type": "path", "no_log": False},
    "services": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "contract": {"type": "dict", "required": True},
            "credentials": {
                "type": "dict",
                "required": True,
                "options": {
                    "name": {"type": "str", "required": True},
                    "user": {"type": "str", "required": True},
                    "password": {"type": "str", "required": True, "no_log": True},
                },
            },
        },
    },
    "timeout": {"type": "float", "default": 1.5},
}

#: What an observer of a local member needs of a contract; decisions and the rest would only be copied around.
OBSERVED_KEYS = ("service", "engine", "members", "settings", "budget", "topology")


def status_requests(
    contracts: dict[str, Any], host: str, secrets: Mapping[str, str]
) -> tuple[list[dict[str, Any]], list[str]]:
    """Return what `service_status_info` sends to `host`: its services, each with its monitoring password.

    The second part of the result names the services on the host whose password nobody has generated yet.
    """
    here = {
        service: contract
        for service, contract in sorted(contracts.items())
        if host in [member["name"] for member in contract["members"]]
    }
    unasked = [service for service in here if f"{service}/monitor" not in secrets]
    requests = [
        {
            "contract": {key: contract[key] for key in OBSERVED_KEYS},
            "credentials": {"name": host, "user": "monitor", "password": secrets[f"{service}/monitor"]},
        }
        for service, contract in here.items()
        if service not in unasked
    ]
    return requests, unasked


def _member(name: str, seen: dict[str, Any] | None) -> dict[str, Any]:
    if seen is None:
        return {"host": name, "role": UNKNOWN, "state": UNKNOWN, "version": None, "lag_seconds": None}
    role = seen.get("host_role") or UNKNOWN
    state = seen.get("state") or UNKNOWN
    return {
        "host": name,
        "role": role,
        "state": state,
        "version": seen.get("version"),
        "lag_seconds": seen.get("lag_seconds"),
    }


def _leader_problems(
    contract: dict[str, Any], members: list[dict[str, Any]], seen: dict[str, dict[str, Any]]
) -> list[str]:
    if contract["engine"] not in SINGLE_LEADER:
        return []
    leading = [member["host"] for member in members if member["role"] in LEADING]
    problems = []
    if not leading:
        problems.append("no member leads: writes are not served")
    if len(leading) > 1:
        problems.append(
            f"{len(leading)} members say that they lead ({', '.join(leading)}): isolate one before anything else"
        )
    named = {str(item["leader"]) for item in seen.values() if item.get("leader")}
    if leading and named - set(leading):
        problems.append(f"members disagree on who leads: {', '.join(sorted(named | set(leading)))}")
    return problems


def _leader(contract: dict[str, Any], members: list[dict[str, Any]], seen: dict[str, dict[str, Any]]) -> str | None:
    """Return who leads; for an engine whose queues have leaders, the member that all say leads most of them."""
    if contract["engine"] in SINGLE_LEADER:
        leading = [member["host"] for member in members if member["role"] in LEADING]
    else:
        leading = sorted({str(item["leader"]) for item in seen.values() if item.get("leader")})
    return leading[0] if len(leading) == 1 else None


def _since(leader: str | None, seen: dict[str, dict[str, Any]]) -> str | None:
    """Return since when, as the leader says, or else as the member says that remembers longest."""
    if leader is None:
        return None
    own = seen.get(leader, {}).get("leader_since")
    known = sorted(
        item["leader_since"] for item in seen.values() if item.get("leader_since") and item.get("leader") == leader
    )
    return own or (known[0] if known else None)


def _budget(contract: dict[str, Any], members: list[dict[str, Any]], problems: list[str]) -> dict[str, Any]:
    budget, topology = contract["budget"], contract["topology"]
    reasons = []
    working = [member for member in members if member["state"] in WORKING]
    if len(working) < topology["quorum"]:
        reasons.append(
            f"{len(working)} of {len(members)} members work, {topology['quorum']} are needed to survive at all"
        )
    elif len(working) < len(members):
        missing = len(members) - len(working)
        reasons.append(f"{missing} of {len(members)} members don't work: the next failure may exceed the budget")
    limit = budget.get("max_replica_lag_seconds")
    for member in members:
        lag = member["lag_seconds"]
        if limit is not None and lag is not None and lag > limit:
            reasons.append(f"{member['host']} lags {lag:.1f} s, the budget is {limit} s")
        if limit is not None and lag is None and member["role"] not in LEADING and contract["engine"] in SINGLE_LEADER:
            reasons.append(f"{member['host']}: replication lag was not observed")
    synchronous = [member for member in members if member["role"] == "sync_standby" and member["state"] in WORKING]
    wanted = topology.get("synchronous_nodes") or 0
    if contract["engine"] == "postgres" and budget["rpo_seconds"] == 0 and len(synchronous) < wanted:
        reasons.append(f"{len(synchronous)} synchronous standbys, RPO 0 needs {wanted}")
    return {**budget, "kept": not reasons and not problems, "reasons": reasons}


def summarise(contracts: dict[str, Any], observed: dict[str, Any]) -> list[dict[str, Any]]:
    """Return one status for each contract.

    `observed` maps a host's name to `{service: what the member says}`, or to None when the host did not answer. A
    member that was not seen is `unknown`, and a service with such a member is not healthy.
    """
    result = []
    for service in sorted(contracts):
        contract = contracts[service]
        names = [member["name"] for member in contract["members"]]
        seen = {name: observed[name][service] for name in names if (observed.get(name) or {}).get(service)}
        members = [_member(name, seen.get(name)) for name in names]
        problems = [f"{member['host']}: not observed" for member in members if member["host"] not in seen]
        problems += [
            f"{member['host']}: {member['state']}"
            for member in members
            if member["host"] in seen and member["state"] not in WORKING
        ]
        problems += [
            f"{member['host']}: {member['state']}, but its role is unknown"
            for member in members
            if member["state"] in WORKING and member["role"] == UNKNOWN
        ]
        problems += [f"{name}: {problem}" for name, item in seen.items() for problem in item.get("problems") or []]
        problems += _leader_problems(contract, members, seen)
        versions = {member["version"] for member in members if member["version"]}
        if len(versions) > 1:
            problems.append(f"members run different versions: {', '.join(sorted(map(str, versions)))}")
        leader = _leader(contract, members, seen)
        since = _since(leader, seen)
        port = client_port(contract)
        result.append(
            {
                "service": service,
                "engine": contract["engine"],
                "healthy": not problems,
                "leader": leader,
                "leader_since": since,
                "endpoint": ",".join(f"{member['address']}:{port}" for member in contract["members"]),
                "members": members,
                "budget": _budget(contract, members, problems),
                "problems": problems,
            }
        )
    return result
