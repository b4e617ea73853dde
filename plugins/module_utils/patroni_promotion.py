# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The promotion of a standby cluster: its gate, the one write that does it, and the wait for a writable leader."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ansible_collections.holdfast.stateful.plugins.module_utils.patroni import PatroniError
from ansible_collections.holdfast.stateful.plugins.module_utils.patroni_watch import Watch
from ansible_collections.holdfast.stateful.plugins.module_utils.postgres_source import Source, promotion_blockers


def refuse_unready(watch: Watch) -> str:
    """Return who leads; refuse where a majority of the members does not agree on that, or failover is paused."""
    verdict, views = watch.look(), watch.views
    answering = [view for view in views if view.error is None]
    if len(answering) <= len(views) // 2:
        raise PatroniError(
            f"expected a majority of {len(views)} members to answer, found {len(answering)}: {watch.complaint()}"
        )
    if verdict.leader is None:
        raise PatroniError(f"expected a leader by agreement, found: {watch.complaint()}")
    if verdict.paused:
        raise PatroniError("expected automatic failover to be armed, found it paused: resume it first")
    return verdict.leader


def writable_leader(watch: Watch) -> str | None:
    """Return the leader, once it is the only one that says it takes writes."""
    writing = [view.name for view in watch.views if view.takes_writes]
    return writing[0] if writing == [watch.verdict.leader] else None


def received(watch: Watch, leader: str) -> dict[str, Any]:
    """Return up to where the leader has the source's WAL, and the time of its last replayed commit."""
    own = watch.view(leader).own
    xlog = own.get("xlog") or {}
    return {
        "timeline": own.get("timeline"),
        "received": xlog.get("received_location"),
        "replayed": xlog.get("replayed_location"),
        "last_commit": xlog.get("replayed_timestamp"),
    }


def promote(
    watch: Watch, source_is_lost: bool, look: Callable[[], Sequence[Source]], timeout: float, check: bool
) -> dict[str, Any]:
    """Pass the gate, take the standby section away, and wait; a cluster that takes writes already is left alone."""
    leader = refuse_unready(watch)
    api = watch.api(leader)
    follows = api.get("/config").get("standby_cluster")
    if not follows:
        if not watch.wait(timeout, lambda _verdict: writable_leader(watch) is not None):
            raise PatroniError(
                f"expected the promoted cluster to take writes within {timeout:g} s: {watch.complaint()}"
            )
        return {"changed": False, "leader": writable_leader(watch), "sources": [], "before": {}}
    sources = look()
    blockers = promotion_blockers(sources, source_is_lost)
    if blockers:
        raise PatroniError("nothing was changed: " + "; ".join(blockers))
    result: dict[str, Any] = {
        "changed": True,
        "leader": leader,
        "sources": [source.to_dict() for source in sources],
        "before": received(watch, leader),
    }
    if check:
        return result
    status, said = api.ask("PATCH", "/config", {"standby_cluster": None})
    if status != 200:
        raise PatroniError(f"{leader}: expected HTTP 200, found {status}: {str(said)[:300]}")
    if not watch.wait(timeout, lambda _verdict: writable_leader(watch) is not None):
        raise PatroniError(
            f"expected a leader that takes writes within {timeout:g} s, found: {watch.complaint()}. The request is made"
            " and stays: look at 'journalctl -u patroni' on the members, then run again, which waits for the same"
        )
    result["leader"] = writable_leader(watch)
    return result
