# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Cross-field rules that read one entry: data, budget, ownership, identifiers, accepted risks."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator

from ansible_collections.holdfast.stateful.plugins.module_utils.contract_data import (
    BACKUPS,
    DEFAULT_PORTS,
    ENGINE_KEYS,
    GROUP_ROLES,
    LONGEST,
    PLACEHOLDERS,
    PLANNED_FLOOR_MS,
    PLANNED_FLOOR_WHY,
    PROFILES,
    RESERVED_DATABASES,
    RESERVED_USERS,
    RTO_EASY,
    RTO_FLOOR,
    RTO_FLOOR_WHY,
    SECOND_LOGIN,
)
from ansible_collections.holdfast.stateful.plugins.module_utils.contract_registry import RULES, rule
from ansible_collections.holdfast.stateful.plugins.module_utils.contract_types import (
    Problem,
    View,
    did_you_mean,
    show,
)
from ansible_collections.holdfast.stateful.plugins.module_utils.contract_window import (
    EXAMPLE,
    WindowError,
    parse_window,
)

Found = Iterator[Problem]


@rule("data-empty", "what is kept decides persistence, eviction and backups: nothing can be derived from nothing")
def data_empty(view: View) -> Found:
    """An entry without data."""
    if not view.entry.data:
        yield Problem("data", "the list is empty", "name at least one thing that is kept here, with its class")


@rule("data-duplicate-name", "two rows with one name and different classes leave open which promise holds")
def data_duplicate_name(view: View) -> Found:
    """One name for two rows of the matrix."""
    seen: dict[str, int] = {}
    for at, item in enumerate(view.entry.data):
        if item.name in seen:
            wrong = f"{show(item.name)} is also data[{seen[item.name]}]"
            yield Problem(f"data[{at}].name", wrong, "give each row its own name, or merge the rows")
        seen.setdefault(item.name, at)


@rule(
    "retention-not-retained", "only data of class retained is locked for a time; elsewhere the number would do nothing"
)
def retention_not_retained(view: View) -> Found:
    """A retention period on data that nothing retains."""
    for at, item in enumerate(view.entry.data):
        if item.retention_days is not None and item.data_class != "retained":
            wrong = f"retention_days is set, but the class is {item.data_class}"
            yield Problem(f"data[{at}].retention_days", wrong, "remove it, or make the class retained")


@rule("retained-without-retention", "a law names a period; without it nobody can say when data may be deleted")
def retained_without_retention(view: View) -> Found:
    """Retained data without a period."""
    for at, item in enumerate(view.entry.data):
        if item.data_class == "retained" and item.retention_days is None:
            wrong = f"{show(item.name)} is retained, but for how long is not said"
            yield Problem(
                f"data[{at}].retention_days", wrong, "set the days the law asks for, for example 2555 (7 years)"
            )


@rule("retained-needs-postgres", "only the PostgreSQL backups can be locked and restored to a moment years later")
def retained_needs_postgres(view: View) -> Found:
    """Retained data in an engine that has no lockable backup."""
    for at, item in enumerate(view.entry.data):
        if item.data_class == "retained" and view.entry.engine != "postgres":
            wrong = f"{show(item.name)} is retained, and {view.entry.engine} cannot keep it as the law asks"
            yield Problem(f"data[{at}].class", wrong, "keep it in a postgres service with backup_class silver or gold")


@rule("retained-needs-off-cluster", "retained data must survive the loss, or the owner, of all members")
def retained_needs_off_cluster(view: View) -> Found:
    """Retained data whose backups stay on the cluster."""
    if "retained" in view.entry.classes and not BACKUPS[view.entry.backup_class].off_cluster:
        wrong = (
            f"retained data is kept here and class {view.entry.backup_class} has no off-cluster repository with a lock"
        )
        yield Problem("backup_class", wrong, "silver (the least that has one) or gold")


@rule(
    "backup-none-durable",
    "replication copies mistakes as fast as data: a wrong DELETE is on all members at once",
    waivable=True,
)
def backup_none_durable(view: View) -> Found:
    """The only copy without a backup."""
    if view.entry.backup_class == "none" and "durable" in view.entry.classes:
        wrong = "durable data is kept here, and there is no backup"
        yield Problem("backup_class", wrong, "bronze, or an accepted_risks item for rule backup-none-durable")


@rule("rto-below-floor", "a budget that no topology meets would be broken by the first failure")
def rto_below_floor(view: View) -> Found:
    """A recovery time below what the engine can do at all."""
    engine, rto = view.entry.engine, view.entry.budget.rto_seconds
    if rto < RTO_FLOOR[engine]:
        wrong = f"{rto} s cannot be met by any topology of {engine}: {RTO_FLOOR_WHY[engine]}"
        nearest = f"{RTO_FLOOR[engine]} s (the floor), or {RTO_EASY[engine]} s (with room for a slow poll)"
        yield Problem("budget.rto_seconds", wrong, nearest)


@rule("planned-outage-above-rto", "planned work would be allowed to hurt more than the loss of a host")
def planned_outage_above_rto(view: View) -> Found:
    """A planned stall longer than the recovery time."""
    budget = view.entry.budget
    if budget.planned_outage_ms > budget.rto_seconds * 1000:
        wrong = f"{budget.planned_outage_ms} ms is more than rto_seconds ({budget.rto_seconds} s)"
        yield Problem("budget.planned_outage_ms", wrong, f"at most {budget.rto_seconds * 1000}")


@rule("planned-outage-below-floor", "every upgrade would stop itself for being over budget")
def planned_outage_below_floor(view: View) -> Found:
    """A planned stall shorter than the engine's fastest lossless leader move."""
    engine, planned = view.entry.engine, view.entry.budget.planned_outage_ms
    if planned < PLANNED_FLOOR_MS[engine]:
        wrong = f"{planned} ms is below what {engine} can do: {PLANNED_FLOOR_WHY[engine]}"
        yield Problem("budget.planned_outage_ms", wrong, f"at least {PLANNED_FLOOR_MS[engine]}")


@rule("replica-lag-above-rpo", "a replica that far behind loses more than the budget when it is promoted")
def replica_lag_above_rpo(view: View) -> Found:
    """A tolerated lag that alone breaks the recovery point."""
    budget = view.entry.budget
    lag = budget.max_replica_lag_seconds
    if lag is not None and 0 < budget.rpo_seconds < lag:
        wrong = f"{lag} s may be lost at a promotion, and rpo_seconds is {budget.rpo_seconds}"
        yield Problem("budget.max_replica_lag_seconds", wrong, f"at most {budget.rpo_seconds}")


@rule("owner-missing", "in production somebody has to decide at 2 a.m.; a placeholder never answers", waivable=False)
def owner_missing(view: View) -> Found:
    """A production service that nobody owns."""
    if view.entry.production and view.entry.owner.strip().lower() in PLACEHOLDERS:
        yield Problem(
            "owner", f"{show(view.entry.owner)} is no owner", "the team that answers, for example team-orders"
        )


@rule("escalation-missing", "in production a failure that reaches nobody lasts until a customer calls")
def escalation_missing(view: View) -> Found:
    """A production service that calls nobody."""
    text = view.entry.escalation.strip().lower()
    target = text.partition(":")[2].strip() if ":" in text else ""
    if view.entry.production and (text in PLACEHOLDERS or target in PLACEHOLDERS):
        wrong = f"{show(view.entry.escalation)} reaches nobody"
        yield Problem("escalation", wrong, "pager:<name> (or phone:, chat:, email:), for example pager:orders-primary")


@rule("change-window-missing", "without a window, planned work runs whenever somebody starts it", waivable=True)
def change_window_missing(view: View) -> Found:
    """A production service without a change window."""
    window = view.entry.change_window
    if view.entry.production and (window is None or window.strip().lower() == "any"):
        wrong = "no change window is declared for a production service"
        yield Problem("change_window", wrong, f"when its users sleep, for example {EXAMPLE}")


@rule("change-window-invalid", "a window that cannot be read would be open always, or never")
def change_window_invalid(view: View) -> Found:
    """A change window nobody can parse."""
    if view.entry.change_window is None:
        return
    try:
        parse_window(view.entry.change_window)
    except WindowError as error:
        yield Problem("change_window", f"{show(view.entry.change_window)}: {error}", f"a window such as {EXAMPLE}")


@rule("profile-not-for-engine", "a profile of another engine has no settings for this one")
def profile_not_for_engine(view: View) -> Found:
    """A tuning profile of another engine."""
    profile, known = view.entry.tuning_profile, PROFILES[view.entry.engine]
    if profile is not None and profile not in known:
        wrong = f"{show(profile)} is no profile of {view.entry.engine}"
        yield Problem("tuning_profile", wrong, did_you_mean(profile, known))


@rule("key-not-for-engine", "the key would be ignored, and somebody believes it is in force")
def key_not_for_engine(view: View) -> Found:
    """A key another engine understands."""
    entry = view.entry
    for key in sorted(entry.given & set(ENGINE_KEYS)):
        if entry.engine not in ENGINE_KEYS[key]:
            yield Problem(key, f"{entry.engine} has no '{key}'; it belongs to {ENGINE_KEYS[key][0]}", "remove it")
    for key in sorted(entry.given_ports - set(DEFAULT_PORTS[entry.engine])):
        nearest = "remove it; this engine has " + ", ".join(DEFAULT_PORTS[entry.engine])
        yield Problem(f"ports.{key}", f"{entry.engine} has no port '{key}'", nearest)


@rule("identifier-unsafe", "the name goes into SQL, ACL files, URLs and shell-free command lines: keep it plain")
def identifier_unsafe(view: View) -> Found:
    """A name with characters that need quoting somewhere, or one that is too long."""
    entry = view.entry
    word, name = r"[a-z_][a-z0-9_]*", r"[A-Za-z0-9][A-Za-z0-9_.-]*"
    # PostgreSQL cuts a name after 63, and derives longer ones: the user's second login, the database's group roles.
    wanted = [("app_user", entry.app_user, word, SECOND_LOGIN if entry.engine == "postgres" else LONGEST)]
    wanted += [("database", entry.database, word, GROUP_ROLES)] if entry.engine == "postgres" else []
    wanted += [("vhost", entry.vhost, name, LONGEST)] if entry.engine == "rabbitmq" else []
    wanted += [("sentinel_name", entry.sentinel_name, name, LONGEST)] if entry.engine == "redis" else []
    for key, value, pattern, length in wanted:
        safe = re.sub(r"[^a-z0-9_]+", "_", value.lower()).strip("_")[: min(length, 60)] or "app"
        if not re.fullmatch(pattern, value, re.ASCII):
            yield Problem(key, f"{show(value)} has characters that are not safe everywhere", f"for example {safe!r}")
        elif len(value) > length:
            wrong = f"{show(value)} has {len(value)} characters, and {length} is the most"
            yield Problem(key, wrong, f"for example {safe!r}")


@rule("identifier-reserved", "the name already belongs to the engine or to Holdfast, with other rights")
def identifier_reserved(view: View) -> Found:
    """A name that is taken."""
    entry = view.entry
    taken = RESERVED_USERS[entry.engine]
    if entry.app_user in taken or (entry.engine == "postgres" and entry.app_user.startswith("pg_")):
        yield Problem(
            "app_user", f"{show(entry.app_user)} is reserved", f"for example {entry.service.replace('-', '_')}_app"
        )
    if entry.engine == "postgres" and entry.database in RESERVED_DATABASES:
        yield Problem(
            "database", f"{show(entry.database)} is reserved", f"for example {entry.service.replace('-', '_')}"
        )


@rule("risk-unknown-rule", "a risk for a rule that does not exist accepts nothing")
def risk_unknown_rule(view: View) -> Found:
    """An accepted risk that names no rule."""
    for at, risk in enumerate(view.entry.accepted_risks):
        if risk.rule not in RULES:
            waivable = [name for name, known in RULES.items() if known.waivable]
            yield Problem(
                f"accepted_risks[{at}].rule", f"no rule is called {show(risk.rule)}", did_you_mean(risk.rule, waivable)
            )


@rule("risk-not-waivable", "breaking this rule loses data or breaks a neighbour: no signature changes that")
def risk_not_waivable(view: View) -> Found:
    """An accepted risk for a rule that cannot be waived."""
    for at, risk in enumerate(view.entry.accepted_risks):
        if risk.rule in RULES and not RULES[risk.rule].waivable:
            waivable = ", ".join(sorted(name for name, known in RULES.items() if known.waivable))
            wrong = f"rule {risk.rule} cannot be waived"
            yield Problem(f"accepted_risks[{at}].rule", wrong, f"keep the rule; what can be waived: {waivable}")


def risk_end(text: str) -> datetime.date | None:
    """Return the last day of a risk, or None where the text is no date."""
    try:
        return datetime.date.fromisoformat(text) if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text, re.ASCII) else None
    except ValueError:
        return None


@rule("risk-expired", "a risk is accepted for a time, so that somebody looks at it again")
def risk_expired(view: View) -> Found:
    """An accepted risk whose time is over, or was never said."""
    for at, risk in enumerate(view.entry.accepted_risks):
        end = risk_end(risk.expires)
        if end is None:
            wrong = f"{show(risk.expires)} is no date"
            yield Problem(
                f"accepted_risks[{at}].expires", wrong, f"YYYY-MM-DD, for example {view.today.year + 1}-01-31"
            )
        elif end < view.today:
            wrong = f"the risk was accepted until {end.isoformat()} by {show(risk.approved_by)}"
            yield Problem(
                f"accepted_risks[{at}].expires", wrong, "remove the risk and keep the rule, or have it approved again"
            )
