"""Every password and every certificate is rotated under load: no failed transaction, no failed login."""

from __future__ import annotations

import json
import re
import secrets
import threading
import time

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


def held(hosts, name):
    """What Holdfast's own logins are on a host, as their programs read it: names and passwords."""
    host = hosts[name]
    patroni = yaml.safe_load(host.file("/etc/patroni/config.yml").content_string)
    hook = json.loads(host.file("/etc/patroni/release_leader_key.json").content_string)["etcd"]
    known = dict(re.findall(r'^"(.+)" "(.+)"$', host.file("/etc/pgbouncer/userlist.txt").content_string, re.MULTILINE))
    lookup = re.search(r"auth_user ?= ?(\w+)", host.file("/etc/pgbouncer/pgbouncer.ini").content_string).group(1)
    return {
        "patroni": (patroni["etcd3"]["username"], patroni["etcd3"]["password"]),
        "hook": (hook["user"], hook["password"]),
        "lookup": (lookup, known[lookup]),
        "administrators": {user: secret for user, secret in known.items() if "admin" in user},
    }


def lets_in(hosts, user, password):
    """Whether the consensus store lets a user in, seen by a tool that is not ours."""
    pki = "/etc/holdfast/pki"
    files = f"--cacert {pki}/ca.crt --cert {pki}/host.crt --key {pki}/host.key"
    command = (
        f"ETCDCTL_API=3 ETCDCTL_USER=%s etcdctl --endpoints https://lab2:2379 {files} get /service/orders-db/leader"
    )
    done = hosts["lab1"].run(command, f"{user}:{password}")
    refused = "authentication failed" in done.stderr
    assert refused or done.rc == 0, done.stderr
    return not refused


def complaints(hosts, since):
    """Refused logins of the poolers and of Patroni, by what they themselves say; applications' are tried on purpose."""
    words = {"pgbouncer": "login failed|authentication failed", "patroni": "AuthFailed|invalid user ID or password"}
    found = []
    for name, host in hosts.items():
        for unit, expected in words.items():
            said = host.run(f"journalctl --since=@{since:.0f} -u {unit} -o cat | grep -E '{expected}'").stdout
            found += [f"{name}: {line}" for line in said.splitlines() if "orders_app" not in line]
    return found


@pytest.mark.parametrize("turn", ["to the second login", "and back to the first"])
def test_passwords_rotate_under_load(turn, hosts):
    first = harness.target(SERVICE)
    before, begin = {name: held(hosts, name) for name in NAMES}, time.time()
    led = harness.status(SERVICE)[SERVICE]["leader"]
    old = load(first)
    done = rotate()
    assert done.code == 0, done.said
    after = {name: held(hosts, name) for name in NAMES}
    for name in NAMES:
        for what in ("patroni", "hook", "lookup"):
            assert after[name][what][0] != before[name][what][0], f"{name}: {what} goes to its other login"
            assert after[name][what][1] != before[name][what][1], f"{name}: {what} has another password"
        assert len(after[name]["administrators"]) == 2
    for what in ("patroni", "hook"):
        assert lets_in(hosts, *before["lab1"][what]), "both are valid until the end"
        assert lets_in(hosts, *after["lab1"][what])
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
    for what in ("patroni", "hook"):
        assert not lets_in(hosts, *before["lab1"][what]), f"{what}: the old password is worth nothing"
        assert lets_in(hosts, *after["lab1"][what])
    ended = held(hosts, "lab1")["administrators"]
    old_admins, new_admins = before["lab1"]["administrators"], after["lab1"]["administrators"]
    assert sum(ended[user] != new_admins[user] for user in ended) == 1, "one administrator's password ended"
    assert set(old_admins) <= set(ended)
    assert complaints(hosts, begin) == []
    assert harness.status(SERVICE)[SERVICE]["leader"] == led, "the store was never lost"
    print(f"passwords {turn}, the new login: {finish(*new)}")
    assert rotate("-e", "finish=true").changed == []


def test_a_rotation_of_the_store_that_was_aborted_is_completed(hosts):
    """The file hands the other user out and one member does not take it: what an abort after the hand-out leaves."""
    before = held(hosts, "lab3")["patroni"]
    hosts["lab3"].check_output("mount --bind /etc/patroni /etc/patroni && mount -o remount,ro,bind /etc/patroni")
    try:
        done = rotate("-e", "roles=etcd")
        assert done.code != 0, "a member that can't take the new user stops the rotation"
        early = rotate("-e", "roles=etcd", "-e", "finish=true")
        assert early.code != 0, "the old user is not ended while a member has it"
    finally:
        hosts["lab3"].check_output("umount /etc/patroni")
    assert held(hosts, "lab3")["patroni"] == before
    assert lets_in(hosts, *before)
    assert rotate("-e", "roles=etcd,etcd-root").code == 0
    assert held(hosts, "lab3")["patroni"][0] != before[0]
    assert rotate("-e", "roles=etcd,etcd-root", "-e", "finish=true").code == 0
    assert not lets_in(hosts, *before)
    done = harness.run_playbook("snapshot_etcd.yml", "-e", f"holdfast_service={SERVICE}")
    assert done.code == 0, "who is root now may do what root does: " + done.said


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
