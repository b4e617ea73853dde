"""What operators see: drift that is only reported, drops that are refused, partitions, the audit, the inspection."""

from __future__ import annotations

# ruff: noqa: S608 - statements of our own
import copy
import json
import re
import secrets
import threading
import time

import harness
import psycopg
import pytest

CALLS = 10
DROP = "drop_postgres_objects.yml"


def clear(cluster):
    """Remove what this test plants, also what an aborted run of it left."""
    cluster.sql("DROP SCHEMA IF EXISTS forgotten; DROP EXTENSION IF EXISTS citext", "reporting")
    cluster.sql("DROP DATABASE IF EXISTS legacy WITH (FORCE);")
    cluster.sql("DROP ROLE IF EXISTS bob; DROP ROLE IF EXISTS eve;")


@pytest.fixture
def leftovers(cluster):
    """A database, a schema, an extension and two roles that nobody declared."""
    clear(cluster)
    cluster.sql("CREATE ROLE bob; CREATE ROLE eve;")
    cluster.sql("CREATE DATABASE legacy OWNER bob;")
    cluster.sql("CREATE SCHEMA forgotten; CREATE EXTENSION citext SCHEMA public", "reporting")
    yield
    clear(cluster)


def there(cluster):
    roles = cluster.sql("SELECT rolname FROM pg_roles WHERE rolname IN ('bob', 'eve') ORDER BY 1").split()
    return cluster.sql("SELECT datname FROM pg_database WHERE datname = 'legacy'").split() + roles


def drop(cluster, *names):
    return cluster.playbook(DROP, "-e", "holdfast_service=orders-db", "-e", f"confirm={','.join(names)}")


def test_a_second_run_changes_nothing_and_reports_what_is_not_declared(cluster, leftovers):
    again = cluster.site()
    assert again.code == 0, again.output[-3000:]
    assert again.changed == [], re.findall(r'"(?:object|config)_changes": [\[{][^\]}]*', again.output)
    assert set(again.calls) >= {"lab1", "lab2", "lab3"}
    assert max(again.calls.values()) <= CALLS, again.calls
    print(f"orders-db: no-change run of postgres with objects: {again.seconds:.1f} s, remote calls {again.calls}")
    for said in (
        "database legacy is not declared",
        "role bob is not declared",
        "schema reporting/forgotten is not declared",
        "extension reporting/citext is not declared",
    ):
        assert said in again.output
    assert there(cluster) == ["legacy", "bob", "eve"]


def test_a_drop_refuses_everything_together_or_drops_what_was_named(cluster, leftovers):
    # Whoever still works in the database: a session of the superuser through the socket.
    psql = (cluster.leader(), "-u", "postgres", "psql", "-XAtq", "-d", "legacy")
    held = threading.Thread(target=cluster.lab, args=psql, kwargs={"text": "SELECT pg_sleep(600)"})
    held.start()
    count = "SELECT count(*) FROM pg_stat_activity WHERE datname = 'legacy'"
    harness.wait_for("a session in legacy", lambda: cluster.sql(count) == "1", 30)
    reasons = {
        "database/reporting": "it is declared in the catalog",
        "role/holdfast_monitor": "it is declared in the catalog",
        "role/replicator": "it is declared in the catalog",
        "schema/reporting/sales": "it is declared in the catalog",
        "database/legacy": "1 sessions are connected to it",
    }
    refused = drop(cluster, "role/eve", *reasons)
    assert refused.code != 0, refused.output[-2000:]
    for name, said in reasons.items():
        assert f"{name}: {said}" in refused.output, refused.output[-2000:]
    cluster.sql("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE datname = 'legacy'")
    held.join(30)
    harness.wait_for("nobody in legacy", lambda: cluster.sql(count) == "0", 30)

    refused = drop(cluster, "role/bob", "role/eve")
    assert refused.code != 0
    assert "role/bob: it owns 1 objects in the cluster" in refused.output
    assert there(cluster) == ["legacy", "bob", "eve"]

    everything = ("database/legacy", "role/bob", "role/eve", "schema/reporting/forgotten", "extension/reporting/citext")
    dropped = drop(cluster, *everything)
    assert dropped.code == 0, dropped.output[-2000:]
    assert len(dropped.changed) == 1
    assert there(cluster) == []
    assert drop(cluster, *everything).changed == []


PARTITIONS = (
    "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = '{}'::regclass"
    " ORDER BY 1"
)


def maintain(cluster):
    """Let the timer's service run on every member, as it does every hour."""
    for host in ("lab1", "lab2", "lab3"):
        done = cluster.lab(host, "systemctl", "start", "holdfast-partitions.service")
        assert done.returncode == 0, cluster.lab(host, "journalctl", "-u", "holdfast-partitions", "-n", "20").stdout


def test_partitions_are_made_ahead_and_expire_when_retention_says_so(cluster):
    with cluster.connect("migrator") as session:
        session.execute("DROP TABLE IF EXISTS sales.events, sales.visits, sales.visits_p20200101 CASCADE")
        session.execute("CREATE TABLE sales.events (at timestamptz NOT NULL, n int) PARTITION BY RANGE (at)")
        session.execute("CREATE TABLE sales.visits (day date NOT NULL) PARTITION BY RANGE (day)")
        first = cluster.site()
        assert first.code == 0, first.output[-3000:]
        assert len(first.changed) == 1
        made = [name for (name,) in session.execute(PARTITIONS.format("sales.events")).fetchall()]
        assert len(made) == 4
        assert len(session.execute(PARTITIONS.format("sales.visits")).fetchall()) == 3
        owners = session.execute(f"SELECT tableowner FROM pg_tables WHERE tablename = '{made[0]}'").fetchall()
        assert owners == [("reporting_owner",)]
        with cluster.connect("loader") as loader:
            loader.execute("INSERT INTO sales.events VALUES (now(), 1), (now() + interval '2 days', 2)")
        attach = "CREATE TABLE sales.{} PARTITION OF sales.{} FOR VALUES FROM ('2020-01-01') TO ('{}')"
        session.execute(attach.format("events_old", "events", "2020-01-02"))
        session.execute("INSERT INTO sales.events VALUES ('2020-01-01 12:00+00', 3)")
        # One that is within its retention stays.
        session.execute(
            "DO $$ BEGIN EXECUTE format('CREATE TABLE sales.events_recent PARTITION OF sales.events FOR VALUES FROM"
            " (%L) TO (%L)', current_date - 20, current_date - 19); END $$"
        )
        session.execute(attach.format("visits_p20200101", "visits", "2020-02-01"))
        session.execute("INSERT INTO sales.visits VALUES ('2020-01-05')")
        maintain(cluster)
        left = [name for (name,) in session.execute(PARTITIONS.format("sales.events")).fetchall()]
        assert left == sorted([*made, "events_recent"])
        assert session.execute("SELECT to_regclass('sales.events_old')").fetchone() == (None,), "drop: gone"
        assert session.execute("SELECT count(*) FROM sales.visits").fetchone() == (0,)
        assert session.execute("SELECT * FROM sales.visits_p20200101").fetchone(), "detach: the rows are kept"
        assert session.execute("SELECT count(*) FROM sales.events").fetchone() == (2,)
        maintain(cluster)
        assert cluster.site().changed == []


def test_a_table_that_is_not_partitioned_is_refused_and_untouched(cluster):
    objects = copy.deepcopy(cluster.objects)
    rule = {"database": "reporting", "schema": "sales", "table": "plain", "column": "at", "interval": "day"}
    objects["partitions"].append(rule)
    objects["databases"][0]["connection_limit"] = 19
    with cluster.connect("migrator") as session:
        session.execute("DROP TABLE IF EXISTS sales.plain")
        session.execute("CREATE TABLE sales.plain AS SELECT now() AS at")
        try:
            refused = cluster.site(objects=objects)
            assert refused.code != 0
            assert "an ordinary table with rows: it is never rewritten" in refused.output
            limit = session.execute("SELECT datconnlimit FROM pg_database WHERE datname = 'reporting'").fetchone()
            assert limit == (20,), "a refusal comes before every change"
            assert session.execute("SELECT count(*) FROM sales.plain").fetchone() == (1,)
        finally:
            session.execute("DROP TABLE sales.plain")


def test_the_audit_has_definitions_and_writes_but_no_password(cluster):
    mark, secret = f"audited_{secrets.token_hex(4)}", f"Secret{secrets.token_hex(8)}"
    with cluster.connect("migrator") as session:
        session.execute(f"CREATE TABLE sales.{mark} (n int)")
        session.execute(f"INSERT INTO sales.{mark} VALUES (1)")
        session.execute("INSERT INTO sales.events SELECT now() WHERE length(%s) = 0", (secret,))
        session.execute(f"DROP TABLE sales.{mark}")
    with cluster.connect("loader") as session:
        session.execute(f"ALTER ROLE loader PASSWORD '{secret}'")
    restored = cluster.site()
    assert restored.code == 0, restored.output[-2000:]
    assert "set the password of loader" in restored.output
    with cluster.connect("loader") as session:
        assert session.execute("SELECT 1").fetchone() == (1,), "the declared password is in force again"
    log = cluster.lab(cluster.leader(), "journalctl", "-u", "patroni", "--no-pager", "-q", "-o", "cat").stdout
    audit = [line for line in log.splitlines() if "AUDIT: " in line]
    assert any("DDL,CREATE TABLE" in line and mark in line for line in audit)
    assert any("WRITE,INSERT" in line and mark in line for line in audit)
    assert any("ROLE,ALTER ROLE" in line for line in audit)
    assert secret not in log
    assert not re.search(r"SCRAM-SHA-256\$\d", log)


def inspect(cluster, monkeypatch, **thresholds):
    monkeypatch.setenv("ANSIBLE_SHOW_CUSTOM_STATS", "true")
    run = cluster.playbook(
        "inspect_postgres.yml",
        "-e",
        "holdfast_service=orders-db",
        "-e",
        json.dumps({"postgres_thresholds": thresholds}),
    )
    start = run.output.index("{\n")
    data, _end = json.JSONDecoder().raw_decode(run.output[start:])
    return run, data["global_custom_stats"]["inspection"]


def test_the_inspection_finds_what_was_planted(cluster, monkeypatch):
    thresholds = {
        "long_transaction_seconds": 1, "idle_in_transaction_seconds": 1, "lock_wait_seconds": 1, "index_mb": 0,
        "unused_days": 0, "table_mb": 1, "bloat_percent": 10, "connections_percent": 60,
    }  # fmt: skip
    with cluster.connect("migrator") as owner:
        owner.execute("DROP TABLE IF EXISTS sales.planted, sales.contended")
        owner.execute("CREATE TABLE sales.contended AS SELECT 1 AS n")
        rows = "SELECT n, repeat('x', 200) AS word FROM generate_series(1, 40000) n"
        owner.execute(f"CREATE TABLE sales.planted AS {rows}")
        owner.execute("CREATE INDEX planted_unused ON sales.planted (word)")
        owner.execute("CREATE INDEX planted_n ON sales.planted (n)")
        owner.execute("CREATE INDEX planted_twice ON sales.planted (n)")
        owner.execute("DELETE FROM sales.planted WHERE n % 2 = 0")
        owner.execute("VACUUM ANALYZE sales.planted")
        with (
            cluster.connect("loader", autocommit=False) as head,
            cluster.connect("migrator", application_name="behind") as behind,
            cluster.connect("analyst") as _one,
            cluster.connect("analyst") as _two,
        ):
            head.execute("UPDATE sales.contended SET n = 2")
            waiting = threading.Thread(target=add_a_column, args=(behind,))
            waiting.start()
            time.sleep(2)
            run, found = inspect(cluster, monkeypatch, **thresholds)
            head.rollback()
            waiting.join(30)
        owner.execute("DROP TABLE sales.planted, sales.contended")
    assert run.code == 0, run.output[-3000:]
    assert run.changed == []
    assert found["unobserved"] == []
    seen = {(item["kind"], item["thing"].split("/")[-1]) for item in found["findings"]}
    things = {item["kind"]: item for item in found["findings"]}
    assert things["lock_chain"]["severity"] == "critical"
    assert "of loader in reporting" in things["lock_chain"]["thing"]
    assert "AccessExclusiveLock" in things["lock_chain"]["seen"]
    assert "of loader" in things["idle_in_transaction"]["thing"]
    assert ("unused_index", "sales.planted_unused") in seen
    assert ("duplicate_index", "sales.planted_twice") in seen
    assert ("bloat", "sales.planted") in seen
    assert ("connections", "role analyst") in seen
    assert all(item["do"] and item["expected"] for item in found["findings"])


def add_a_column(session):
    """Wait for a lock until whoever holds it lets go."""
    session.execute("ALTER TABLE sales.contended ADD COLUMN later int")


def test_a_member_that_is_silent_makes_the_inspection_incomplete(cluster, monkeypatch):
    quiet = next(host for host in ("lab1", "lab2", "lab3") if host != cluster.leader())
    cluster.lab(quiet, "systemctl", "stop", "patroni")
    try:
        run, found = inspect(cluster, monkeypatch)
        assert run.code != 0
        assert f"orders-db: {quiet}: no answer" in run.output
        assert found["unobserved"] == [f"orders-db: {quiet}: no answer"]
    finally:
        cluster.lab(quiet, "systemctl", "start", "patroni")
        streaming = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'"
        harness.wait_for("the member streams again", lambda: cluster.sql(streaming) == "2", 120)


def test_the_monitoring_role_is_no_superuser_and_reads_no_rows(cluster):
    powers = "rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication"
    assert cluster.sql(f"SELECT {powers} FROM pg_roles WHERE rolname = 'holdfast_monitor'") == "f"
    may = "SELECT has_table_privilege('holdfast_monitor', 'sales.events', 'SELECT')"
    assert cluster.sql(may, "reporting") == "f"
    with pytest.raises(psycopg.OperationalError, match="no authentication method"):
        cluster.connect("holdfast_monitor", password=cluster.password("monitor"), pooler=True)
