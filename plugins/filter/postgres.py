# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters that decide on the controller about PostgreSQL and its poolers."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.holdfast.stateful.plugins.module_utils.postgres_locale import merged
from ansible_collections.holdfast.stateful.plugins.module_utils.postgres_objects import scram_verifier
from ansible_collections.holdfast.stateful.plugins.module_utils.postgres_restart_order import (
    OrderError,
    restart_phases,
)


def stable_verifier(password: str, scope: str) -> str:
    """Return a SCRAM verifier that is the same on every run, so that a file that holds it does not change.

    The salt comes from the scope alone: one made from the password would let it be guessed without the iterations.
    """
    return scram_verifier(password, hashlib.sha256(f"holdfast salt {scope}".encode()).digest()[:16])


def postgres_restart_plan(hostvars: Mapping[str, Any], hosts: list[str], variable: str) -> dict[str, list[str]]:
    """Return who restarts, in phases: `standbys`, `leader`, `standbys_again`.

    `hostvars` holds, under the name `variable`, what holdfast.stateful.patroni_config returned on each host.
    """
    members: dict[str, Mapping[str, Any]] = {}
    for name in hosts:
        found = hostvars[name].get(variable) if name in hostvars else None
        if not isinstance(found, Mapping) or "running" not in found:
            raise AnsibleFilterError(f"{name}: expected what waits for a restart there, found nothing: run again")
        members[name] = found
    leaders = {str(item["leader"]) for item in members.values()}
    if len(leaders) != 1:
        raise AnsibleFilterError(f"expected one leader, members saw {', '.join(sorted(leaders))}: run again")
    try:
        return restart_phases(leaders.pop(), members)
    except OrderError as error:
        raise AnsibleFilterError(str(error)) from error


def without_nulls(value: Any) -> Any:
    """Return nested dictionaries without the keys whose value is null: a bootstrap has nothing to remove."""
    if not isinstance(value, Mapping):
        return value
    return {key: without_nulls(item) for key, item in value.items() if item is not None}


def tls_endpoints(contract: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return every port of a PostgreSQL service that serves its host's certificate."""
    settings = contract["settings"]
    found = []
    for member in contract["members"]:
        found.append({"service": "PostgreSQL", "port": settings["port"], "postgres": True, **member})
        found.append({"service": "PgBouncer", "port": settings["pooler"]["port"], "postgres": True, **member})
        found.append({"service": "Patroni", "port": settings["restapi_port"], "postgres": False, **member})
    for member in settings["etcd"]["members"]:
        found.append({"service": "etcd", "port": settings["etcd"]["client_port"], "postgres": False, **member})
        found.append({"service": "etcd peers", "port": settings["etcd"]["peer_port"], "postgres": False, **member})
    return found


def postgres_rotatable(settings: Mapping[str, Any], monitor: str) -> dict[str, dict[str, str]]:
    """Return every role whose password is rotated, by the name of its secret: the role, and a database it may enter.

    The database is empty where nothing is open to the role.
    """
    objects = settings["objects"]
    entered = {row["user"]: row["database"] for row in reversed(objects["hba"])}
    found = {
        item["secret"]: {"role": item["name"], "database": entered.get(item["name"], "")} for item in objects["logins"]
    }
    found["app"]["database"] = settings["database"]
    pooler = {"role": settings["pooler"]["lookup_user"], "database": "postgres"}
    return {**found, "monitor": {"role": monitor, "database": "postgres"}, "pooler": pooler}


def _pair(name: str, passwords: Sequence[str]) -> list[dict[str, Any]]:
    """Return a user of the consensus store and, where it has a password, its second one."""
    first, second = passwords
    if not first:
        raise AnsibleFilterError(f"{name}: expected its password in the secrets file, found none: run site.yml")
    users = [{"name": name, "password": first}, {"name": f"{name}_b", "password": second}]
    return [user for user in users if user["password"]]


def postgres_store_users(scope: str, patroni: Sequence[str], hook: Sequence[str]) -> list[dict[str, Any]]:
    """Return a scope's users of the consensus store and what they may do, from the passwords of both users of each.

    A password is rotated by going from one user to the other; an empty second password stands for no second user.
    """
    prefix = f"/service/{scope}/"
    reach = [{"access": "READWRITE", "prefix": prefix}]
    look = [{"access": "READ", "prefix": prefix}, {"access": "WRITE", "key": f"{prefix}leader"}]
    mine = [{**user, "grants": reach} for user in _pair(f"patroni-{scope}", patroni)]
    return mine + [{**user, "grants": look} for user in _pair(f"patroni-{scope}-release", hook)]


def postgres_store_roots(passwords: Sequence[str]) -> list[dict[str, Any]]:
    """Return the users that are root of the consensus store, from the passwords of both."""
    return _pair("root", passwords)


class FilterModule:
    """Register the filters."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return {
            "initdb_options": merged,
            "scram_verifier": stable_verifier,
            "postgres_restart_plan": postgres_restart_plan,
            "postgres_rotatable": postgres_rotatable,
            "postgres_store_roots": postgres_store_roots,
            "postgres_store_users": postgres_store_users,
            "tls_endpoints": tls_endpoints,
            "without_nulls": without_nulls,
        }
