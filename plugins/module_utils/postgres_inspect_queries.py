# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an inspection asks PostgreSQL 15 to 17: questions a member of pg_monitor may ask, none that waits for a lock.

Sizes are pages of the last vacuum, because asking for the real size waits for whoever alters the table. Texts of
statements are never read: they may hold what nobody should see.
"""
# ruff: noqa: S608 - parts of our own, no value from outside

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

#: Catalogs and temporary tables are not an operator's business.
USER_TABLES = "n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'holdfast')"
CLIENT = (
    "a.pid, a.usename::text AS role, a.datname::text AS database, a.application_name AS application,"
    " a.client_addr::text AS client, a.state"
)


@dataclass(frozen=True)
class Query:
    """One question; ``below`` and ``since`` limit it to release series, ``database`` asks it in every database."""

    name: str
    sql: str
    database: bool = False
    since: int = 0
    below: int = 1000


QUERIES = (
    Query(
        "connections",
        "SELECT current_setting('max_connections')::int AS most, current_setting('superuser_reserved_connections')::int"
        " AS reserved, count(*) FILTER (WHERE backend_type = 'client backend') AS used,"
        " count(*) FILTER (WHERE backend_type = 'client backend' AND state = 'active') AS active FROM pg_stat_activity",
    ),
    Query(
        "role_connections",
        "SELECT r.rolname::text AS role, r.rolconnlimit AS most, count(a.pid) AS used FROM pg_roles r"
        " LEFT JOIN pg_stat_activity a ON a.usesysid = r.oid AND a.backend_type = 'client backend'"
        " WHERE r.rolconnlimit > 0 GROUP BY 1, 2",
    ),
    Query(
        "transactions",
        f"SELECT {CLIENT}, extract(epoch FROM clock_timestamp() - a.xact_start)::float8 AS seconds,"
        " extract(epoch FROM clock_timestamp() - a.state_change)::float8 AS state_seconds FROM pg_stat_activity a"
        " WHERE a.backend_type = 'client backend' AND a.xact_start IS NOT NULL AND a.pid <> pg_backend_pid()"
        " ORDER BY seconds DESC LIMIT 50",
    ),
    Query(
        "lock_waits",
        f"SELECT {CLIENT}, pg_blocking_pids(a.pid) AS blocked_by, l.mode, CASE WHEN l.relation IS NULL THEN l.locktype"
        " WHEN a.datname = current_database() THEN l.relation::regclass::text ELSE 'relation ' || l.relation END"
        " AS object, extract(epoch FROM clock_timestamp() - coalesce(l.waitstart, a.query_start))::float8"
        " AS seconds FROM pg_stat_activity a JOIN pg_locks l ON l.pid = a.pid AND NOT l.granted"
        " WHERE a.wait_event_type = 'Lock' ORDER BY seconds DESC LIMIT 200",
    ),
    Query(
        "sessions",
        f"SELECT {CLIENT} FROM pg_stat_activity a WHERE a.backend_type = 'client backend' LIMIT 2000",
    ),
    Query(
        "prepared",
        "SELECT gid, owner::text AS role, database::text, extract(epoch FROM now() - prepared)::float8 AS seconds"
        " FROM pg_prepared_xacts ORDER BY seconds DESC LIMIT 20",
    ),
    Query(
        "wraparound",
        "SELECT datname::text AS database, age(datfrozenxid) AS xid_age, mxid_age(datminmxid) AS multixact_age,"
        " current_setting('autovacuum_freeze_max_age')::int AS xid_start,"
        " current_setting('autovacuum_multixact_freeze_max_age')::int AS multixact_start FROM pg_database"
        " ORDER BY age(datfrozenxid) DESC",
    ),
    Query(
        "slots",
        "SELECT slot_name::text AS slot, slot_type, active, wal_status, pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery()"
        " THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END, restart_lsn)::bigint AS retained_bytes,"
        " greatest(age(xmin), age(catalog_xmin)) AS xmin_age FROM pg_replication_slots",
    ),
    Query(
        "checkpoints",
        "SELECT num_timed AS timed, num_requested AS requested, write_time AS write_ms, sync_time AS sync_ms,"
        " extract(epoch FROM now() - stats_reset)::float8 AS seconds FROM pg_stat_checkpointer",
        since=17,
    ),
    Query(
        "checkpoints",
        "SELECT checkpoints_timed AS timed, checkpoints_req AS requested, checkpoint_write_time AS write_ms,"
        " checkpoint_sync_time AS sync_ms, extract(epoch FROM now() - stats_reset)::float8 AS seconds"
        " FROM pg_stat_bgwriter",
        below=17,
    ),
    Query(
        "statistics",
        "SELECT extract(epoch FROM now() - coalesce(stats_reset, pg_postmaster_start_time()))::float8 AS seconds"
        " FROM pg_stat_database WHERE datname = current_database()",
        database=True,
    ),
    Query(
        "oldest_tables",
        "SELECT n.nspname::text AS schema, c.relname::text AS table, age(c.relfrozenxid) AS xid_age,"
        " mxid_age(c.relminmxid) AS multixact_age FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE c.relkind IN ('r', 't', 'm') ORDER BY greatest(age(c.relfrozenxid),"
        " mxid_age(c.relminmxid)) DESC LIMIT 5",
        database=True,
    ),
    Query(
        "unused_indexes",
        "SELECT n.nspname::text AS schema, t.relname::text AS table, i.relname::text AS index,"
        " i.relpages::bigint * 8192 AS bytes FROM pg_stat_user_indexes s JOIN pg_index x ON x.indexrelid = s.indexrelid"
        " JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_class t ON t.oid = x.indrelid"
        " JOIN pg_namespace n ON n.oid = t.relnamespace WHERE s.idx_scan = 0 AND NOT x.indisunique AND x.indisvalid"
        f" AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = x.indexrelid) AND {USER_TABLES}"
        " ORDER BY 4 DESC LIMIT 100",
        database=True,
    ),
    Query(
        "duplicate_indexes",
        "SELECT n.nspname::text AS schema, t.relname::text AS table,"
        " array_agg(i.relname::text ORDER BY x.indisprimary DESC, x.indisunique DESC, i.oid) AS indexes,"
        " sum(i.relpages)::bigint * 8192 AS bytes FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid"
        " JOIN pg_class t ON t.oid = x.indrelid JOIN pg_namespace n ON n.oid = t.relnamespace"
        f" WHERE x.indisvalid AND t.relkind IN ('r', 'm') AND {USER_TABLES}"
        " GROUP BY n.nspname, t.relname, x.indrelid, i.relam, x.indkey::text, x.indclass::text, x.indcollation::text,"
        " x.indoption::text, x.indexprs::text, x.indpred::text HAVING count(*) > 1 LIMIT 100",
        database=True,
    ),
    Query(
        "invalid_indexes",
        "SELECT n.nspname::text AS schema, t.relname::text AS table, i.relname::text AS index FROM pg_index x"
        " JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_class t ON t.oid = x.indrelid"
        f" JOIN pg_namespace n ON n.oid = t.relnamespace WHERE NOT x.indisvalid AND i.relkind = 'i' AND {USER_TABLES}"
        " LIMIT 100",
        database=True,
    ),
    Query(
        "scanned_tables",
        "SELECT n.nspname::text AS schema, t.relname::text AS table, s.seq_scan AS scans,"
        " s.seq_tup_read / greatest(s.seq_scan, 1) AS rows_per_scan, coalesce(s.idx_scan, 0) AS index_scans,"
        " t.relpages::bigint * 8192 AS bytes FROM pg_stat_user_tables s JOIN pg_class t ON t.oid = s.relid"
        f" JOIN pg_namespace n ON n.oid = t.relnamespace WHERE s.seq_scan > 0 AND {USER_TABLES}"
        " ORDER BY s.seq_tup_read DESC LIMIT 100",
        database=True,
    ),
    Query(
        "dead_rows",
        "SELECT n.nspname::text AS schema, t.relname::text AS table, s.n_dead_tup AS dead, s.n_live_tup AS live,"
        " t.relpages::bigint * 8192 AS bytes, extract(epoch FROM now() - greatest(s.last_vacuum,"
        " s.last_autovacuum))::float8 AS vacuum_seconds FROM pg_stat_user_tables s JOIN pg_class t ON t.oid = s.relid"
        f" JOIN pg_namespace n ON n.oid = t.relnamespace WHERE {USER_TABLES} ORDER BY s.n_dead_tup DESC LIMIT 100",
        database=True,
    ),
)
#: The largest tables, to be measured one at a time; %s is how many pages are large.
LARGEST = (
    "SELECT c.oid, n.nspname::text, c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
    f" WHERE c.relkind IN ('r', 'm') AND c.relpersistence = 'p' AND c.relpages >= %s AND {USER_TABLES}"
    " ORDER BY c.relpages DESC LIMIT 20"
)
EXTENSION = (
    "SELECT n.nspname::text FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace"
    " WHERE e.extname = 'pgstattuple'"
)
MEASURE = (
    "SELECT table_len, dead_tuple_len, approx_free_space::bigint, round(scanned_percent)::int"
    " FROM {schema}.pgstattuple_approx(%s::oid::regclass)"
)


def questions(major: int, database: bool) -> Iterator[Query]:
    """Yield the questions for a release series, those for the whole cluster or those for each database."""
    yield from (query for query in QUERIES if query.database == database and query.since <= major < query.below)
