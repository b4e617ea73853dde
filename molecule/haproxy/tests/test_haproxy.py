"""The local HAProxy leads to the member that leads, to replicas and to the synchronous standbys, and to nobody else."""

from __future__ import annotations

import harness
import pytest

FRONTENDS = {5000: "read-write", 5001: "read-only", 5002: "synchronous"}
# Runs on a member as the application would through its pooler: which server is at the end of a port?
ASK = (
    "PGPASSWORD={password} psql -XAtq 'host=orders-db-{name} hostaddr=127.0.0.2 port={port} dbname=orders"
    " user=orders_app sslmode=verify-full sslrootcert=/etc/holdfast/pki/ca.crt' -c"
    ' "select host(inet_server_addr()), pg_is_in_recovery(), ssl from pg_stat_ssl where pid = pg_backend_pid()"'
)


@pytest.fixture(scope="module")
def target():
    return harness.target("orders-db")


def servers(host):
    """Return the state of each server by frontend, as HAProxy's own socket tells it."""
    text = host.check_output(
        "python3 -c \"import socket; s = socket.socket(socket.AF_UNIX); s.connect('/run/haproxy/admin.sock');"
        " s.sendall(b'show stat\\n'); print(s.makefile().read())\""
    )
    rows = [line.split(",") for line in text.splitlines() if line and not line.startswith("#")]
    return {(row[0], row[1]): row[17] for row in rows if row[1] not in ("FRONTEND", "BACKEND")}


def test_each_frontend_has_the_members_it_is_for(host):
    def settled():
        up = {key for key, state in servers(host).items() if state.startswith("UP")}
        found = {proxy: {name for where, name in up if where == proxy} for proxy in (*FRONTENDS.values(), "leader")}
        return found if [len(names) for names in found.values()] == [1, 2, 1, 1] else None

    found = harness.wait_for("HAProxy follows Patroni", settled, 15)
    assert found["read-write"] | found["read-only"] == {"lab1", "lab2", "lab3"}
    assert found["synchronous"] < found["read-only"]
    assert found["leader"] == found["read-write"]


@pytest.mark.parametrize(("port", "name", "standby"), [(5000, "rw", "f"), (5001, "ro", "t")])
def test_a_session_ends_at_the_right_server_and_is_verified(host, target, port, name, standby):
    seen = host.check_output(ASK.format(password=target.password, name=name, port=port)).split("|")
    assert seen[1:] == [standby, "t"]


def test_a_name_that_the_certificate_does_not_carry_is_refused(host, target):
    command = ASK.format(password=target.password, name="xx", port=5000)
    found = host.run(command)
    assert found.rc != 0
    assert "does not match host name" in found.stderr


def test_only_the_host_itself_reaches_it(host):
    lines = host.check_output("ss -Hltn").splitlines()
    listening = {line.split()[3] for line in lines}
    for port in FRONTENDS:
        assert f"127.0.0.2:{port}" in listening
        assert not [item for item in listening if item.endswith(f":{port}") and item != f"127.0.0.2:{port}"]


def test_statistics_are_on_a_socket_of_its_own_user(host):
    socket = host.file("/run/haproxy/admin.sock")
    assert (socket.user, socket.mode) == ("haproxy", 0o600)
    assert host.check_output("ps -o user= -C haproxy").split() == ["haproxy"] * 2


def test_the_unit_is_sandboxed(host):
    score = host.check_output(
        "systemd-analyze security --no-pager haproxy.service | tail -1 | grep -oE '[0-9]+\\.[0-9]+'"
    )
    print(f"haproxy: systemd-analyze security {score}")
    assert float(score) <= 2.5


def test_a_reload_keeps_sessions(host, target):
    command = ASK.format(password=target.password, name="rw", port=5000).replace(' -c "', ' -c "select pg_sleep(2); ')
    slow = host.run(f"({command}) & sleep 0.7; systemctl reload haproxy; wait %1")
    assert slow.rc == 0, slow.stderr
