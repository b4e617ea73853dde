# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The client entry of PostgreSQL: settings of PgBouncer and HAProxy, derived from the budget and max_connections."""

from __future__ import annotations

import math

from ansible_collections.holdfast.stateful.plugins.module_utils.contract_postgres_objects import databases
from ansible_collections.holdfast.stateful.plugins.module_utils.contract_types import Budget, Derived, View

# Server connections that are not for applications: superuser_reserved_connections, the monitoring role's limit, and
# Patroni, backups and an operator.
NOT_FOR_APPLICATIONS = 3 + 10 + 6
# Of each pooler: lookups of passwords, and the proof of the path before a paused pooler is resumed.
LOOKUP_CONNECTIONS = 2
PATH_CONNECTIONS = 1
CLIENTS_PER_CONNECTION = 20
MIB_PER_SECOND = 1
LOOPBACK = "127.0.0.2"
# Sooner than a standby is promoted, so that new connections never wait for HAProxy.
LEADER_INTER_MS = 500
# Checks of a second, or of three when nothing answers: 5 to 15 s, below Patroni's least ttl of 20 s.
PATIENCE = 5
# PostgreSQL of Debian 12, which packages PgBouncer 1.18 and Patroni 3.0 with it (docs/adr/0080, 0081).
DEBIAN_12 = "15"
# A planned move with that Patroni; measured: 2.2 to 3.0 s.
DEBIAN_12_MOVE_MS = 3500


def derive_pooler(view: View, out: Derived) -> None:
    """Set ``settings.haproxy``, ``settings.pooler`` and ``settings.pooler_config``; needs the parameters before it."""
    _haproxy(view, out)
    _pooler(view, out)
    _config(view, out)


def deadman_seconds(budget: Budget) -> int:
    """Return how long a pooler may be paused before its own host resumes it."""
    return max(10, math.ceil(4 * budget.planned_outage_ms / 1000))


def pause_ms(budget: Budget) -> int:
    """Return how long open transactions may hold up a pause, which is a stall for all other clients."""
    return min(5000, max(300, budget.planned_outage_ms * 2 // 5))


def server_connections(max_connections: int, members: int, direct: bool) -> int:
    """Return the server connections of each pooler, so that all poolers together fit into one server."""
    free = max_connections - NOT_FOR_APPLICATIONS - members * (LOOKUP_CONNECTIONS + PATH_CONNECTIONS)
    return max(1, free // (2 if direct else 1) // members)


def check_interval_ms(budget: Budget) -> int:
    """Return how often HAProxy asks a member: a thirtieth of the time to recover, within 1 to 1.5 s.

    An old leader is back as a replica 2 s after it gave up the lead (Patroni waits that long), and must be in no other
    backend by then.
    """
    return min(1500, max(1000, budget.rto_seconds * 1000 // 30))


def _haproxy(view: View, out: Derived) -> None:
    entry, budget = view.entry, view.entry.budget
    for name, what in (
        ("read_write", "the member that leads"),
        ("read_only", "replicas within the lag of the budget"),
        ("synchronous", "the synchronous standbys"),
    ):
        out.put("haproxy", f"{name}_port", entry.ports[name], f"where a host reaches {what}")
    because = "a loopback address of its own: PgBouncer's resolver mixes up all names of 127.0.0.1, and tries ::1"
    out.put("haproxy", "address", LOOPBACK, because)
    out.put("haproxy", "read_write_name", f"{entry.service}-rw", "a name only members prove: PgBouncer verifies it")
    out.put("haproxy", "read_only_name", f"{entry.service}-ro", "see read_write_name")
    because = (
        "session_access: clients reach HAProxy's ports too"
        if entry.session_access
        else "only the host's own pooler needs HAProxy"
    )
    out.put("haproxy", "session_access", entry.session_access, because)
    inter = check_interval_ms(budget)
    out.put("haproxy", "inter_ms", inter, f"rto_seconds {budget.rto_seconds}: a thirtieth, within 1 to 1.5 s")
    out.put("haproxy", "leader_inter_ms", LEADER_INTER_MS, "how soon it is seen that a leader leads no more")
    out.put("haproxy", "fastinter_ms", 200, "the second opinion on a member that stopped answering comes at once")
    because = "how soon a new leader gets connections; a fraction of a switchover, and little work for Patroni"
    out.put("haproxy", "downinter_ms", 400, because)
    out.put("haproxy", "fall", 2, "one lost answer breaks no connection")
    because = (
        "unanswered checks after which a member that led loses its sessions: Patroni restarts in 1 to 4 s, and nobody"
        " else may lead before 20 s"
    )
    out.put("haproxy", "patience", PATIENCE, because)
    out.put("haproxy", "rise", 1, "Patroni's word that a member leads is already a decision by majority")
    because = "after that every HAProxy has seen that a member changed its role"
    out.put("haproxy", "settle_ms", inter + 200 + 300, because)
    lag = budget.max_replica_lag_seconds or min(10, budget.rpo_seconds or 10)
    because = f"max_replica_lag_seconds {lag}, at {MIB_PER_SECOND} MiB of WAL per second"
    out.put("haproxy", "max_lag", f"{lag * MIB_PER_SECOND}MB", because)


def _pooler(view: View, out: Derived) -> None:
    entry, budget = view.entry, view.entry.budget
    out.put("pooler", "port", entry.ports["pooler"], "where applications connect, on every member")
    out.put("pooler", "database_read_only", f"{entry.database}_ro", "the same database on replicas, within the lag")
    names = [{"name": base.name, "read_only": f"{base.name}_ro"} for base in databases(entry)]
    out.put("pooler", "databases", names, "every declared database, and the same on replicas")
    out.put(
        "pooler", "lookup_user", "holdfast_pooler", "may call the function that returns verifiers, and nothing else"
    )
    out.put("pooler", "admin_user", "holdfast_pooler_admin", "exists in PgBouncer only: pauses and resumes")
    limit = deadman_seconds(budget)
    because = f"four times planned_outage_ms {budget.planned_outage_ms}, at least 10 s; then the host itself resumes"
    out.put("pooler", "deadman_seconds", limit, because)
    because = f"two fifths of planned_outage_ms {budget.planned_outage_ms}: longer transactions call the switchover off"
    out.put("pooler", "pause_ms", pause_ms(budget), because)


def _config(view: View, out: Derived) -> None:
    entry, budget = view.entry, view.entry.budget
    members = len(view.members)
    maximum = int(out.settings["parameters"]["max_connections"])
    shares = len(databases(entry))
    size = max(1, server_connections(maximum, members, entry.session_access) // shares)
    clients = max(500, CLIENTS_PER_CONNECTION * maximum)
    direct = "; half is left to session_access" if entry.session_access else ""
    wait = max(budget.rto_seconds, deadman_seconds(budget) + 5)
    sizes = f"max_connections {maximum} less what is not for applications, divided by {members} poolers{direct}"
    sizes += f" and {shares} databases" if shares > 1 else ""
    settings: tuple[tuple[str, str | int, str], ...] = (
        ("pool_mode", "transaction", "many clients share few servers; session state goes through session_access"),
        ("max_client_conn", clients, f"{CLIENTS_PER_CONNECTION} clients for each of max_connections {maximum}"),
        ("default_pool_size", size, sizes),
        ("max_db_connections", size, "all users of a database together never fill the server"),
        ("max_prepared_statements", 200, "drivers prepare by protocol; the pooler prepares again where it is missing"),
        ("server_check_delay", 5, "a connection that was idle longer is asked before a client gets it"),
        ("server_check_query", "select 1", "see server_check_delay"),
        ("server_connect_timeout", 3, "HAProxy is on the same host"),
        ("server_login_retry", "0.1", "a new leader is found as soon as HAProxy has it, not after 15 s"),
        ("server_lifetime", 600, "no connection outlives a reload of HAProxy for long"),
        ("server_idle_timeout", 300, "a burst gives its connections back"),
        ("server_fast_close", 1, "a connection that must go goes with its transaction"),
        ("query_wait_timeout", wait, f"rto_seconds {budget.rto_seconds}: whoever waits longer was promised an end"),
        ("client_login_timeout", max(60, wait + 5), "a login may wait as long as a query"),
        ("cancel_wait_timeout", 10, "PgBouncer's default"),
        ("tcp_keepalive", 1, "clients on a dead host free their connection in about a minute"),
        ("tcp_keepidle", 30, "see tcp_keepalive"),
        ("tcp_keepintvl", 10, "see tcp_keepalive"),
        ("tcp_keepcnt", 3, "see tcp_keepalive"),
        ("ignore_startup_parameters", "extra_float_digits", "the JDBC driver sends it, and it changes nothing"),
    )
    for name, value, because in settings:
        if name != "max_prepared_statements" or entry.version.series != DEBIAN_12:
            out.put("pooler_config", name, value, because)
    if entry.version.series == DEBIAN_12:
        out.advisories.append(
            "PgBouncer 1.18, which Debian 12 packages, keeps no prepared statements between transactions: have drivers"
            " not prepare by protocol, or use session_access."
        )
    if entry.version.series == DEBIAN_12 and budget.planned_outage_ms < DEBIAN_12_MOVE_MS:
        out.advisories.append(
            f"planned_outage_ms {budget.planned_outage_ms}: Patroni 3.0, which Debian 12 packages, needs about 3 s to"
            " hand the lead over, so a planned move takes longer than that."
        )
