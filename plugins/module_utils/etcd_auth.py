# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""etcd's users, each with a role of the same name that holds its grants: compared with what is wanted, then converged.

The root user exists for this module and for maintenance alone. Source of the rules: etcd's documentation, "Role-based
access control"; certificates' common names can't stand for users behind the JSON gateway, which Patroni uses.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.holdfast.stateful.plugins.module_utils.etcd import EtcdClient, EtcdError, LoginRefusedError

ROOT = "root"


def encode(text: str) -> str:
    """Return what the JSON gateway takes as bytes."""
    return base64.b64encode(text.encode()).decode()


def prefix_end(prefix: str) -> str:
    """Return the end of the range of all keys that begin with `prefix`."""
    return prefix[:-1] + chr(ord(prefix[-1]) + 1)


@dataclass(frozen=True)
class Grant:
    """A permission as etcd stores it; `key` and `range_end` are in the gateway's base64."""

    access: str
    key: str
    range_end: str

    @classmethod
    def wanted(cls, grant: Mapping[str, Any]) -> Grant:
        """Read a declared grant: `access`, and either `key` or `prefix`."""
        if grant.get("prefix"):
            return cls(grant["access"], encode(grant["prefix"]), encode(prefix_end(grant["prefix"])))
        return cls(grant["access"], encode(grant["key"]), "")

    @classmethod
    def found(cls, item: Mapping[str, Any]) -> Grant:
        """Read etcd's answer, which leaves the first value of an enumeration out."""
        return cls(str(item.get("permType") or "READ"), str(item.get("key") or ""), str(item.get("range_end") or ""))


def compare_grants(found: Sequence[Grant], wanted: Sequence[Grant]) -> tuple[list[Grant], list[Grant]]:
    """Return what to grant and what to revoke; granting on a range that is there replaces its access."""
    places = {(grant.key, grant.range_end) for grant in wanted}
    missing = [grant for grant in wanted if grant not in found]
    surplus = [grant for grant in found if (grant.key, grant.range_end) not in places]
    return missing, surplus


class Converger:
    """Converges users through one member; collects what it did, or in check mode would do."""

    def __init__(self, client: EtcdClient, base: str, check: bool) -> None:
        """Take a client whose user is root."""
        self.client, self.base, self.check = client, base, check
        self.done: list[str] = []
        self.given: list[tuple[str, str]] = []

    def act(self, what: str, path: str, body: Mapping[str, Any]) -> None:
        """Note and, but for check mode, do."""
        self.done.append(what)
        if not self.check:
            self.client.post(self.base, path, body)

    def names(self, kind: str) -> set[str]:
        """Return the users or roles that exist."""
        return set(self.client.post(self.base, f"/v3/auth/{kind}/list").get(f"{kind}s") or [])

    def user(self, name: str, password: str, roles: set[str], users: set[str], *, enabled: bool) -> None:
        """Converge one user, its password and its roles."""
        if name not in users:
            self.act(f"user {name} added", "/v3/auth/user/add", {"name": name, "password": password})
            self.given.append((name, password))
            held: set[str] = set()
        else:
            held = set(self.client.post(self.base, "/v3/auth/user/get", {"name": name}).get("roles") or [])
            if not (enabled and self.knows(name, password)):
                body = {"name": name, "password": password}
                self.act(f"password of user {name} set", "/v3/auth/user/changepw", body)
                self.given.append((name, password))
        for role in sorted(roles - held):
            self.act(f"role {role} given to user {name}", "/v3/auth/user/grant", {"user": name, "role": role})
        for role in sorted(held - roles):
            self.act(f"role {role} taken from user {name}", "/v3/auth/user/revoke", {"name": name, "role": role})

    def knows(self, name: str, password: str) -> bool:
        """Say whether a user may log in with a password."""
        probe = EtcdClient.like(self.client, name, password)
        try:
            return probe.login(self.base)
        except LoginRefusedError:
            return False

    def prove(self) -> None:
        """Log in with every password that was set, so that only one that works is handed out."""
        for name, password in [] if self.check else self.given:
            if not self.knows(name, password):
                raise EtcdError(
                    f"{self.base}: expected user {name} to log in with the password just set, found refused"
                )

    def role(self, name: str, grants: Sequence[Grant], roles: set[str]) -> None:
        """Converge one role's grants."""
        found: list[Grant] = []
        if name not in roles:
            self.act(f"role {name} added", "/v3/auth/role/add", {"name": name})
        else:
            answer = self.client.post(self.base, "/v3/auth/role/get", {"role": name})
            found = [Grant.found(item) for item in answer.get("perm") or []]
        missing, surplus = compare_grants(found, grants)
        for grant in missing:
            permission = {"permType": grant.access, "key": grant.key, "range_end": grant.range_end}
            self.act(f"grant to role {name}", "/v3/auth/role/grant", {"name": name, "perm": permission})
        for grant in surplus:
            body = {"role": name, "key": grant.key, "range_end": grant.range_end}
            self.act(f"grant revoked from role {name}", "/v3/auth/role/revoke", body)


def converge(
    client: EtcdClient,
    base: str,
    users: Sequence[Mapping[str, Any]],
    roots: Sequence[Mapping[str, Any]] = (),
    *,
    check: bool,
) -> list[str]:
    """Converge who is root, the given users and their roles, and that the cluster asks for them. Return what was done.

    Users that are not given stay as they are: several services may share a cluster. Raises EtcdError.
    """
    masters = {client.user: client.password, **{str(item["name"]): str(item["password"]) for item in roots}}
    if ROOT not in masters:  # etcd asks for users only once it has one of that name
        raise EtcdError(f"{base}: expected {ROOT} among those who are root, found {', '.join(masters) or 'nobody'}")
    enabled = client.login(base)
    work = Converger(client, base, check)
    known_users, known_roles = work.names("user"), work.names("role")
    if not enabled and ROOT not in known_roles:
        work.act(f"role {ROOT} added", "/v3/auth/role/add", {"name": ROOT})
    for name, password in masters.items():
        if not enabled or name != client.user:
            work.user(name, password, {ROOT}, known_users, enabled=enabled)
    for user in users:
        work.role(user["name"], [Grant.wanted(grant) for grant in user["grants"]], known_roles)
        work.user(user["name"], user["password"], {user["name"]}, known_users, enabled=enabled)
    if not enabled:
        work.act("authentication enabled", "/v3/auth/enable", {})
    work.prove()
    return work.done
