# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PostgreSQL under Patroni: its own rules, and settings derived from the budget and the memory share."""

from __future__ import annotations

from collections.abc import Iterator

from ansible_collections.holdfast.stateful.plugins.module_utils.contract_data import BACKUPS
from ansible_collections.holdfast.stateful.plugins.module_utils.contract_placement import share_mb
from ansible_collections.holdfast.stateful.plugins.module_utils.contract_pooler import derive_pooler
from ansible_collections.holdfast.stateful.plugins.module_utils.contract_postgres_objects import derive_objects
from ansible_collections.holdfast.stateful.plugins.module_utils.contract_registry import rule
from ansible_collections.holdfast.stateful.plugins.module_utils.contract_standby import derive_standby
from ansible_collections.holdfast.stateful.plugins.module_utils.contract_types import Budget, Derived, Problem, View
from ansible_collections.holdfast.stateful.plugins.module_utils.contract_virtual import derive_virtual_address

MIB = 1024 * 1024

# The least RTO for which the timers are chosen -> ttl, loop_wait, retry_timeout, primary_start_timeout.
TIMERS: tuple[tuple[int, tuple[int, int, int, int]], ...] = (
    (150, (120, 20, 30, 60)),
    (90, (60, 10, 20, 30)),
    (45, (30, 5, 10, 10)),
    (0, (20, 2, 5, 0)),
)


@rule(
    "postgres-rpo0-members",
    "a lone replica that fails would stop every write, or take the promise away",
    engine="postgres",
)
def postgres_rpo0_members(view: View) -> Iterator[Problem]:
    """RPO 0 without a spare synchronous replica."""
    count = len(view.members)
    if view.entry.budget.rpo_seconds == 0 and 0 < count < 3:
        wrong = f"rpo_seconds is 0, which needs strict synchronous replication, and there are {count} members"
        yield Problem("members_group", wrong, "3 members, or rpo_seconds of at least 1")


@rule(
    "postgres-timers",
    "Patroni changes timers that break loop_wait + 2 * retry_timeout <= ttl, in silence",
    engine="postgres",
)
def postgres_timers(view: View) -> Iterator[Problem]:
    """Timers Patroni would adjust on its own."""
    ttl, loop_wait, retry_timeout, _start = timers(view.entry.budget.rto_seconds)
    if loop_wait + 2 * retry_timeout > ttl or ttl < 20 or loop_wait < 1 or retry_timeout < 3:
        wrong = f"rto_seconds leads to ttl {ttl}, loop_wait {loop_wait}, retry_timeout {retry_timeout}"
        yield Problem("budget.rto_seconds", wrong, "30")


def timers(rto_seconds: int) -> tuple[int, int, int, int]:
    """Return ttl, loop_wait, retry_timeout and primary_start_timeout for a recovery time.

    A dead host's leader key lives for up to ttl; promotion adds about a second, so a host loss costs at most ttl + 1 s
    (measured with 20/2/5: 19.5 to 20.6 s). Patroni's floors are ttl 20, loop_wait 1, retry_timeout 3, and its rule is
    loop_wait + 2 * retry_timeout <= ttl (patroni/config.py, validator.py). Longer timers, where the budget allows
    them, ride out longer pauses of the network and of etcd without a needless failover.
    """
    return next(found for least, found in TIMERS if rto_seconds >= least)


def lag_bytes(rpo_seconds: int) -> int:
    """Return Patroni's maximum_lag_on_failover.

    Patroni compares bytes, the budget is in seconds: 1 MiB of WAL per second is assumed, within 1 MiB to 1 GiB. In the
    worst case Patroni loses this lag and what was written since the last update of the leader key (patroni
    docs/replication_modes.rst).
    """
    return min(max(rpo_seconds, 1), 1024) * MIB


def memory_parameters(share: int, profile: str) -> dict[str, tuple[str | int, str]]:
    """Return the settings that spend memory, so that all of them together fit into the share.

    shared_buffers is a quarter (PostgreSQL manual, "Resource Consumption"); work_mem is what is left, divided by
    connections and workers times 3 sorts each (pgtune), halved where analysts share the cluster.
    """
    buffers = max(32, share // 4 // 8 * 8)
    connections = (
        {"oltp": 100, "mixed": 80, "olap": 40}[profile]
        if share < 2048
        else {"oltp": 200, "mixed": 120, "olap": 60}[profile]
    )
    connections = 60 if share < 1024 and profile != "olap" else connections
    sorts = (connections + 8) * 3
    work_kb = max(1024, (share - buffers) * 1024 // sorts // (2 if profile == "mixed" else 1) // 64 * 64)
    maintenance = min(2048, max(16, share // 16))
    return {
        "shared_buffers": (f"{buffers}MB", f"a quarter of the {share} MB this service may use on each member"),
        "max_connections": (connections, f"what {share} MB can serve with profile {profile}; more go through a pooler"),
        "work_mem": (
            f"{work_kb}kB",
            f"the rest of the share, for 3 sorts in each of {connections} connections and 8 workers",
        ),
        "maintenance_work_mem": (
            f"{maintenance}MB",
            "a sixteenth of the share, so that a vacuum never crowds out queries",
        ),
        "effective_cache_size": (
            f"{share * 3 // 4}MB",
            "three quarters of the share; a planner's estimate, reserves nothing",
        ),
    }


def derive(view: View) -> Derived:
    """Return every setting of the service and the reason for each."""
    entry, out, share = view.entry, Derived(), share_mb(view)
    out.put("", "port", entry.port, "where members and their poolers connect")
    out.put(
        "", "restapi_port", entry.ports["restapi"], "Patroni's REST API, for health checks and for planned leader moves"
    )
    out.put("", "scope", entry.service, "the service id keeps clusters apart in the consensus store")
    out.put("", "database", entry.database, "the application's database")
    out.put("", "app_user", entry.app_user, "the application's user; it owns its database and nothing else")
    out.put("", "major", entry.version.series, "the release series of the catalog")
    _patroni(view, out)
    _parameters(view, out, share)
    derive_pooler(view, out)
    derive_objects(view, out)
    derive_standby(view, out)
    derive_virtual_address(view, out)
    members = [{"name": host.name, "address": host.address} for host in view.here.dcs]
    out.put("etcd", "store", entry.dcs_group, "the group of hosts that carries the consensus store names it")
    out.put("etcd", "client_port", entry.dcs_client_port, "where Patroni reaches etcd")
    out.put("etcd", "peer_port", entry.dcs_peer_port, "where etcd's members reach each other")
    out.put("etcd", "members", members, f"group {entry.dcs_group} carries the consensus store")
    if entry.classes == {"cacheable"}:
        out.advisories.append(
            "Everything kept here can be refilled: a redis service would cost less and answer faster."
        )
    if entry.budget.planned_outage_ms < 3000 and entry.session_access:
        out.advisories.append(
            f"planned_outage_ms {entry.budget.planned_outage_ms} is kept for applications behind the poolers, which "
            "pause during a switchover; sessions past them (session_access) end, and connect again after about 2.4 s."
        )
    return out


def _patroni(view: View, out: Derived) -> None:
    budget = view.entry.budget
    ttl, loop_wait, retry_timeout, start = timers(budget.rto_seconds)
    sync, strict = synchronous(budget), budget.rpo_seconds == 0
    out.put(
        "patroni",
        "ttl",
        ttl,
        f"a dead leader's key lives this long; host loss costs about {ttl + 1} s of {budget.rto_seconds}",
    )
    out.put(
        "patroni",
        "loop_wait",
        loop_wait,
        f"how soon a dead server process is seen; {loop_wait} + 2 x {retry_timeout} <= {ttl}",
    )
    out.put("patroni", "retry_timeout", retry_timeout, "how long etcd may be away before the leader steps down")
    because = (
        "promote a replica at once instead of waiting for crash recovery"
        if start == 0
        else f"rto_seconds {budget.rto_seconds} leaves time to recover in place before a replica is promoted"
    )
    out.put("patroni", "primary_start_timeout", start, because)
    death, because = leader_death(budget)
    out.put("", "leader_death", death, because)
    because = (
        "a leader whose Patroni hangs is reset by its host's watchdog, where the host has one; elsewhere ttl and the"
        " other members' votes rule"
    )
    out.put("", "watchdog", "automatic", because)
    lag = MIB if sync else lag_bytes(budget.rpo_seconds)
    because = (
        "only a synchronous replica is promoted"
        if sync
        else f"rpo_seconds {budget.rpo_seconds} at 1 MiB of WAL per second"
    )
    out.put("patroni", "maximum_lag_on_failover", lag, because)
    because = (
        f"rpo_seconds {budget.rpo_seconds} is below ttl: a leader that is cut off takes writes for up to {ttl} s, "
        "so a commit waits until a replica has it"
        if sync
        else f"a leader that is cut off takes writes for up to {ttl} s; rpo_seconds {budget.rpo_seconds} allows that"
    )
    out.put("patroni", "synchronous_mode", sync, because)
    because = (
        "rpo_seconds is 0: rather refuse writes than acknowledge one that exists once"
        if strict
        else "rpo_seconds is above 0: when no replica is left, go on alone"
    )
    out.put("patroni", "synchronous_mode_strict", strict, because)
    nodes = promised_nodes(view)
    because = (
        f"as many replicas as may fail together of {len(view.members)} members"
        if sync
        else "Patroni's default; not in force"
    )
    out.put("patroni", "synchronous_node_count", max(nodes, 1), because)
    out.put(
        "patroni", "failsafe_mode", True, "an outage of etcd alone must not demote a leader that all members still see"
    )


def leader_death(budget: Budget) -> tuple[str, str]:
    """Return what a host does when Patroni and PostgreSQL have both died on it, and why.

    `release` gives the leader key back at once, so that a replica is promoted within about a second; the replica lacks
    what it had not received. `restart_in_place` keeps the key: Patroni returns and recovers what was committed, which
    takes as long as the replay of the WAL since the last checkpoint.
    """
    if synchronous(budget):
        return "release", "a synchronous replica has every commit: promote it at once instead of after ttl"
    if timers(budget.rto_seconds)[3] == 0:
        return "release", f"rto_seconds {budget.rto_seconds} leaves no time for crash recovery"
    return (
        "restart_in_place",
        f"rto_seconds {budget.rto_seconds} leaves time for crash recovery, which keeps the last commits",
    )


def synchronous_nodes(view: View) -> int:
    """Return how many synchronous standbys there are: none while the cluster follows another site."""
    return 0 if view.entry.standby_of else promised_nodes(view)


def promised_nodes(view: View) -> int:
    """Return how many replicas must have a commit: as many as hosts may be lost at once and leave a majority."""
    return max(1, (len(view.members) - 1) // 2) if synchronous(view.entry.budget) else 0


def synchronous(budget: Budget) -> bool:
    """Say whether commits wait for a replica.

    Without that, a leader that is cut off from etcd and the replicas acknowledges writes until its key expires, and all
    of them are lost when it rejoins (patroni docs/replication_modes.rst; Jepsen runs of CloudNativePG: 22 of 93 lost
    commits without, 0 with). So an RPO below ttl needs synchronous replication, and only 0 needs the strict kind.
    """
    return budget.rpo_seconds < timers(budget.rto_seconds)[0]


def _parameters(view: View, out: Derived, share: int) -> None:
    entry = view.entry
    profile = entry.tuning_profile or "oltp"
    for name, (value, because) in memory_parameters(share, profile).items():
        out.put("parameters", name, value, because)
    wal = min(8192, max(512, share))
    fixed: tuple[tuple[str, str | int, str], ...] = (
        ("wal_level", entry.wal_level, "replicas and backups need replica; logical only where the catalog asks for it"),
        ("wal_log_hints", "on", "pg_rewind brings a failed leader back without copying everything"),
        ("hot_standby", "on", "replicas answer reads and health checks"),
        ("password_encryption", "scram-sha-256", "the only password method that is not broken"),
        ("wal_compression", "lz4", "less WAL to send, archive and replay for little CPU"),
        (
            "max_wal_size",
            f"{wal}MB",
            "checkpoints far apart write less WAL; bounded by the share, as no disk size is declared",
        ),
        ("min_wal_size", f"{max(80, wal // 4)}MB", "a quarter of max_wal_size is recycled instead of removed"),
        ("checkpoint_timeout", "15min", "full-page images after each checkpoint are most of the WAL"),
        ("checkpoint_completion_target", "0.9", "spread the writes of a checkpoint"),
        ("max_wal_senders", 10, "replicas, a backup and a spare"),
        ("max_replication_slots", 10, "one per replica, and spare ones for logical decoding"),
        ("max_slot_wal_keep_size", f"{max(1024, wal * 2)}MB", "a replica that is gone must not fill the leader's disk"),
        (
            "wal_retrieve_retry_interval",
            "500ms",
            "a replica follows a new leader at once; by default it waits 5 s when it comes during the promotion",
        ),
        ("wal_keep_size", "128MB", "a replica that restarts needs no slot and no archive"),
        ("max_worker_processes", 8, "PostgreSQL's default; raising it needs a restart, so it is fixed"),
        ("max_prepared_transactions", 0, "a forgotten prepared transaction holds back vacuum for ever"),
        ("max_locks_per_transaction", 64, "PostgreSQL's default; all members must agree on it"),
        ("track_commit_timestamp", "off", "PostgreSQL's default; all members must agree on it"),
        ("random_page_cost", "1.1", "flash storage reads anywhere at the same price"),
        ("default_statistics_target", 500 if profile == "olap" else 100, f"profile {profile}"),
        ("jit", "on" if profile == "olap" else "off", "compiling pays for long queries only"),
        ("autovacuum_vacuum_scale_factor", "0.08", "vacuum early and little instead of late and long"),
        ("autovacuum_analyze_scale_factor", "0.04", "fresh statistics keep plans stable"),
        (
            "idle_in_transaction_session_timeout",
            "10min",
            "a forgotten transaction blocks vacuum and planned leader moves",
        ),
        ("lock_timeout", "0", "PostgreSQL's default; migrations set their own"),
        ("tcp_keepalives_idle", 30, "clients on a dead host free their connection in about a minute"),
        ("tcp_keepalives_interval", 10, "see tcp_keepalives_idle"),
        ("tcp_keepalives_count", 3, "see tcp_keepalives_idle"),
        ("log_checkpoints", "on", "evidence for tuning"),
        ("log_connections", "on", "evidence for an audit"),
        ("log_disconnections", "on", "evidence for an audit"),
        ("log_lock_waits", "on", "evidence for tuning"),
        ("log_min_duration_statement", "1s", "evidence for tuning, at a price nobody notices"),
        ("log_autovacuum_min_duration", "10s", "evidence for tuning"),
        ("log_temp_files", "10MB", "sorts that did not fit into work_mem"),
        ("track_io_timing", "on", "evidence for tuning"),
        ("shared_preload_libraries", "pg_stat_statements,pgaudit", "which statements cost what, and who changed what"),
    )
    for name, value, because in fixed:
        out.put("parameters", name, value, because)
    silence = min(60, max(5, entry.budget.rto_seconds // 3))
    because = f"a replica that is gone holds up commits this long; a third of rto_seconds {entry.budget.rto_seconds}"
    out.put("parameters", "wal_sender_timeout", f"{silence}s", because)
    out.put("parameters", "wal_receiver_timeout", f"{silence}s", "a replica reconnects as soon as its sender gave up")
    backup = BACKUPS[entry.backup_class]
    if backup.archive_timeout_seconds is None:
        out.put("parameters", "archive_mode", "off", "backup_class none: nothing would ever take the WAL away")
    else:
        out.put("parameters", "archive_mode", "on", f"backup_class {entry.backup_class} restores to any moment")
        because = f"backup_class {entry.backup_class}: the loss of all members costs at most this"
        out.put("parameters", "archive_timeout", f"{backup.archive_timeout_seconds}s", because)
