"""An application reaches the leader over verified TLS with SCRAM, may do its work and nothing else."""

from __future__ import annotations

import json
import secrets

import harness
import psycopg
import pytest

SERVICE = "orders-db"
PORT = 5432
# Runs on a member, without a client certificate: reading is allowed, changing is not.
STRANGER = """
import ssl, sys, urllib.error, urllib.request
context = ssl.create_default_context(cafile="/etc/holdfast/pki/ca.crt")
for method, path in (
    ("GET", "patroni"), ("POST", "restart"), ("POST", "reload"), ("POST", "switchover"), ("PATCH", "config")
):
    body = None if method == "GET" else b"{}"
    question = urllib.request.Request(f"https://{sys.argv[1]}:8008/{path}", method=method, data=body)
    try:
        print(urllib.request.urlopen(question, timeout=5, context=context).status)
    except urllib.error.HTTPError as error:
        print(error.code)
"""


@pytest.fixture(scope="module")
def target():
    return harness.target(SERVICE)


def connect(target, **more):
    options = {
        "host": ",".join(host for host, _port in target.hosts),
        "port": PORT,
        "dbname": target.database,
        "user": target.user,
        "password": target.password,
        "sslmode": "verify-full",
        "sslrootcert": target.ca_file,
        "target_session_attrs": "read-write",
        "connect_timeout": 3,
        **more,
    }
    return psycopg.connect(autocommit=True, **options)


def test_a_write_through_the_client_entry_is_on_every_member(target):
    name = f"test_{secrets.token_hex(4)}"
    with connect(target) as leader:
        leader.execute(f"CREATE TABLE {name} (n int)")
        leader.execute(f"INSERT INTO {name} VALUES (42)")  # noqa: S608 - a name of our own
        lsn = leader.execute("SELECT pg_current_wal_lsn()::text").fetchone()[0]
        for host, _port in target.hosts:
            with connect(target, host=host, target_session_attrs="any") as member:
                seen = "SELECT NOT pg_is_in_recovery() OR pg_last_wal_replay_lsn() >= %s::pg_lsn"
                harness.wait_for(f"{host} replays", lambda m=member, q=seen: m.execute(q, (lsn,)).fetchone()[0], 10)
                assert member.execute(f"SELECT n FROM {name}").fetchone()[0] == 42  # noqa: S608
        leader.execute(f"DROP TABLE {name}")


def test_a_commit_waits_for_a_synchronous_standby(target):
    with connect(target) as leader:
        assert leader.execute("SHOW synchronous_commit").fetchone()[0] == "on"
        assert leader.execute("SHOW synchronous_standby_names").fetchone()[0] not in ("", "*")


def test_the_session_is_encrypted_and_the_cluster_has_checksums(target):
    with connect(target) as leader:
        assert leader.execute("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()").fetchone()[0] is True
        assert leader.execute("SHOW data_checksums").fetchone()[0] == "on"
        assert leader.execute("SHOW password_encryption").fetchone()[0] == "scram-sha-256"
        found = leader.execute(
            "SELECT pg_encoding_to_char(encoding), datlocprovider FROM pg_database WHERE datname = current_database()"
        ).fetchone()
    # PostgreSQL 15 has no builtin provider of collations.
    assert found == ("UTF8", "c" if harness.DEBIAN_12 else "b")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"sslmode": "disable"}, "pg_hba.conf rejects"),
        ({"password": "wrong"}, "password authentication failed"),
        ({"user": "postgres"}, "pg_hba.conf rejects"),
        ({"user": "replicator"}, "pg_hba.conf rejects"),
        ({"dbname": "postgres"}, "pg_hba.conf rejects"),
        ({"dbname": "template1"}, "pg_hba.conf rejects"),
        ({"user": "holdfast_monitor"}, "pg_hba.conf rejects"),
    ],
)
def test_everything_else_is_refused(target, change, said):
    with pytest.raises(psycopg.OperationalError, match=said):
        connect(target, **change)


def test_replication_is_refused_to_an_application(target):
    with pytest.raises(psycopg.OperationalError, match=r"pg_hba.conf rejects|must have the REPLICATION"):
        connect(target, replication="true")


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE ROLE x",
        "CREATE DATABASE x",
        "ALTER SYSTEM SET work_mem = '1MB'",
        "COPY (SELECT 1) TO PROGRAM 'true'",
        "SELECT pg_read_file('/etc/passwd')",
        "SELECT rolpassword FROM pg_authid",
        "SET ROLE postgres",
        "SET session_replication_role = replica",
    ],
)
def test_an_application_is_no_administrator(target, statement):
    with connect(target) as leader, pytest.raises(psycopg.errors.InsufficientPrivilege):
        leader.execute(statement)


def test_nothing_is_changed_through_the_api_without_a_certificate(host):
    found = host.run("python3 -c %s %s", STRANGER, host.check_output("hostname"))
    assert found.stdout.split() == ["200", "403", "403", "403", "403"], found.stderr


def test_no_secret_is_readable_and_no_packaged_cluster_runs(host):
    config = host.file("/etc/patroni/config.yml")
    assert (config.user, config.mode) == ("postgres", 0o600)
    assert host.run("pg_lsclusters -h").stdout.strip() == ""
    assert not host.service("postgresql").is_enabled
    assert host.service("patroni").is_running
    score = host.check_output(
        "systemd-analyze security --no-pager patroni.service | tail -1 | grep -oE '[0-9]+\\.[0-9]+'"
    )
    assert float(score) <= 2.5


def test_a_watchdog_would_be_open_to_patroni(host):
    """Lab hosts have none: the rule is there, udev takes it, and nothing fails for want of a device."""
    rule = "/etc/udev/rules.d/61-holdfast-watchdog.rules"
    assert 'KERNEL=="watchdog", SUBSYSTEM=="misc", GROUP="postgres", MODE="0660"' in host.file(rule).content_string
    if host.run("udevadm verify --help").rc == 0:
        host.check_output(f"udevadm verify {rule}")
    assert "udevadm trigger --action=change --name-match=/dev/watchdog" in host.check_output("systemctl cat patroni")


def test_no_password_reached_the_log(host, target):
    log = host.check_output("journalctl -u patroni --no-pager -q")
    assert target.password not in log


def test_the_store_is_led_from_another_host(host):
    """Or the loss of the leader's host would cost an election of etcd, and every lease its whole time, on top."""
    ask = (
        "ETCDCTL_API=3 etcdctl --endpoints https://127.0.0.1:2379 --cacert /etc/holdfast/pki/ca.crt"
        " --cert /etc/holdfast/pki/host.crt --key /etc/holdfast/pki/host.key -w json"
    )
    names = {item["ID"]: item["name"] for item in json.loads(host.check_output(f"{ask} member list"))["members"]}

    def elsewhere():
        seen = json.loads(host.check_output(f"{ask} endpoint status"))[0]["Status"]
        leader = names[seen["leader"]]
        # Given back, where it was taken here, by whoever looks next.
        return leader if leader != harness.status(SERVICE)[SERVICE]["leader"] else None

    assert harness.wait_for("etcd is led from another host", elsewhere, 40) in names.values()
