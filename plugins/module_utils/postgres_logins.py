# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A second login for a role, so that its password is changed while both are valid: docs/adr/0072."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.holdfast.stateful.plugins.module_utils import postgres_roles
from ansible_collections.holdfast.stateful.plugins.module_utils.postgres_objects import (
    ObjectsError,
    Step,
    execute,
    in_recovery,
    session,
)
from ansible_collections.holdfast.stateful.plugins.module_utils.postgres_roles import Login, RoleFound


@dataclass(frozen=True)
class Pair:
    """A role that owns things, and its second login that becomes the role as soon as it is in."""

    role: str
    second: str
    password: str
    second_password: str

    def steps(self, found: Mapping[str, RoleFound], salt: Callable[[], bytes] = lambda: os.urandom(16)) -> list[Step]:
        """Return everything that differs, in an order that works."""
        role = found.get(self.role)
        if role is None:
            raise ObjectsError(f"{self.role}: expected the role, found none: run site.yml first")
        if self.second in found and self.role not in found[self.second].member_of:
            raise ObjectsError(
                f"{self.second}: expected a second login of {self.role}, found another role of that name"
            )
        # What it makes belongs to the role, and what limits the role limits it, as if the role itself had logged in.
        becomes = {**role.settings, "role": self.role}
        second = Login(
            self.second, self.second_password, role.connection_limit, (self.role,), becomes, dict(role.acts_as)
        )
        logins = [Login(self.role, self.password, role.connection_limit), second]
        return [
            *postgres_roles.plan_roles([], logins, found, salt),
            *postgres_roles.plan_acting(logins, found),
        ]


def converge_pairs(port: int, pairs: Sequence[Pair], check: bool) -> list[str]:
    """Observe and, unless checking, change what differs on the leader; return what was or would be done."""
    done: list[str] = []
    with session(port) as cursor:
        if in_recovery(cursor):
            return []
        for pair in pairs:
            for step in pair.steps(postgres_roles.look(cursor)):
                done.append(step.what)
                if not check:
                    execute(cursor, step)
    return done


def prove_login(where: Mapping[str, Any], user: str, password: str, timeout: float) -> None:
    """Log in over the network as a client does, again until it works or the deadline is over."""
    import psycopg2  # type: ignore[import-untyped,unused-ignore]

    deadline = time.monotonic() + timeout
    while True:
        try:
            psycopg2.connect(**where, user=user, password=password, connect_timeout=5).close()
        except psycopg2.Error as error:
            if time.monotonic() >= deadline:
                said = str(error).strip().splitlines()[-1:]
                raise ObjectsError(f"{user}: expected to log in here within {timeout:g} s, found: {said}") from None
        else:
            return
        time.sleep(0.3)


def sessions_of(port: int, users: Sequence[str]) -> dict[str, list[str]]:
    """Return from which addresses each of the logins is in use on this host's server."""
    with session(port) as cursor:
        cursor.execute(
            "SELECT usename, array_agg(DISTINCT coalesce(host(client_addr), 'local')) FROM pg_stat_activity"
            " WHERE usename = ANY (%s) AND pid <> pg_backend_pid() GROUP BY usename",
            (list(users),),
        )
        return {row[0]: sorted(row[1]) for row in cursor.fetchall()}
