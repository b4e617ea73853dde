# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A second login for a role, so that its password is changed while both are valid: docs/adr/0072."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.holdfast.stateful.plugins.module_utils.postgres_objects import (
    PLAIN,
    QUIET,
    ObjectsError,
    quote,
    scram_matches,
    scram_verifier,
    session,
)

LOOK = (
    "SELECT r.rolname, r.rolcanlogin, r.rolpassword, r.rolconnlimit,"
    " EXISTS (SELECT FROM pg_auth_members m WHERE m.member = r.oid AND m.roleid = o.oid),"
    " coalesce('role=' || quote_ident(o.rolname) = ANY (s.setconfig), false)"
    " OR coalesce('role=' || o.rolname = ANY (s.setconfig), false)"
    " FROM pg_authid r JOIN pg_authid o ON o.rolname = %s"
    " LEFT JOIN pg_db_role_setting s ON s.setrole = r.oid AND s.setdatabase = 0 WHERE r.rolname = ANY (%s)"
)


@dataclass(frozen=True)
class Pair:
    """A role that owns things, and its second login that becomes the role as soon as it is in."""

    role: str
    second: str
    password: str
    second_password: str

    def statements(
        self, found: Mapping[str, Mapping[str, Any]], salt: Callable[[], bytes] = lambda: os.urandom(16)
    ) -> list[tuple[str, str]]:
        """Return (what, SQL) for everything that differs, in an order that works."""
        owner = found.get(self.role)
        if owner is None:
            raise ObjectsError(f"{self.role}: expected the role, found none: run site.yml first")
        steps: list[tuple[str, str]] = []
        role, second, limit = quote(self.role), quote(self.second), f"{int(owner['limit']):d}"
        have = found.get(self.second)
        if have is None:
            secret = scram_verifier(self.second_password, salt())
            login = f"LOGIN INHERIT {PLAIN} CONNECTION LIMIT {limit} PASSWORD '{secret}'"
            steps.append((f"create login {self.second}", f"CREATE ROLE {second} {login} IN ROLE {role}"))
        elif not have["member"]:
            raise ObjectsError(
                f"{self.second}: expected a second login of {self.role}, found another role of that name"
            )
        else:
            if not have["login"] or have["limit"] != owner["limit"]:
                steps.append((f"let {self.second} log in", f"ALTER ROLE {second} LOGIN CONNECTION LIMIT {limit}"))
            if not scram_matches(self.second_password, have["verifier"]):
                secret = scram_verifier(self.second_password, salt())
                steps.append((f"set the password of {self.second}", f"ALTER ROLE {second} PASSWORD '{secret}'"))
        if have is None or not have["becomes"]:
            # What it makes belongs to the role, as if the role itself had logged in.
            steps.append((f"let {self.second} become {self.role}", f"ALTER ROLE {second} SET role = {role}"))
        if not scram_matches(self.password, owner["verifier"]):
            secret = scram_verifier(self.password, salt())
            steps.append((f"set the password of {self.role}", f"ALTER ROLE {role} PASSWORD '{secret}'"))
        return steps


def look(cursor: Any, pair: Pair) -> dict[str, dict[str, Any]]:
    """Observe the role and its second login."""
    cursor.execute(LOOK, (pair.role, [pair.role, pair.second]))
    keys = ("login", "verifier", "limit", "member", "becomes")
    return {row[0]: dict(zip(keys, row[1:], strict=True)) for row in cursor.fetchall()}


def converge_pairs(port: int, pairs: Sequence[Pair], check: bool) -> list[str]:
    """Observe and, unless checking, change what differs on the leader; return what was or would be done."""
    done: list[str] = []
    with session(port) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT pg_is_in_recovery()")
        if cursor.fetchone()[0]:
            return []
        for statement in QUIET:
            cursor.execute(statement)
        for pair in pairs:
            for what, sql in pair.statements(look(cursor, pair)):
                done.append(what)
                if check:
                    continue
                try:
                    cursor.execute(sql)
                except Exception as error:  # noqa: BLE001 - psycopg2 is only on the host, and nothing of it may pass
                    # The statement holds a verifier: only its purpose and PostgreSQL's code go out.
                    code = getattr(error, "pgcode", None) or type(error).__name__
                    raise ObjectsError(f"{what}: expected success, found {code}") from None
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
    with session(port) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT usename, array_agg(DISTINCT coalesce(host(client_addr), 'local')) FROM pg_stat_activity"
            " WHERE usename = ANY (%s) AND pid <> pg_backend_pid() GROUP BY usename",
            (list(users),),
        )
        return {row[0]: sorted(row[1]) for row in cursor.fetchall()}
