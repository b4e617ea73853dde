# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""All declared objects of a PostgreSQL cluster, compared and converged on the leader; nothing is dropped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.holdfast.stateful.plugins.module_utils import (
    postgres_databases,
    postgres_partitions,
    postgres_privileges,
    postgres_roles,
)
from ansible_collections.holdfast.stateful.plugins.module_utils.postgres_databases import Database
from ansible_collections.holdfast.stateful.plugins.module_utils.postgres_objects import (
    ObjectsError,
    Outcome,
    Step,
    execute,
    leader_session,
)
from ansible_collections.holdfast.stateful.plugins.module_utils.postgres_partitions import Rule
from ansible_collections.holdfast.stateful.plugins.module_utils.postgres_roles import Group, Login

MONITOR_CONNECTIONS = 10


@dataclass(frozen=True)
class Wanted:
    """Everything that is declared; ``known`` are roles and schemas of Holdfast itself."""

    databases: tuple[Database, ...]
    groups: tuple[Group, ...]
    logins: tuple[Login, ...]
    rules: Mapping[str, tuple[Rule, ...]]
    monitor: str
    known: tuple[str, ...] = ()


def wanted_of(
    objects: Mapping[str, Any], passwords: Mapping[str, str], monitor: str, known: tuple[str, ...] = ()
) -> Wanted:
    """Return the typed form of the contract's ``settings.objects`` and the passwords of its logins."""
    missing = sorted({item["name"] for item in objects["logins"]} - set(passwords)) or (
        [] if monitor in passwords else [monitor]
    )
    if missing:
        raise ObjectsError(f"expected a password for every login, found none for {', '.join(missing)}")
    logins = [
        Login(
            item["name"],
            passwords[item["name"]],
            int(item["connection_limit"]),
            tuple(item["member_of"]),
            item["settings"],
            item["acts_as"],
        )
        for item in objects["logins"]
    ]
    rules: dict[str, tuple[Rule, ...]] = {}
    for item in objects["partitions"]:
        days = item["retention_days"]
        rule = Rule(
            item["schema"],
            item["table"],
            item["column"],
            item["interval"],
            int(item["premake"]),
            None if days is None else int(days),
            item["expired"],
        )
        rules[item["database"]] = (*rules.get(item["database"], ()), rule)
    return Wanted(
        databases=tuple(
            Database(
                item["name"],
                item["owner"],
                int(item["connection_limit"]),
                item["settings"],
                tuple(item["extensions"]),
                tuple((schema["name"], schema["owner"]) for schema in item["schemas"]),
            )
            for item in objects["databases"]
        ),
        groups=tuple(Group(item["name"], tuple(item["member_of"])) for item in objects["groups"]),
        logins=(*logins, Login(monitor, passwords[monitor], MONITOR_CONNECTIONS, ("pg_monitor",))),
        rules=rules,
        monitor=monitor,
        known=known,
    )


def converge(port: int, wanted: Wanted, check: bool) -> Outcome:
    """Observe everything, refuse what could only fail half way, then change what differs unless checking."""
    outcome = Outcome()
    with leader_session(port) as cursor:
        roles = postgres_roles.look(cursor)
        bases = postgres_databases.look(cursor)
        steps = list(postgres_roles.plan_roles(wanted.groups, wanted.logins, roles))
        for base in wanted.databases:
            steps += postgres_databases.plan_database(base, bases.get(base.name), wanted.monitor)
        steps += postgres_roles.plan_acting(wanted.logins, roles)
        outcome.drift += postgres_roles.drift(wanted.groups, wanted.logins, roles, ("postgres", *wanted.known))
        outcome.drift += postgres_databases.drift(wanted.databases, bases)
        there = [base for base in wanted.databases if base.name in bases]
        postgres_privileges.check_available(cursor, wanted.databases)
        for base in there:
            _refuse(port, base, wanted)
        _apply(cursor, steps, check, outcome)
    for base in there if check else wanted.databases:
        with leader_session(port, base.name) as cursor:
            _converge_inside(cursor, base, wanted, check, outcome, roles)
    return outcome


def _refuse(port: int, base: Database, wanted: Wanted) -> None:
    """Look into an existing database for what stands against a converge."""
    with leader_session(port, base.name) as cursor:
        postgres_privileges.check_own_schema(cursor, base.name)
        postgres_partitions.check_tables(cursor, base.name, wanted.rules.get(base.name, ()))


def _converge_inside(
    cursor: Any, base: Database, wanted: Wanted, check: bool, outcome: Outcome, roles: Mapping[str, Any]
) -> None:
    if check and not {base.read, base.write} <= set(roles):
        # Without its groups the rights inside can't be compared; that they will be granted is said already.
        return
    found = postgres_privileges.look(cursor, base)
    rules = wanted.rules.get(base.name, ())
    partitions = postgres_partitions.look(cursor)
    steps = list(postgres_privileges.plan_inside(base, found, wanted.monitor))
    defining = list(postgres_partitions.plan_rules(base.name, rules, partitions))
    _apply(cursor, [*steps, *defining], check, outcome)
    outcome.drift += postgres_privileges.drift(base, found, wanted.known)
    outcome.drift += postgres_partitions.drift(base.name, rules, partitions)
    if (rules or partitions.has_table) and not (check and defining):
        todo, waits = postgres_partitions.plan_now(cursor, base.name)
        outcome.drift += waits
        outcome.changes += todo
        if todo and not check:
            postgres_partitions.maintain(cursor, base.name)


def _apply(cursor: Any, steps: list[Step], check: bool, outcome: Outcome) -> None:
    for step in steps:
        if not check:
            execute(cursor, step)
        outcome.changes.append(step.what)
