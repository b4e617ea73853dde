"""Every password and every certificate is rotated under load: no failed transaction, no failed login."""

from __future__ import annotations

import secrets
import threading

import harness
import psycopg
import pytest
import testinfra
import yaml

SERVICE = "orders-db"
NAMES = ("lab1", "lab2", "lab3")


@pytest.fixture(scope="module")
def hosts(request):
    """Connect to the hosts by name."""
    config = request.config.option.ssh_config
    return {name: testinfra.get_host(f"ssh://{name}", ssh_config=config, sudo=True) for name in NAMES}


def connect(target, **more):
    options = {
        "host": ",".join(host for host, _port in target.hosts),
        "port": target.hosts[0][1],
        "dbname": target.database,
        "user": target.user,
        "password": target.password,
        "sslmode": "verify-full",
        "sslrootcert": target.ca_file,
        "target_session_attrs": "read-write",
        "connect_timeout": 5,
        **more,
    }
    return psycopg.connect(autocommit=True, **options)


class Logins(threading.Thread):
    """Logs in again and again, on every member, with what was handed out last."""

    def __init__(self, goal):
        super().__init__(daemon=True)
        self.goal, self.count, self.errors = goal, 0, []
        self._ending = threading.Event()

    def run(self):
        while not self._ending.wait(0.05):
            for host, _port in self.goal.hosts:
                try:
                    connect(self.goal, host=host, target_session_attrs="any").close()
                except psycopg.Error as error:
                    self.errors.append(str(error))
                else:
                    self.count += 1

    def stop(self):
        self._ending.set()
        self.join(30)
        assert not self.is_alive()


def load(goal):
    """Start a writer and a client that logs in all the time."""
    ledger, logins = harness.Ledger(goal, secrets.token_hex(5)), Logins(goal)
    ledger.start()
    logins.start()
    harness.wait_for("first acknowledged writes", lambda: len(ledger.acknowledged) > 50, 30)
    harness.wait_for("first logins", lambda: logins.count > 3, 30)
    return ledger, logins


def finish(ledger, logins):
    ledger.stop()
    logins.stop()
    missing = ledger.missing()
    figures = f"{len(ledger.acknowledged)} acknowledged, {logins.count} logins"
    assert (missing, ledger.errors, logins.errors) == ([], [], []), figures
    return figures


def rotate(*extra):
    return harness.run_playbook("rotate_postgres_passwords.yml", "-e", f"holdfast_service={SERVICE}", *extra)


@pytest.mark.parametrize("turn", ["to the second login", "and back to the first"])
def test_passwords_rotate_under_load(turn, hosts):
    first = harness.target(SERVICE)
    old = load(first)
    done = rotate()
    assert done.code == 0, done.said
    assert first.password not in done.output
    second = harness.target(SERVICE)
    assert second.user != first.user
    assert second.password != first.password
    new = load(second)

    again = rotate()
    assert again.code == 0, again.said
    assert again.changed == [], "a rotation that was begun is not begun again"
    assert harness.target(SERVICE).user == second.user

    refused = rotate("-e", "finish=true", "-e", "roles=app")
    assert refused.code != 0
    assert "expected no session of the old login" in refused.output

    print(f"passwords {turn}, the old login meanwhile: {finish(*old)}")
    done = rotate("-e", "finish=true")
    assert done.code == 0, done.said
    with pytest.raises(psycopg.OperationalError, match="authentication failed"):
        connect(first)
    with connect(second) as leader:
        who = leader.execute("SELECT session_user, current_user").fetchone()
    assert who == (second.user, "orders_app"), "what the second login makes belongs to the role"
    print(f"passwords {turn}, the new login: {finish(*new)}")
    assert rotate("-e", "finish=true").changed == []


def test_patronis_own_roles_have_no_password_that_could_be_used(hosts):
    goal = harness.target(SERVICE)
    for user in ("replicator", "rewind"):
        with pytest.raises(psycopg.OperationalError, match=r"no such user|no authentication method|login rejected"):
            connect(goal, user=user, dbname="postgres")
    for host in hosts.values():
        known = yaml.safe_load(host.file("/etc/patroni/config.yml").content_string)["postgresql"]["authentication"]
        assert [user for user, how in known.items() if "password" in how] == []


def serial(hosts, name):
    return hosts[name].check_output("openssl x509 -in /etc/holdfast/pki/host.crt -noout -serial")


def test_certificates_rotate_under_load(hosts):
    before = {name: serial(hosts, name) for name in NAMES}
    running = load(harness.target(SERVICE))
    done = harness.run_playbook("rotate_certificates.yml", "-e", f"holdfast_service={SERVICE}")
    assert done.code == 0, done.said
    after = {name: serial(hosts, name) for name in NAMES}
    assert all(before[name] != after[name] for name in NAMES)
    served = hosts["lab1"].check_output(
        "echo | openssl s_client -connect lab2:5432 -starttls postgres 2>/dev/null | openssl x509 -noout -serial"
    )
    assert served == after["lab2"], "seen by a tool that is not ours"
    print(f"certificates: {finish(*running)}, in {done.seconds:.0f} s")


def test_replication_comes_back_with_certificates_alone(hosts):
    """A standby that has to log in again, after everything was rotated."""
    status = harness.wait_for("healthy", lambda: (s := harness.status(SERVICE)[SERVICE])["healthy"] and s, 60)
    leader = status["leader"]
    kill = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_replication WHERE usename = 'replicator'"
    count = hosts[leader].check_output("cd / && sudo -u postgres psql -XAtc %s", kill)
    assert count == "2"
    again = harness.wait_for("healthy again", lambda: (s := harness.status(SERVICE)[SERVICE])["healthy"] and s, 60)
    assert again["leader"] == leader
