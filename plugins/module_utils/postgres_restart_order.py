# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""In which order members restart, so that no standby ever has less of what the leader may use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# A standby whose value is below the leader's can't replay what the leader may write (PostgreSQL, "Hot Standby"), so
# a raise begins with the standbys and a decrease with the leader. The values are Patroni's defaults.
SHARED: dict[str, int] = {
    "max_connections": 100,
    "max_worker_processes": 8,
    "max_wal_senders": 10,
    "max_prepared_transactions": 0,
    "max_locks_per_transaction": 64,
}


class OrderError(Exception):
    """The order can't be told: a sentence that says what was not observed."""


def wanted_shared(parameters: Mapping[str, Any]) -> dict[str, int]:
    """Return what the dynamic configuration leads to; Patroni fills in its defaults."""
    return {name: int(parameters.get(name) or default) for name, default in SHARED.items()}


def restart_phases(leader: str, members: Mapping[str, Mapping[str, Any]]) -> dict[str, list[str]]:
    """Return who restarts: ``standbys``, then ``leader``, then ``standbys_again``; computed from live values only.

    Each member is ``{"pending", "running", "wanted", "waits_for"}``: whether settings wait for a restart, the shared
    values it runs with and shall run with, and the names of all parameters that wait (Patroni 3.3 and later, else
    empty). A standby with nothing but a decrease waits for the leader: before it, Patroni would start it with the old
    value again. One with both is restarted twice, the leader never more than once.
    """
    for name, member in members.items():
        if set(member.get("running") or {}) != set(SHARED) or set(member.get("wanted") or {}) != set(SHARED):
            raise OrderError(f"{name}: expected its running and declared shared-memory values, found not all of them")
        if not member["pending"] and any(member["running"][key] != member["wanted"][key] for key in SHARED):
            raise OrderError(
                f"{name}: runs with other values than declared, but Patroni does not say so yet: run again"
            )
    if leader not in members:
        raise OrderError(f"{leader or 'the leader'}: expected among the members observed, found {sorted(members)}")
    standbys = [name for name in sorted(members) if name != leader and members[name]["pending"]]
    return {
        "standbys": [name for name in standbys if _more_than_decrease(members[name])],
        "leader": [leader] if members[leader]["pending"] else [],
        "standbys_again": [name for name in standbys if _decreases(members[name])],
    }


def _decreases(member: Mapping[str, Any]) -> bool:
    """Say whether a member runs with more than it shall."""
    return any(member["running"][key] > member["wanted"][key] for key in SHARED)


def _more_than_decrease(member: Mapping[str, Any]) -> bool:
    """Say whether a member waits for something else than a decrease too, or for what nobody names."""
    raised = any(member["running"][key] < member["wanted"][key] for key in SHARED)
    other = set(member.get("waits_for") or []) - set(SHARED)
    return raised or bool(other) or not _decreases(member)
