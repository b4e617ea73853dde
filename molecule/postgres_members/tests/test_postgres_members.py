"""Members come and go, dead or alive, while a client writes: nothing is lost, and a second run changes nothing."""

from __future__ import annotations

import dataclasses
import json
import secrets
from contextlib import contextmanager

import harness
import pytest
from postgres_members import MEMBERS, SERVICE, on

SPARE = "lab4"
PKI = "/etc/holdfast/pki"
DATA = "/var/lib/postgresql/*/orders-db"


@contextmanager
def written(*through):
    """Write through these members' poolers while the block runs; nothing acknowledged may be missing afterwards."""
    ways = tuple(f"{harness.lab().prefix}.{10 + int(name.removeprefix('lab'))}" for name in through)
    whole = harness.target(SERVICE)
    target = dataclasses.replace(whole, hosts=tuple(pair for pair in whole.hosts if pair[0] in ways))
    assert len(target.hosts) == len(through), whole.hosts
    ledger = harness.Ledger(target, secrets.token_hex(5))
    ledger.start()
    harness.wait_for("first acknowledged writes", lambda: len(ledger.acknowledged) > 50, 30)
    try:
        yield
        seen = len(ledger.acknowledged)
        harness.wait_for("writes afterwards", lambda: len(ledger.acknowledged) > seen + 50, 30)
    finally:
        ledger.stop()
    missing = ledger.missing()
    print(
        f"change of members: {len(ledger.acknowledged)} acknowledged, {len(missing)} lost, {len(ledger.errors)} errors,"
        f" longest stall {ledger.longest_stall():.2f} s"
    )
    assert missing == []


def voters(name):
    files = f"--cacert {PKI}/ca.crt --cert {PKI}/host.crt --key {PKI}/host.key"
    said = on(name, f"ETCDCTL_API=3 etcdctl --endpoints https://127.0.0.1:2379 {files} -w json member list")
    listed = json.loads(said)["members"]
    assert not any(item.get("isLearner") for item in listed)
    return {item["name"] for item in listed}


def slots(name):
    return set(on(name, "cd / && sudo -u postgres psql -XAtc 'SELECT slot_name FROM pg_replication_slots'").split())


def good(done):
    assert done.code == 0, done.said
    return done


def refused(done, said):
    assert done.code != 0
    assert said in done.output, done.said


def members_are(cluster, leader, *names):
    """The cluster is whole with exactly these members, in Patroni and in etcd, and keeps WAL for nobody else."""
    assert cluster.healthy()["leader"] == leader, "the lead moved"
    assert set(cluster.roles(leader)) == set(names)
    assert voters(leader) == set(names)
    assert slots(leader) <= set(names)
    assert "member_slots_ttl" not in cluster.api(leader, "/config")
    # Closes the firewall for the one that left; the run after it has nothing left to do.
    good(cluster.site())
    assert good(cluster.site()).changed == []


@pytest.fixture(scope="module")
def leader(cluster):
    return cluster.healthy()["leader"]


@pytest.fixture(scope="module")
def leaver(cluster, leader):
    """The synchronous standby: the one that commits wait for."""
    return next(name for name, role in cluster.roles(leader).items() if role in ("sync_standby", "quorum_standby"))


@pytest.fixture(scope="module")
def stays(leader, leaver):
    return next(name for name in MEMBERS if name not in (leader, leaver))


def test_a_member_joins_and_the_synchronous_standby_leaves_under_load(cluster, leader, leaver, stays):
    cluster.declare(leader, stays, SPARE)
    remove = ("remove_postgres_member.yml", "-e", f"member={leaver}")
    with written(leader, stays):
        done = good(cluster.run("add_postgres_member.yml", "-e", f"member={SPARE}", "-e", f"leaving={leaver}"))
        print(f"{SPARE} joined in {done.seconds:.0f} s")
        assert voters(leader) == {*MEMBERS, SPARE}, "one that answers keeps its vote until it is removed"
        cluster.api(leader, "/config", "PATCH", {"pause": True})
        harness.wait_for("paused", lambda: cluster.api(stays, "/cluster").get("pause"), 30)
        refused(cluster.run(*remove), "automatic failover is paused: resume it first")
        cluster.api(leader, "/config", "PATCH", {"pause": None})
        harness.wait_for("armed", lambda: not cluster.api(stays, "/cluster").get("pause"), 30)
        assert on(leaver, "systemctl is-active patroni") == "active"
        done = good(cluster.run(*remove))
        print(f"{leaver} left in {done.seconds:.0f} s")
    for unit in ("patroni", "etcd", "pgbouncer", "haproxy"):
        active, enabled = on(leaver, f"systemctl is-active {unit}; systemctl is-enabled {unit}", check=False).split()
        # etcd ends by itself when it has no vote any more, and may call that a failure.
        assert active in ("inactive", "failed"), f"{unit}: {active}"
        assert enabled == "disabled", f"{unit}: {enabled}"
    on(
        leaver,
        f"test ! -e {DATA} && test -s {DATA}.removed-*/PG_VERSION && ! ls -l /proc/[0-9]*/exe 2>&1 | grep bin/postgres",
    )
    gone = ["/etc/patroni/config.yml", "/etc/systemd/system/holdfast-etcd-lead.timer"]
    on(leaver, " && ".join(f"test ! -e {path}" for path in gone))
    assert good(cluster.run(*remove)).changed == []
    members_are(cluster, leader, leader, stays, SPARE)


def test_what_a_killed_removal_left_is_set_back(cluster, leader, leaver):
    cluster.api(leader, "/config", "PATCH", {"member_slots_ttl": 1})
    done = good(cluster.run("remove_postgres_member.yml", "-e", f"member={leaver}"))
    assert [line.split(":")[0] for line in done.changed] == [leader]
    assert "member_slots_ttl" not in cluster.api(leader, "/config")


def test_a_member_of_another_cluster_is_not_stopped(cluster, leaver):
    path = on(leaver, f"ls -d {DATA}.removed-*").splitlines()[0].split(".removed-")[0]
    config = "/etc/patroni/config.yml"
    on(leaver, f"echo 'scope: bills-db' >{config}; mkdir {path} && touch {path}/precious")
    try:
        done = cluster.run("remove_postgres_member.yml", "-e", f"member={leaver}")
        refused(done, "expected scope orders-db, found bills-db")
        on(leaver, f"test -e {path}/precious")
    finally:
        on(leaver, f"rm -r {config} {path}")


def test_a_dead_member_is_replaced_by_a_host_of_another_name(cluster, leader, leaver, stays):
    # Its old data of the store would be that of a member that has lost its vote.
    on(leaver, "rm -rf /var/lib/etcd/orders-db/member")
    cluster.healthy()
    cluster.declare(*MEMBERS)
    with written(leader, stays):
        harness.power_cut(SPARE)
        done = good(cluster.run("add_postgres_member.yml", "-e", f"member={leaver}", "-e", f"leaving={SPARE}"))
        print(f"{leaver} took the place of a dead member in {done.seconds:.0f} s")
        done = cluster.run("remove_postgres_member.yml", "-e", f"member={SPARE}", "--limit", f"!{SPARE}")
        good(done)
    members_are(cluster, leader, *MEMBERS)
