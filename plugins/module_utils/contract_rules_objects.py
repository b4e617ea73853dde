# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Cross-field rules about PostgreSQL's declared objects."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

from ansible_collections.holdfast.stateful.plugins.module_utils.contract_data import (
    GROUP_ROLES,
    RESERVED_DATABASES,
    RESERVED_USERS,
    SECOND_LOGIN,
)
from ansible_collections.holdfast.stateful.plugins.module_utils.contract_postgres_objects import (
    LEVELS,
    above,
    databases,
    group,
    groups,
    logins,
    retention_floor,
)
from ansible_collections.holdfast.stateful.plugins.module_utils.contract_registry import rule
from ansible_collections.holdfast.stateful.plugins.module_utils.contract_types import (
    Entry,
    Problem,
    View,
    did_you_mean,
    show,
)

Found = Iterator[Problem]
WORD = r"[a-z_][a-z0-9_]{0,%d}"
SPAN = r"(0|[1-9]\d{0,8})(ms|s|min|h|d)?"
SIZE = r"(-1|0|[1-9]\d{0,8})(kB|MB|GB)?"
NAMES = rf"(\"\$user\"|{WORD % 62})(, ?(\"\$user\"|{WORD % 62}))*"
#: What a declared setting may look like; a value with a typing error would be refused on the host, half way through.
SETTINGS = {
    "statement_timeout": (SPAN, "30s"),
    "lock_timeout": (SPAN, "5s"),
    "idle_in_transaction_session_timeout": (SPAN, "1min"),
    "idle_session_timeout": (SPAN, "1h"),
    "transaction_timeout": (SPAN, "10min"),
    "temp_file_limit": (SIZE, "1GB"),
    "work_mem": (SIZE, "16MB"),
    "search_path": (NAMES, "sales, public"),
    "timezone": (r"[A-Za-z0-9_+-]{1,30}(/[A-Za-z0-9_+-]{1,30}){0,2}", "UTC"),
    "default_transaction_isolation": (
        "read committed|repeatable read|serializable",
        "repeatable read",
    ),
    "default_transaction_read_only": ("on|off", "on"),
    "random_page_cost": (r"\d{1,3}(\.\d{1,3})?", "1.1"),
}


def _named(entry: Entry) -> Iterator[tuple[str, str, str, int]]:
    """Yield key, kind, name and greatest length of everything that is given a name."""
    objects = entry.objects
    for at, base in enumerate(objects.databases):
        yield f"objects.databases[{at}].name", "database", base.name, GROUP_ROLES
        for number, schema in enumerate(base.schemas):
            yield f"objects.databases[{at}].schemas[{number}].name", "schema", schema.name, 63
    for at, role in enumerate(objects.logins):
        yield f"objects.logins[{at}].name", "login", role.name, SECOND_LOGIN
    for at, role in enumerate(objects.groups):
        yield f"objects.groups[{at}].name", "group", role.name, 63
    for at, item in enumerate(objects.partitions):
        # Partitions are named after the table and the day they begin.
        yield f"objects.partitions[{at}].table", "table", item.table, 50
        yield f"objects.partitions[{at}].schema", "schema", "" if item.schema == "public" else item.schema, 63
        yield f"objects.partitions[{at}].column", "column", item.column, 63


@rule("objects-name-unsafe", "the name goes into SQL, access rows and file names: keep it plain", engine="postgres")
def objects_name_unsafe(view: View) -> Found:
    """A name with characters that need quoting somewhere, or one that is too long."""
    for key, kind, name, length in _named(view.entry):
        if name and not re.fullmatch(WORD % (length - 1), name, re.ASCII):
            safe = re.sub(r"[^a-z0-9_]+", "_", name.lower()).strip("_")[:length] or "name"
            wrong = f"{show(name)} is no plain {kind} name of at most {length} characters"
            yield Problem(key, wrong, f"for example {safe!r}")
    for at, base in enumerate(view.entry.objects.databases):
        for number, name in enumerate(base.extensions):
            if not re.fullmatch(r"[a-z][a-z0-9_-]{0,62}", name, re.ASCII):
                key = f"objects.databases[{at}].extensions[{number}]"
                yield Problem(key, f"{show(name)} is no name of an extension", "for example pg_trgm")


@rule(
    "objects-name-reserved",
    "the name already belongs to PostgreSQL or to Holdfast, with other rights",
    engine="postgres",
)
def objects_name_reserved(view: View) -> Found:
    """A name that is taken."""
    entry = view.entry
    # Names of secrets of the service: the application's user's is called app.
    own = ("pooler", "pooler-admin", "etcd", "etcd-release")
    secrets = {f"{name}{end}" for name in own for end in ("", "_b", "_active", "_previous")}
    secrets |= {"app"} if entry.app_user != "app" else set()
    roles = RESERVED_USERS["postgres"] | secrets
    for key, kind, name, _length in _named(entry):
        taken = {"database": RESERVED_DATABASES, "login": roles, "group": roles}.get(kind, frozenset())
        if kind == "schema" and not key.startswith("objects.partitions"):
            taken = frozenset({"information_schema", "holdfast", "public"})
        if name in taken or (kind != "column" and name.startswith("pg_")):
            nearest = "leave it out: it is always managed" if name == "public" and kind == "schema" else "another name"
            yield Problem(key, f"{show(name)} is reserved", nearest)


@rule("objects-duplicate", "two declarations of one object leave open which of them holds", engine="postgres")
def objects_duplicate(view: View) -> Found:
    """One name for two objects."""
    entry = view.entry
    derived = {group(item.name, level): item.name for item in databases(entry) for level in LEVELS}
    seen: dict[tuple[str, ...], str] = {}
    for key, kind, name, _length in _named(entry):
        if kind in ("table", "column") or key.startswith("objects.partitions"):
            continue
        where = key.rpartition(".schemas")[0] if kind == "schema" else ""
        mark = ("role" if kind in ("login", "group") else kind, where, name)
        if mark in seen:
            yield Problem(key, f"{show(name)} is also {seen[mark]}", "declare it once")
        if mark[0] == "role" and name in derived:
            yield Problem(key, f"{show(name)} is a group role of database {derived[name]}", "another name")
        if kind == "group" and name == entry.app_user:
            yield Problem(key, f"{show(name)} is the application's user, which logs in", "list it under logins")
        seen.setdefault(mark, key)
    if entry.app_user in derived:
        wrong = f"{show(entry.app_user)} is a group role of database {derived[entry.app_user]}"
        yield Problem("app_user", wrong, "another name")
    tables: dict[tuple[str, str, str], int] = {}
    for at, item in enumerate(entry.objects.partitions):
        table = (item.database or entry.database, item.schema, item.table)
        if table in tables:
            wrong = f"{show(item.table)} is also objects.partitions[{tables[table]}]"
            yield Problem(f"objects.partitions[{at}].table", wrong, "declare it once")
        tables.setdefault(table, at)


@rule("objects-derived-name", "Holdfast gives that name to something of its own", engine="postgres")
def objects_derived_name(view: View) -> Found:
    """A name that a rotation or the pooler derives from another declared one."""
    entry = view.entry
    derived: dict[tuple[str, str], str] = {}
    for role in logins(entry):
        derived["role", f"{role.name}_b"] = f"the second login of {role.name}, for rotations"
        for word in ("active", "previous"):
            derived["role", f"{role.name}_{word}"] = f"what a rotation notes about {role.name}"
    for base in databases(entry):
        derived["database", f"{base.name}_ro"] = f"the pooler's name of {base.name} on replicas"
    own = [("app_user", "login", entry.app_user, 0), ("database", "database", entry.database, 0)]
    for key, kind, name, _length in [*own, *_named(entry)]:
        what = derived.get(("role" if kind in ("login", "group") else kind, name))
        if what:
            yield Problem(key, f"{show(name)} is {what}", "another name")


@rule("objects-unknown", "a misspelt name would give rights to nobody, or to a role nobody reviewed", engine="postgres")
def objects_unknown(view: View) -> Found:
    """A reference to something that is not declared."""
    entry, objects = view.entry, view.entry.objects
    group_names = {item.name for item in groups(entry)}
    login_names = {item.name for item in logins(entry)}
    bases = {item.name: {"public", *(schema.name for schema in item.schemas)} for item in databases(entry)}
    wanted: list[tuple[str, str, set[str]]] = []
    for at, base in enumerate(objects.databases):
        owners = group_names | login_names
        wanted += [(f"objects.databases[{at}].owner", base.owner, owners)] if base.owner else []
        wanted += [
            (f"objects.databases[{at}].schemas[{number}].owner", schema.owner, owners)
            for number, schema in enumerate(base.schemas)
            if schema.owner
        ]
    for kind, roles in (("logins", objects.logins), ("groups", objects.groups)):
        for at, role in enumerate(roles):
            wanted += [
                (f"objects.{kind}[{at}].member_of[{number}]", name, group_names)
                for number, name in enumerate(role.member_of)
            ]
    for at, row in enumerate(objects.hba):
        wanted.append((f"objects.hba[{at}].user", row.user, login_names))
        wanted.append((f"objects.hba[{at}].database", row.database, set(bases)))
    for at, item in enumerate(objects.partitions):
        base_name = item.database or entry.database
        wanted.append((f"objects.partitions[{at}].database", base_name, set(bases)))
        wanted.append((f"objects.partitions[{at}].schema", item.schema, bases.get(base_name, {item.schema})))
        if item.data is not None:
            wanted.append((f"objects.partitions[{at}].data", item.data, {row.name for row in entry.data}))
    for key, name, known in wanted:
        if name not in known:
            yield Problem(key, f"{show(name)} is not declared", did_you_mean(name, known))


@rule("objects-membership-cycle", "PostgreSQL refuses a circle of memberships, half way through", engine="postgres")
def objects_membership_cycle(view: View) -> Found:
    """A role that is above itself."""
    entry = view.entry
    for kind, roles in (("logins", entry.objects.logins), ("groups", entry.objects.groups)):
        for at, role in enumerate(roles):
            if role.name in above(entry, role.name):
                wrong = f"{show(role.name)} is a member of itself, by way of {', '.join(role.member_of)}"
                nearest = "the owner of a database has the rights of all its groups: leave them out"
                yield Problem(f"objects.{kind}[{at}].member_of", wrong, nearest)


@rule(
    "objects-hba-network", "a row reaches no further than the firewall, and both come from clients", engine="postgres"
)
def objects_hba_network(view: View) -> Found:
    """An access row for a network that is not declared."""
    allowed = []
    for text in view.entry.clients:
        try:
            allowed.append(ipaddress.ip_network(text))
        except ValueError:
            continue
    for at, row in enumerate(view.entry.objects.hba):
        key = f"objects.hba[{at}].network"
        try:
            network = ipaddress.ip_network(row.network)
        except ValueError:
            yield Problem(key, f"{show(row.network)} is no network in CIDR notation", "for example 10.20.0.0/16")
            continue
        if not any(network.version == other.version and network.subnet_of(other) for other in allowed):  # type: ignore[arg-type]
            nearest = f"a part of {', '.join(map(str, allowed)) or 'clients, which is empty'}, or add it to clients"
            yield Problem(key, f"{row.network} is inside no network of clients", nearest)


@rule("objects-setting-value", "PostgreSQL would refuse the value on the host, half way through", engine="postgres")
def objects_setting_value(view: View) -> Found:
    """A setting whose value PostgreSQL does not take."""
    objects = view.entry.objects
    rows = [(f"objects.databases[{at}].settings", item.settings) for at, item in enumerate(objects.databases)]
    rows += [(f"objects.logins[{at}].settings", item.settings) for at, item in enumerate(objects.logins)]
    for key, settings in rows:
        for name, value in settings:
            pattern, example = SETTINGS[name]
            if not re.fullmatch(pattern, value, re.ASCII):
                yield Problem(f"{key}.{name}", f"{show(value)} is no value of {name}", f"for example {example!r}")
            elif name == "transaction_timeout" and view.entry.version.series in ("15", "16"):
                wrong = f"PostgreSQL {view.entry.version.series} has no transaction_timeout"
                yield Problem(
                    f"{key}.{name}", wrong, "remove it; statement_timeout and idle_in_transaction_session_timeout bound"
                )


@rule("objects-retention", "a partition that expires too early deletes what the law wants kept", engine="postgres")
def objects_retention(view: View) -> Found:
    """Partitions that expire before their data may."""
    for at, item in enumerate(view.entry.objects.partitions):
        floor = retention_floor(view.entry, item)
        if item.retention_days is not None and item.retention_days < floor:
            kept = f"and the data is retained for {floor}"
            wrong = f"partitions of {show(item.table)} expire after {item.retention_days} days, {kept}"
            yield Problem(
                f"objects.partitions[{at}].retention_days", wrong, f"{floor}, or remove it: they stay for ever"
            )
