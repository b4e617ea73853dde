"""A second login that becomes its role at once may end its own session, where its server does not lead."""

from __future__ import annotations

from pathlib import Path

import yaml

VARS = Path(__file__).resolve().parents[4] / "roles/pgbouncer/vars/main.yml"


def test_the_session_is_ended_as_the_login_and_the_role_comes_back() -> None:
    first, second = yaml.safe_load(VARS.read_text())["__pgbouncer_leader_only"].split("; ")
    # PostgreSQL lets nobody end a session of a login that only has the role, and PgBouncer ignores its error.
    assert first == "set local role none", "local: the role is back when both statements are done"
    assert second.startswith("select pg_terminate_backend(pg_backend_pid()) where")
