# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Roles of a PostgreSQL cluster: logins and groups, their limits, settings and memberships."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.holdfast.stateful.plugins.module_utils.postgres_objects import (
    PLAIN,
    ObjectsError,
    Step,
    quote,
    scram_matches,
    scram_verifier,
    setting,
    settings_of,
)

LOOK = (
    "SELECT r.rolname::text, r.rolcanlogin,"
    " r.rolsuper OR r.rolcreatedb OR r.rolcreaterole OR r.rolreplication OR r.rolbypassrls, r.rolconnlimit,"
    " r.rolpassword, ARRAY(SELECT g.rolname::text FROM pg_auth_members m JOIN pg_authid g ON g.oid = m.roleid"
    " WHERE m.member = r.oid), s.setconfig FROM pg_authid r"
    " LEFT JOIN pg_db_role_setting s ON s.setrole = r.oid AND s.setdatabase = 0"
)
LOOK_ACTING = (
    "SELECT r.rolname::text, d.datname::text, s.setconfig FROM pg_db_role_setting s"
    " JOIN pg_authid r ON r.oid = s.setrole JOIN pg_database d ON d.oid = s.setdatabase"
)


@dataclass
class RoleFound:
    """A role as it is."""

    login: bool = True
    elevated: bool = False
    connection_limit: int = -1
    verifier: str | None = None
    member_of: frozenset[str] = frozenset()
    settings: dict[str, str] = field(default_factory=dict)
    acts_as: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Group:
    """A role that nobody logs in as."""

    name: str
    member_of: tuple[str, ...] = ()


@dataclass(frozen=True)
class Login:
    """A role that logs in; in the databases of ``acts_as`` its sessions begin as that role."""

    name: str
    password: str = field(repr=False)
    connection_limit: int = -1
    member_of: tuple[str, ...] = ()
    settings: Mapping[str, str] = field(default_factory=dict)
    acts_as: Mapping[str, str] = field(default_factory=dict)


def look(cursor: Any) -> dict[str, RoleFound]:
    """Return every role by name."""
    cursor.execute(LOOK)
    found = {
        name: RoleFound(login, elevated, limit, verifier, frozenset(member_of), settings_of(config))
        for name, login, elevated, limit, verifier, member_of, config in cursor.fetchall()
    }
    cursor.execute(LOOK_ACTING)
    for name, database, config in cursor.fetchall():
        acting = settings_of(config).get("role")
        if name in found and acting is not None:
            found[name].acts_as[database] = acting
    return found


def plan_roles(
    groups: Sequence[Group],
    logins: Sequence[Login],
    found: Mapping[str, RoleFound],
    salt: Callable[[], bytes] = lambda: os.urandom(16),
) -> Iterator[Step]:
    """Yield everything that differs in the roles themselves, memberships last: they need both ends."""
    for group in groups:
        yield from _group(group, found.get(group.name))
    for login in logins:
        yield from _login(login, found.get(login.name), salt)
    roles: list[Group | Login] = [*groups, *logins]
    for role in roles:
        seen = found.get(role.name, RoleFound())
        for above in role.member_of:
            if above not in seen.member_of:
                yield Step(f"make {role.name} a member of {above}", f"GRANT {quote(above)} TO {quote(role.name)}")


def plan_acting(logins: Sequence[Login], found: Mapping[str, RoleFound]) -> Iterator[Step]:
    """Yield what makes sessions begin as the owner, so that what they make belongs to it; needs the databases."""
    for login in logins:
        seen = found.get(login.name, RoleFound())
        for database, role in login.acts_as.items():
            if seen.acts_as.get(database) != role:
                where = f"ALTER ROLE {quote(login.name)} IN DATABASE {quote(database)}"
                what = f"let {login.name} act as {role} in {database}"
                yield Step(what, f"{where} SET role = {setting('role', role)[1]}")


def _group(group: Group, found: RoleFound | None) -> Iterator[Step]:
    name = quote(group.name)
    if found is None:
        yield Step(f"create group {group.name}", f"CREATE ROLE {name} NOLOGIN {PLAIN}")
    elif found.login:
        raise ObjectsError(
            f"role {group.name}: expected a group that nobody logs in as, found a login: rename it, or declare another"
            " group; nothing was changed"
        )
    elif found.elevated:
        yield Step(f"reduce group {group.name} to a plain group", f"ALTER ROLE {name} NOLOGIN {PLAIN}")


def _login(login: Login, found: RoleFound | None, salt: Callable[[], bytes]) -> Iterator[Step]:
    name, limit = quote(login.name), f"CONNECTION LIMIT {login.connection_limit:d}"
    if found is None:
        secret = scram_verifier(login.password, salt())
        sql = f"CREATE ROLE {name} LOGIN {PLAIN} {limit} PASSWORD '{secret}'"
        yield Step(f"create role {login.name}", sql, secret=True)
    else:
        if found.elevated or not found.login:
            yield Step(f"reduce role {login.name} to a plain login", f"ALTER ROLE {name} LOGIN {PLAIN}")
        if found.connection_limit != login.connection_limit:
            yield Step(f"limit the connections of {login.name}", f"ALTER ROLE {name} {limit}")
        if not scram_matches(login.password, found.verifier):
            secret = scram_verifier(login.password, salt())
            yield Step(f"set the password of {login.name}", f"ALTER ROLE {name} PASSWORD '{secret}'", secret=True)
    settings = found.settings if found else {}
    for key, value in sorted(login.settings.items()):
        stored, sql = setting(key, value)
        if settings.get(key) != stored:
            yield Step(f"set {key} of {login.name} to {value}", f"ALTER ROLE {name} SET {key} = {sql}")


def drift(
    groups: Sequence[Group], logins: Sequence[Login], found: Mapping[str, RoleFound], known: Sequence[str]
) -> Iterator[str]:
    """Yield what is there and not declared; ``known`` are roles of Holdfast itself."""
    roles: list[Group | Login] = [*groups, *logins]
    declared = {role.name: role for role in roles}
    for name, seen in sorted(found.items()):
        if name.startswith("pg_") or name in known:
            continue
        role = declared.get(name)
        if role is None:
            yield f"role {name} is not declared"
            continue
        for above in sorted(seen.member_of - set(role.member_of)):
            yield f"role {name} is a member of {above}, which is not declared"
        wanted = role.settings if isinstance(role, Login) else {}
        for key in sorted(set(seen.settings) - set(wanted)):
            yield f"role {name} has a setting {key}, which is not declared"
        acting = role.acts_as if isinstance(role, Login) else {}
        for database in sorted(set(seen.acts_as) - set(acting)):
            yield f"role {name} acts as {seen.acts_as[database]} in {database}, which is not declared"
