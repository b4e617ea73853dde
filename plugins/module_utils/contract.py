# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Resolves a catalog entry into a contract: what to configure and why, or every reason to refuse it."""

from __future__ import annotations

import dataclasses
import datetime
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.holdfast.stateful.plugins.module_utils import (
    contract_postgres,
    contract_rabbitmq,
    contract_redis,
    contract_rules,
    contract_rules_hosts,
    contract_rules_objects,
    contract_rules_version,
    contract_standby,
    contract_virtual,
)
from ansible_collections.holdfast.stateful.plugins.module_utils.contract_data import BACKUPS, PROFILES
from ansible_collections.holdfast.stateful.plugins.module_utils.contract_placement import endpoints, place
from ansible_collections.holdfast.stateful.plugins.module_utils.contract_registry import RULES, run_rules
from ansible_collections.holdfast.stateful.plugins.module_utils.contract_schema import (
    key_path,
    validate_entry,
    violation,
)
from ansible_collections.holdfast.stateful.plugins.module_utils.contract_types import (
    Decision,
    Derived,
    Entry,
    Groups,
    Host,
    View,
    Violation,
    did_you_mean,
    show,
)

__all__ = ["RULES", "Catalog", "Contract", "Host", "Violation", "refusal", "resolve", "resolve_catalog"]

ROOT = "service_catalog"
SERVICE_ID = re.compile(r"[a-z][a-z0-9-]{0,38}[a-z0-9]", re.ASCII)
DERIVE = {
    "postgres": contract_postgres.derive,
    "redis": contract_redis.derive,
    "rabbitmq": contract_rabbitmq.derive,
}
# Modules that register rules when they are imported; named so that no linter removes the import.
RULE_MODULES = (
    contract_rules,
    contract_rules_hosts,
    contract_rules_objects,
    contract_rules_version,
    contract_postgres,
    contract_redis,
    contract_standby,
    contract_virtual,
)


@dataclass(frozen=True)
class Contract:
    """One resolved service, or the violations that refuse it; ``body`` is empty then."""

    service: str
    body: Mapping[str, Any] = field(default_factory=dict)
    violations: tuple[Violation, ...] = ()

    @property
    def decisions(self) -> list[dict[str, Any]]:
        """Return every derived value with its reason."""
        return list(self.body.get("decisions", ()))

    def to_dict(self) -> dict[str, Any]:
        """Return the contract in the shape of ARCHITECTURE.md; a refused service has none."""
        if self.violations:
            raise ValueError(f"{self.service} is refused: {self.violations[0].text()}")
        return dict(self.body)


@dataclass(frozen=True)
class Catalog:
    """All contracts of a catalog, or all violations of all entries."""

    contracts: Mapping[str, Contract]
    violations: tuple[Violation, ...]

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """Return every contract by service id."""
        return {service: contract.to_dict() for service, contract in self.contracts.items()}


def resolve(
    service_id: str,
    entry: object,
    hosts: Groups,
    catalog: Mapping[Any, Any] | None = None,
    *,
    require_facts: bool = False,
    today: datetime.date | None = None,
) -> Contract:
    """Resolve one entry; with a catalog, also the rules that compare it with the other services.

    ``hosts`` is the inventory: hosts by group name. Violations of other entries are not reported here.
    """
    everything = {**(catalog or {}), service_id: entry}
    found = resolve_catalog(everything, hosts, require_facts=require_facts, today=today)
    own = key_path(ROOT, service_id)
    mine = tuple(v for v in found.violations if v.path == own or v.path.startswith(own + "."))
    return Contract(service_id, violations=mine) if mine else found.contracts[service_id]


def resolve_catalog(
    catalog: object,
    hosts: Groups,
    *,
    require_facts: bool = False,
    today: datetime.date | None = None,
) -> Catalog:
    """Resolve every entry; services that are refused are missing from ``contracts``."""
    if not isinstance(catalog, Mapping):
        wrong = f"the catalog is {show(catalog)}, expected a dictionary of services"
        return Catalog(
            {}, (violation(ROOT, "schema-catalog", wrong, "service_catalog: {<service id>: {engine: ...}}"),)
        )
    if not catalog:
        return Catalog({}, (violation(ROOT, "schema-catalog", "the catalog is empty", "declare at least one service"),))
    violations: list[Violation] = []
    entries: list[Entry] = []
    for service, raw in catalog.items():
        if not isinstance(service, str) or not SERVICE_ID.fullmatch(service):
            violations.append(_bad_id(service))
            continue
        entry, problems = validate_entry(str(service), raw, ROOT)
        violations += problems
        entries += [entry] if entry else []
    placed = [place(entry, hosts) for entry in entries]
    day = today or datetime.datetime.now(tz=datetime.UTC).date()
    contracts: dict[str, Contract] = {}
    for here in placed:
        view = View(here, hosts, tuple(other for other in placed if other is not here), require_facts, day)
        kept, advisories = _accept_risks(view, run_rules(view, ROOT))
        violations += kept
        if not kept:
            contracts[here.entry.service] = _contract(view, advisories)
    return Catalog(contracts, tuple(violations))


def _bad_id(service: object) -> Violation:
    nearest = "lower-case letters, digits and dashes, 2 to 40 characters, starting with a letter"
    if isinstance(service, str):
        plain = re.sub(r"[^a-z0-9]+", "-", service.lower(), flags=re.ASCII).strip("-")[:40].strip("-")
        nearest += f", for example {plain}" if SERVICE_ID.fullmatch(plain) else ""
    return violation(key_path(ROOT, service), "schema-service-id", f"{show(service)} is no service id", nearest)


def _accept_risks(view: View, found: list[Violation]) -> tuple[list[Violation], list[str]]:
    """Drop violations whose risk is accepted and not expired; say so in the contract."""
    accepted = {}
    for risk in view.entry.accepted_risks:
        end = contract_rules.risk_end(risk.expires)
        if risk.rule in RULES and RULES[risk.rule].waivable and end is not None and end >= view.today:
            accepted[risk.rule] = risk
    kept = [item for item in found if item.rule not in accepted]
    broken = {item.rule for item in found}
    notes = []
    for name, risk in accepted.items():
        if name in broken:
            notes.append(f"Accepted until {risk.expires} by {risk.approved_by}: rule {name} is broken. {risk.reason}")
        else:
            notes.append(f"The accepted risk for rule {name} is not needed any more: remove it.")
    return kept, notes


def _contract(view: View, advisories: list[str]) -> Contract:
    entry = view.entry
    derived = DERIVE[entry.engine](view)
    sync = entry.engine == "postgres" and contract_postgres.synchronous_nodes(view) > 0
    voters = view.here.dcs if entry.engine == "postgres" else view.members
    budget = entry.budget
    lag = budget.max_replica_lag_seconds or min(10, budget.rpo_seconds or 10)
    body: dict[str, Any] = {
        "service": entry.service,
        "engine": entry.engine,
        "environment": entry.environment,
        "owner": entry.owner,
        "escalation": entry.escalation,
        "change_window": entry.change_window or "any",
        "tuning_profile": entry.tuning_profile or _profile(entry),
        "version": dataclasses.asdict(entry.version),
        "members": [{"name": host.name, "address": host.address} for host in view.members],
        "matrix": [item.to_dict() for item in entry.data],
        "budget": {**dataclasses.asdict(budget), "max_replica_lag_seconds": lag},
        "topology": {
            "members": len(view.members),
            "quorum": len(voters) // 2 + 1,
            "synchronous": sync or entry.engine == "rabbitmq",
            "synchronous_nodes": _synchronous_nodes(view),
        },
        "endpoints": [point.to_dict() for point in endpoints(entry)],
        "clients": list(entry.clients),
        "settings": derived.settings,
        "backup": _backup(entry, derived),
        "decisions": [],
        "advisories": [],
    }
    body["decisions"] = [decision.to_dict() for decision in (*_topology_decisions(body), *derived.decisions)]
    body["advisories"] = [*advisories, *derived.advisories, *_general_advisories(view)]
    return Contract(entry.service, body)


def _synchronous_nodes(view: View) -> int:
    if view.entry.engine == "postgres":
        return contract_postgres.synchronous_nodes(view)
    return len(view.members) // 2 if view.entry.engine == "rabbitmq" else 0


def _profile(entry: Entry) -> str:
    if entry.engine == "redis":
        return contract_redis.profile(entry)
    return PROFILES[entry.engine][0]


def _topology_decisions(body: Mapping[str, Any]) -> list[Decision]:
    topology, lag = body["topology"], body["budget"]["max_replica_lag_seconds"]
    count, lost = topology["members"], (topology["members"] - 1) // 2
    engine = {
        "postgres": "Patroni promotes with a majority of etcd",
        "redis": "Sentinels promote with a majority",
        "rabbitmq": "quorum queues accept a message with a majority",
    }[body["engine"]]
    waits = (
        "a standby cluster acknowledges no write before it is promoted"
        if "standby_of" in body["settings"]
        else "an acknowledged write is on more than one host"
        if topology["synchronous"]
        else "an acknowledged write may be on one host only"
    )
    return [
        Decision("topology.members", count, f"with {count} members the service survives the loss of {lost} of them"),
        Decision("topology.quorum", topology["quorum"], engine),
        Decision(
            "topology.synchronous", topology["synchronous"], f"rpo_seconds is {body['budget']['rpo_seconds']}: {waits}"
        ),
        Decision(
            "topology.synchronous_nodes",
            topology["synchronous_nodes"],
            "copies beside the first that a write waits for",
        ),
        Decision("budget.max_replica_lag_seconds", lag, "planned work stops while a replica is further behind"),
    ]


def _backup(entry: Entry, derived: Derived) -> dict[str, Any]:
    kept = max((item.retention_days or 0 for item in entry.data), default=0)
    backup: dict[str, Any] = {"class": entry.backup_class, **BACKUPS[entry.backup_class].to_dict()}
    backup["retention_lock_days"] = kept
    backup["retention_days"] = max(backup["retention_days"], kept)
    because = f"retained data is kept here for {kept} days" if kept else f"class {entry.backup_class}"
    derived.decisions.append(Decision("backup.retention_days", backup["retention_days"], because))
    derived.decisions.append(Decision("backup.retention_lock_days", kept, f"{because}; 0 is no lock"))
    drill = backup["drill_interval_days"]
    because = f"class {entry.backup_class}" + ("" if drill else " asks for no restore drill")
    derived.decisions.append(Decision("backup.drill_interval_days", drill, because))
    return backup


def _general_advisories(view: View) -> list[str]:
    entry, found = view.entry, []
    unknown = [host.name for host in view.members if host.memory_mb is None]
    if unknown:
        found.append(
            f"The memory of {', '.join(unknown)} is not known: memory settings are those of the smallest host that may "
            "carry this service, and differ from what a run with facts configures."
        )
    if entry.production and not entry.escalation.strip().lower().startswith(("pager:", "phone:")):
        found.append(
            f"{entry.escalation} wakes nobody: without someone on call day and night, self-hosting this service is "
            "the worse trade; a managed service restores it while the team sleeps."
        )
    if entry.keeps_only_copy and BACKUPS[entry.backup_class].drill_days is None:
        found.append(
            f"backup_class {entry.backup_class} runs no restore drills: a backup that was never restored is a hope, "
            "and self-hosting the only copy on a hope is the worse trade. Take silver or gold."
        )
    if not entry.clients:
        found.append("No client networks are declared: only the members themselves reach the service.")
    return found


def refusal(violations: tuple[Violation, ...]) -> str:
    """Return the message of one refusal that lists every violation."""
    count = len(violations)
    head = f"Refused: {count} violation{'s' if count > 1 else ''} in the service catalog; nothing was changed."
    return "\n".join([head, "", *(item.text() + "\n" for item in violations)]).rstrip()


def unknown_service(service_id: str, catalog: Mapping[Any, Any]) -> Violation:
    """Return the violation for a service that the catalog does not have."""
    known = [key for key in catalog if isinstance(key, str)]
    wrong = f"service_id {show(service_id)} is not in the catalog"
    return violation("service_id", "schema-service-unknown", wrong, did_you_mean(service_id, known))
