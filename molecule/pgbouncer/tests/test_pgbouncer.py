"""Applications reach the leader through any member's pooler, replicas by a second name, and nobody else gets in."""

from __future__ import annotations

import time

import harness
import psycopg
import pytest
import testinfra

CONSOLE = "runuser -u postgres -- psql -XAtq -h /run/pgbouncer -p 6432 -U pgbouncer pgbouncer -c "
DEADMAN = 20  # four times the lab's planned_outage_ms
# PgBouncer 1.18 of Debian 12 doesn't tell whether all of it is paused: its dead-man asks only twice in that time.
NOTICED = DEADMAN / 2 if harness.DEBIAN_12 else 0


@pytest.fixture(scope="module")
def target():
    return harness.target("orders-db")


def connect(target, host=None, **more):
    options = {
        "host": ",".join([host] if host else [name for name, _port in target.hosts]),
        "port": target.hosts[0][1],
        "dbname": target.database,
        "user": target.user,
        "password": target.password,
        "sslmode": "verify-full",
        "sslrootcert": target.ca_file,
        "connect_timeout": 3,
        **more,
    }
    return psycopg.connect(autocommit=True, **options)


def test_applications_are_told_of_the_poolers(target):
    assert {port for _host, port in target.hosts} == {6432}
    assert len(target.hosts) == 3


def test_any_pooler_leads_to_the_leader(target):
    seen = set()
    for host, _port in target.hosts:
        with connect(target, host) as session:
            assert session.pgconn.ssl_in_use
            row = session.execute(
                "select host(inet_server_addr()), pg_is_in_recovery(), ssl from pg_stat_ssl"
                " where pid = pg_backend_pid()"
            ).fetchone()
            assert row[1:] == (False, True)
            seen.add(row[0])
    assert len(seen) == 1


def test_the_second_name_leads_to_replicas(target):
    for host, _port in target.hosts:
        with connect(target, host, dbname="orders_ro") as session:
            assert session.execute("select pg_is_in_recovery()").fetchone()[0] is True
            with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
                session.execute("create table nothing (n int)")


@pytest.mark.skipif(harness.DEBIAN_12, reason="PgBouncer 1.18 keeps no prepared statements (docs/adr/0081)")
def test_prepared_statements_survive_the_pool(target):
    with connect(target) as one, connect(target) as other:
        for number in range(20):
            for session in (one, other):
                assert session.execute("select %s::int", (number,), prepare=True).fetchone()[0] == number


def test_statements_that_are_not_prepared_go_to_any_server(target):
    with connect(target, prepare_threshold=None) as one, connect(target, prepare_threshold=None) as other:
        for number in range(20):
            for session in (one, other):
                assert session.execute("select %s::int", (number,)).fetchone()[0] == number


def test_many_clients_share_few_servers(target, host):
    size = int(host.check_output(CONSOLE + "'show config'" + " | awk -F'|' '$1 == \"default_pool_size\" {print $2}'"))
    clients = [connect(target, target.hosts[0][0]) for _number in range(3 * size)]
    pids = {client.execute("select pg_backend_pid()").fetchone()[0] for client in clients}
    for client in clients:
        client.close()
    assert 1 <= len(pids) <= size < len(clients)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"sslmode": "disable"}, "SSL required"),
        ({"password": "wrong"}, "SASL authentication failed|password authentication failed"),
        ({"user": "postgres"}, "no such user|no authentication method|login rejected"),
        ({"user": "nobody_at_all"}, "no such user|no authentication method|login rejected"),
        ({"user": "replicator"}, "no such user|no authentication method|login rejected"),
        ({"user": "holdfast_pooler"}, "no authentication method|login rejected|authentication failed"),
        ({"user": "holdfast_monitor"}, "no authentication method|login rejected|authentication failed"),
        ({"dbname": "postgres"}, "no such database|no authentication method|login rejected|authentication failed"),
        ({"dbname": "holdfast_path"}, "no authentication method|login rejected"),
        ({"dbname": "holdfast_auth"}, "no authentication method|login rejected"),
        ({"dbname": "pgbouncer"}, "not allowed|no authentication method|login rejected"),
        ({"dbname": "pgbouncer", "user": "holdfast_pooler_admin"}, "no authentication method|login rejected"),
    ],
)
def test_everything_else_is_refused(target, change, said):
    with pytest.raises(psycopg.OperationalError, match=said):
        connect(target, **change)


def test_postgresql_itself_answers_members_only(target):
    with pytest.raises(psycopg.OperationalError, match=r"pg_hba.conf rejects|timeout"):
        connect(target, port=5432)


def test_the_lookup_is_open_to_nobody_else(target):
    with connect(target) as session, pytest.raises(psycopg.errors.Error, match=r"schema|permission"):
        session.execute("select * from holdfast_pooler.lookup('orders_app')")


def test_no_password_of_an_application_is_on_disk(host, target):
    users = host.file("/etc/pgbouncer/userlist.txt")
    assert (users.user, users.group, users.mode) == ("postgres", "postgres", 0o600)
    names = [line.split('"')[1] for line in users.content_string.splitlines()]
    assert names == ["holdfast_pooler", "holdfast_pooler_admin"]
    assert '"holdfast_pooler_admin" "SCRAM-SHA-256$' in users.content_string
    assert target.password not in host.check_output("grep -rh '' /etc/pgbouncer")
    assert target.password not in host.check_output(
        "journalctl --no-pager -q -u pgbouncer -u holdfast-pgbouncer-deadman"
    )


def test_the_pooler_verifies_the_server(host, target):
    """A name that the server's certificate does not carry ends the session, although it is the same server."""
    config = host.check_output("cat /etc/pgbouncer/pgbouncer.ini")
    assert "server_tls_sslmode = verify-full" in config
    host.check_output("grep -q orders-db-xx /etc/hosts || echo 127.0.0.2 orders-db-xx >> /etc/hosts")
    host.check_output(
        "sed -i '/dbname=.orders. connect/s/host=orders-db-rw/host=orders-db-xx/' /etc/pgbouncer/pgbouncer.ini"
    )
    own = own_address(host, target)
    try:
        host.check_output("systemctl reload pgbouncer")
        time.sleep(1)
        with pytest.raises(psycopg.Error), connect(target, own) as session:
            session.execute("select 1")
        assert "not present in server certificate" in host.check_output("journalctl -q --no-pager -u pgbouncer -n 50")
    finally:
        host.check_output("sed -i 's/host=orders-db-xx/host=orders-db-rw/' /etc/pgbouncer/pgbouncer.ini")
        host.check_output("sed -i /orders-db-xx/d /etc/hosts")
        host.check_output("systemctl reload pgbouncer")
    harness.wait_for("service", lambda: serves(target, own), 15)


@pytest.mark.parametrize("unit", ["pgbouncer.service", "holdfast-pgbouncer-deadman.service"])
def test_the_units_are_sandboxed(host, unit):
    assert host.service(unit).is_running
    assert host.service(unit).is_enabled
    score = host.check_output(f"systemd-analyze security --no-pager {unit} | tail -1 | grep -oE '[0-9]+\\.[0-9]+'")
    print(f"{unit}: systemd-analyze security {score}")
    assert float(score) <= 2.5


@pytest.fixture(scope="module")
def one(request):
    """Return one member: what takes as long as a dead-man is tried there and not on all."""
    return testinfra.get_host("ssh://lab2", ssh_config=request.config.option.ssh_config, sudo=True)


def own_address(host, target):
    return next(name for name, _port in target.hosts if name in host.check_output("hostname -I").split())


def serves(target, address, database="orders"):
    try:
        with connect(target, address, dbname=database, connect_timeout=2) as session:
            session.execute("set statement_timeout = '2s'")
            return session.execute("select 1").fetchone()
    except psycopg.Error:
        return None


@pytest.mark.parametrize("command", ["PAUSE", 'PAUSE "orders"', "SUSPEND"])
def test_whatever_was_paused_by_hand_resumes(one, target, command):
    begin = time.monotonic()
    one.check_output(CONSOLE + f"'{command}'")
    address, most = own_address(one, target), DEADMAN + (0 if '"' in command else NOTICED)
    harness.wait_for(f"service after {command}", lambda: serves(target, address), most + 10)
    waited = time.monotonic() - begin
    print(f"{command}: resumed after {waited:.1f} s of {DEADMAN} s")
    assert DEADMAN - 2 <= waited <= most + 5


def test_a_dead_man_that_is_killed_comes_back_and_still_resumes(one, target):
    one.check_output(CONSOLE + "'PAUSE \"orders_ro\"'")
    one.check_output("systemctl kill --signal=KILL holdfast-pgbouncer-deadman.service")
    address = own_address(one, target)
    harness.wait_for("service", lambda: serves(target, address, "orders_ro"), DEADMAN + 10)
    assert one.service("holdfast-pgbouncer-deadman.service").is_running
