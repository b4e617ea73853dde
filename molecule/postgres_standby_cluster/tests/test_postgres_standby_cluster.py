"""Rows of one site are on the other, whoever leads; it takes writes after an approval, never while the source does."""

from __future__ import annotations

import json
import secrets
import time

import harness
import pytest
from ansible_collections.holdfast.stateful.plugins.module_utils.probe import Target, probe_for

SOURCE, SITE = "orders-db", "orders-db-b"
HERE, THERE = ("lab1", "lab2", "lab3"), ("lab4", "lab5", "lab6")


@pytest.fixture(scope="module")
def table(sites):
    """A table of the source's application, and how rows get into it."""
    name = f"site_{secrets.token_hex(4)}"
    sites.sql(source_leader(sites), f"SET ROLE orders_app; CREATE TABLE {name} (n int PRIMARY KEY)")
    yield name
    for member in (source_leader(sites), site_leader(sites)):
        sites.sql(member, f"DROP TABLE IF EXISTS {name}")


def leader_of(sites, names, wanted):
    def look():
        for name in names:
            listed = sites.api(name, "/cluster")["members"]
            found = [
                item["name"] for item in listed if item["role"] in wanted and item["state"] in ("running", "streaming")
            ]
            if found:
                return found[0]
        return None

    return harness.wait_for(f"one of {wanted}", look, 60)


def source_leader(sites):
    return leader_of(sites, HERE, ("leader",))


def site_leader(sites):
    return leader_of(sites, THERE, ("standby_leader", "leader"))


def answer(sites, name, statement):
    """Ask a member that may be starting."""
    return sites.hosts[name].run("cd / && sudo -u postgres psql -XAtd orders -c %s", statement).stdout.strip()


def arrives(sites, table, row, names=THERE):
    """Write a row at the source and see it on every member of the other site."""
    sites.sql(source_leader(sites), f"INSERT INTO {table} VALUES ({row})")  # noqa: S608 - a name of our own
    for name in names:
        asked = f"SELECT count(*) FROM {table} WHERE n = {row}"  # noqa: S608 - a name of our own
        harness.wait_for(f"row {row} on {name}", lambda n=name, q=asked: answer(sites, n, q) == "1", 60)


def promote(sites, *extra):
    return harness.run_playbook(
        "promote_standby_cluster.yml", "-e", f"holdfast_service={SITE}", *extra, inventory=sites.b
    )


@pytest.mark.parametrize("site", ["a", "b"])
def test_a_second_run_changes_nothing(sites, site):
    done = harness.run_playbook("site.yml", "--tags", "hosts,etcd,postgres", inventory=getattr(sites, site))
    assert done.code == 0, done.said
    print(f"no-change site.yml: {done.calls}, {done.seconds:.1f} s, changed: {done.changed}")
    assert done.changed == []


def test_rows_written_here_are_on_every_member_there_and_nobody_writes_there(sites, table):
    arrives(sites, table, 1)
    for name in THERE:
        done = sites.hosts[name].run(f"cd / && sudo -u postgres psql -XAtd orders -c 'INSERT INTO {table} VALUES (99)'")  # noqa: S608 - a name of our own
        assert "read-only transaction" in done.stderr


def test_the_copy_comes_over_verified_tls_by_the_followers_certificate(sites):
    seen = sites.sql(
        source_leader(sites),
        "SELECT a.application_name, s.ssl, s.client_dn FROM pg_stat_replication a JOIN pg_stat_ssl s USING (pid)",
    )
    name = site_leader(sites)
    assert f"{name}|t|/O=Holdfast/OU={name}" in seen.splitlines()
    info = sites.sql(name, "SELECT conninfo FROM pg_stat_wal_receiver")
    assert "sslmode=verify-full" in info
    assert "sslrootcert=/etc/patroni/authorities.crt" in info


def test_each_site_has_an_authority_of_its_own_and_only_postgresql_trusts_the_other(sites):
    keys = {name: sites.hosts[name].file("/etc/holdfast/pki/ca.crt").content_string for name in ("lab1", "lab4")}
    assert keys["lab1"] != keys["lab4"]
    both = sites.hosts["lab1"].file("/etc/patroni/authorities.crt").content_string
    assert all(key.strip() in both for key in keys.values())


def test_the_status_shows_a_healthy_standby_cluster_with_its_lag(sites):
    seen = harness.wait_for("a healthy site", lambda: (s := sites.status())["healthy"] and s, 60)
    assert seen["leader"] in THERE
    lags = {member["host"]: member["lag_seconds"] for member in seen["members"]}
    assert all(lag is not None and lag < 5 for lag in lags.values()), lags


def test_the_site_follows_whoever_leads_here(sites, table):
    old = source_leader(sites)
    done = harness.run_playbook(
        "switchover_postgres.yml",
        "-e",
        f"holdfast_service={SOURCE}",
        "-e",
        "postgres_pause_poolers=false",
        inventory=sites.a,
    )
    assert done.code == 0, done.said
    assert source_leader(sites) != old
    arrives(sites, table, 2)


def test_another_member_there_follows_when_the_one_that_followed_is_gone(sites, table):
    old = site_leader(sites)
    begin = time.monotonic()
    sites.hosts[old].check_output("systemctl stop patroni")
    rest = [name for name in THERE if name != old]
    harness.wait_for("another one", lambda: leader_of(sites, rest, ("standby_leader",)) != old, 60)
    print(f"another member follows after {time.monotonic() - begin:.1f} s")
    arrives(sites, table, 3, rest)
    sites.hosts[old].check_output("systemctl start patroni")
    arrives(sites, table, 4)


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        ((), "expected the approval -e approve=orders-db-b"),
        (("-e", "approve=orders-db"), "expected the approval -e approve=orders-db-b"),
        (("-e", f"approve={SITE}"), "take writes"),
        (("-e", f"approve={SITE}", "-e", "source_is_lost=true"), "take writes"),
    ],
)
def test_a_promotion_is_refused_without_an_approval_and_while_the_source_takes_writes(sites, extra, said):
    done = promote(sites, *extra)
    assert done.code != 0
    assert said in done.output
    assert done.changed == []
    assert "standby_cluster" in sites.api("lab4", "/config")


def test_a_catalog_that_says_otherwise_promotes_nobody(sites):
    declared = sites.b / "group_vars/all/service_catalog.yml"
    before = declared.read_text()
    sites.change(standby_of=None)
    done = harness.run_playbook("site.yml", "--tags", "postgres", "--check", inventory=sites.b)
    declared.write_text(before)
    assert done.code != 0
    assert "promote_standby_cluster.yml" in done.output
    assert "standby_cluster" in sites.api("lab4", "/config")


def test_it_is_promoted_when_the_source_is_stated_to_be_lost_and_has_every_row(sites, table):
    sites.sql(source_leader(sites), f"INSERT INTO {table} SELECT generate_series(1000, 1999)")
    leader = source_leader(sites)
    for name in [name for name in HERE if name != leader] + [leader]:
        sites.hosts[name].check_output("systemctl stop patroni")
    done = promote(sites, "-e", f"approve={SITE}")
    assert done.code != 0
    assert "source_is_lost=true" in done.output
    done = promote(sites, "-e", f"approve={SITE}", "-e", "source_is_lost=true")
    assert done.code == 0, done.said
    print(f"promotion of a standby cluster: {done.seconds:.1f} s")
    new = leader_of(sites, THERE, ("leader",))
    assert sites.sql(new, "SELECT pg_is_in_recovery()") == "f"
    assert sites.sql(new, f"SELECT count(*) FROM {table} WHERE n >= 1000") == "1000"  # noqa: S608 - a name of our own
    assert "standby_cluster" not in sites.api(new, "/config")


def test_promoting_again_changes_nothing(sites):
    done = promote(sites, "-e", f"approve={SITE}")
    assert done.code == 0, done.said
    assert done.changed == []
    assert "takes writes already" in done.output


def test_a_promoted_cluster_is_not_made_a_standby_again_by_its_catalog(sites):
    done = harness.run_playbook("site.yml", "--tags", "postgres", inventory=sites.b)
    assert done.code != 0
    assert "remove standby_of" in done.output
    assert "standby_cluster" not in sites.api("lab4", "/config")


def test_after_the_edit_applications_enter_there_and_a_second_run_changes_nothing(sites):
    sites.change(standby_of=None)
    done = harness.run_playbook("site.yml", inventory=sites.b)
    assert done.code == 0, done.said
    again = harness.run_playbook("site.yml", inventory=sites.b)
    assert again.code == 0, again.said
    assert again.changed == []
    said = json.loads(harness.holdfast("-i", str(sites.b), "connect", SITE, "--json", "--show-secret").stdout)
    probe = probe_for(
        Target(
            service=SITE,
            engine="postgres",
            hosts=tuple((item["host"], item["port"]) for item in said["hosts"]),
            sentinels=(),
            sentinel_name="",
            database=said["database"],
            vhost="",
            user=said["user"],
            password=said["password"],
            ca_file=said["ca_file"],
            timeout=5.0,
        )
    )
    probe.open()
    probe.write("after", 1)
    assert probe.read("after") == [1]
    probe.forget("after")
    probe.close()
    seen = harness.wait_for("a healthy cluster", lambda: (s := sites.status())["healthy"] and s, 60)
    assert [member["role"] for member in seen["members"]].count("sync_standby") == 1


def test_the_source_comes_back_alone_and_its_slot_can_go(sites):
    for name in HERE:
        sites.hosts[name].check_output("systemctl start patroni")
    leader = source_leader(sites)
    sites.api(leader, "/config", "PATCH", {"slots": None})
    harness.wait_for(
        "no slot",
        lambda: sites.sql(leader, "SELECT count(*) FROM pg_replication_slots WHERE slot_name = 'orders_db_b'") == "0",
        30,
    )
