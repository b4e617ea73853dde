# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether a member of a Patroni cluster may be removed or built anew, from what the live members say."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ansible_collections.holdfast.stateful.plugins.module_utils.patroni import (
    SYNC_ROLES,
    MemberView,
    Verdict,
    judge,
)

PAUSED = "automatic failover is paused: resume it first (playbooks/resume_postgres.yml)"


def judge_staying(views: Sequence[MemberView], scope: str, sync_nodes: int, without: str = "") -> Verdict:
    """Judge the declared members of a cluster that some members leave.

    Those that leave are no fault, and while they run they may keep a promise; ``without`` must not be needed for any.
    """
    declared = {view.name for view in views}
    leaving = {str(item.get("name")) for view in views for item in view.listed} - declared - {without}
    return judge(views, scope, sync_nodes, sorted(leaving))


def is_synchronous(views: Sequence[MemberView], name: str) -> bool:
    """Say whether any declared member still sees commits wait for this one."""
    found = [item for view in views for item in view.listed if item.get("name") == name]
    return any(item.get("role") in SYNC_ROLES for item in found)


def removal_blocker(views: Sequence[MemberView], verdict: Verdict, name: str) -> str:
    """Return why a member must not be removed, or "".

    ``views`` are the declared members, which stay. Judged by them the cluster must be healthy and armed, with every
    promise kept and nothing to complain about but the member that leaves.
    """
    leaders = sorted({view.leader for view in views if view.leader} | {view.name for view in views if view.leads})
    if name in leaders:
        return f"{name} leads: move the lead to another member first (a planned switchover), then run again"
    if name in {view.name for view in views}:
        return (
            f"{name} is declared, and the next run of site.yml would bring it back: take it out of the service's group"
            " first, see docs/runbooks/change_postgres_members.md"
        )
    if not leaders:
        return "no member says who leads: nothing is removed from a cluster without a leader"
    wrong = [problem for problem in verdict.problems if not problem.startswith(f"{name}: a member of the cluster")]
    if verdict.leader is None or wrong:
        return "expected the members that stay to be healthy without it, found: " + ("; ".join(wrong) or "no leader")
    # Patroni does not stop PostgreSQL while it is paused, and nobody would take over if the leader died now.
    return PAUSED if verdict.paused else ""


def reinit_blocker(views: Sequence[MemberView], verdict: Verdict, name: str, sync_nodes: int) -> str:
    """Return why a member must not be built anew, or "": it is deleted first, and copied from the leader."""
    if verdict.leader is None:
        return "no leader by agreement, so there is nothing to copy from: " + "; ".join(verdict.problems)
    if verdict.leader == name:
        return f"{name} leads: its data is the cluster's. Move the lead to another member first"
    if verdict.paused:
        return PAUSED
    others = _can_take_over(views, verdict.leader, name)
    wanted = max(1, min(sync_nodes, len(views) - 1))
    if is_synchronous(views, name) and len(others) < wanted:
        return (
            f"{name} is a synchronous standby, which holds every commit, and of the others that could take its place"
            f" {wanted} must stream, found {', '.join(others) or 'none'}: heal them first"
        )
    return ""


def _can_take_over(views: Sequence[MemberView], leader: str, name: str) -> list[str]:
    """Return the other declared standbys that the leader could choose as synchronous ones: they stream, and may be."""
    declared = {view.name for view in views} - {leader, name}
    seen = next(view for view in views if view.name == leader)
    timeline = seen.own.get("timeline")
    return sorted(
        str(item["name"])
        for item in seen.listed
        if item.get("name") in declared and item.get("state") == "streaming" and item.get("timeline") == timeline
        if not (item.get("tags") or {}).get("nosync")
    )


def slot_of(name: str) -> str:
    """Return the name that Patroni gives to a member's replication slot."""
    return re.sub("[^a-z0-9_]", lambda found: "_" if found[0] in "-." else f"u{ord(found[0]):04d}", name.lower())[:63]
