"""What is supported on Debian 12 works and costs no more than elsewhere; the rest is refused before any change."""

from __future__ import annotations

import json
import shutil

import apt_repository
import harness
import pytest
import testinfra
import yaml

CALLS_PER_HOST = 10
MEMBERS = ("lab1", "lab2", "lab3")
PROGRAMS = ("etcd-server", "haproxy", "patroni", "pgbouncer", "postgresql-15")
UNITS = "etcd.service haproxy.service patroni.service pgbouncer.service"
OFFER = "/srv/holdfast-offer"
REDIS = {
    "engine": "redis",
    "version": {"series": "7.0"},
    "environment": "lab",
    "owner": "team-web",
    "escalation": "pager:web-primary",
    "members_group": "orders_db",
    "data": [{"name": "web-sessions", "class": "durable"}],
    "budget": {"rpo_seconds": 10, "rto_seconds": 15, "planned_outage_ms": 5000},
    "backup_class": "silver",
    "clients": ["{{ lab_network }}"],
}
RABBITMQ = {**REDIS, "engine": "rabbitmq", "version": {"series": "4.0"}, "data": [{"name": "x", "class": "durable"}]}
RABBITMQ["budget"] = {"rpo_seconds": 0, "rto_seconds": 30, "planned_outage_ms": 5000}


def test_the_hosts_carry_debian_12(host):
    assert host.check_output(". /etc/os-release; echo $VERSION_ID") == "12"
    found = host.check_output(
        "dpkg-query -W -f '${Package} ${Version}\\n' etcd-server patroni pgbouncer postgresql-15 haproxy"
    )
    print(found.replace("\n", ", "))


def test_second_run_changes_nothing_within_its_remote_calls():
    again = harness.run_playbook("site.yml")
    assert again.code == 0, again.output[-3000:]
    assert again.changed == []
    assert set(again.calls) >= set(MEMBERS), "no calls were counted: the counter is broken"
    print(f"no-change site.yml: {again.seconds:.1f} s, remote calls {again.calls}")
    assert max(again.calls.values()) <= CALLS_PER_HOST, again.calls


def test_status_is_healthy():
    seen = harness.wait_for("a healthy service", lambda: (s := harness.status()["orders-db"])["healthy"] and s, 60)
    assert seen["budget"]["kept"] is True, seen


def test_the_service_is_proven_from_a_clients_side():
    done = harness.holdfast("prove")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "orders-db" in done.stdout


def test_no_unit_has_a_line_that_systemd_does_not_know(host):
    units = "etcd.service patroni.service haproxy.service pgbouncer.service holdfast-pgbouncer-deadman.service"
    said = host.run(f"systemd-analyze verify {units}").stderr
    assert [line for line in said.splitlines() if "nknown" in line and "holdfast" in line] == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"sessions": REDIS}, ["redis", "Debian 12", "Debian 13", "nothing was changed"]),
        ({"events": RABBITMQ}, ["rabbitmq", "Debian 12", "Debian 13", "nothing was changed"]),
        (
            {"orders-db": {"version": {"series": "17"}}},
            ["expected PostgreSQL 15 for Debian 12", "asks orders-db for 17"],
        ),
    ],
)
def test_refused_before_the_first_change(change, words, tmp_path):
    folder = tmp_path / "inventory"
    shutil.copytree(harness.ROOT / harness.INVENTORY, folder)
    path = folder / "group_vars/all/service_catalog.yml"
    catalog = yaml.safe_load(path.read_text())
    for service, entry in change.items():
        catalog["service_catalog"][service] = {**catalog["service_catalog"].get(service, {}), **entry}
    path.write_text(yaml.safe_dump(catalog))
    seen = harness.run_playbook("site.yml", inventory=folder)
    assert seen.code != 0, "was accepted"
    assert seen.changed == [], "changed something before the refusal"
    for word in words:
        assert word in seen.output, seen.said


@pytest.fixture(scope="module")
def hosts(request):
    """Connect to the hosts by name."""
    config = request.config.option.ssh_config
    return {name: testinfra.get_host(f"ssh://{name}", ssh_config=config, sudo=True) for name in MEMBERS}


@pytest.fixture
def offer(hosts, request):
    """Bring a vendor's repository to every member, with a version 99 of every program, and return variables for it."""
    with apt_repository.signers("vendor") as (folder, (signer,)):
        apt_repository.make(folder / "holdfast-offer", signer, dict.fromkeys(PROGRAMS, ""), version="99")
        for name in hosts:
            ssh = ["ssh", "-F", request.config.option.ssh_config, name]
            apt_repository.bring(folder, ["holdfast-offer"], ssh)
        source = apt_repository.declared(OFFER, signer, PROGRAMS)
        path = folder / "variables.json"
        path.write_text(
            json.dumps({"host_baseline_package_source": "vendor", "host_baseline_package_sources": [source]})
        )
        yield f"@{path}"
    for host in hosts.values():
        host.check_output(f"rm -rf {OFFER}")


def running(hosts):
    """Return the versions that are installed on every member, and since when its services run."""
    versions = f"dpkg-query -W -f '${{Package}} ${{Version}} ' {' '.join(PROGRAMS)}"
    since = f"systemctl show --value -p ActiveEnterTimestampMonotonic {UNITS}"
    return {name: host.check_output(f"{versions}; {since}").split() for name, host in hosts.items()}


def test_another_source_of_packages_touches_no_program_that_has_data(hosts, offer):
    """A vendor that offers newer versions is declared and taken back: the same programs run on, not even restarted."""
    harness.wait_for("a healthy service", lambda: harness.status()["orders-db"]["healthy"], 60)
    before, leader = running(hosts), harness.status()["orders-db"]["leader"]
    assert all(len(found) == len(PROGRAMS) * 2 + len(UNITS.split()) for found in before.values()), before
    moved = harness.run_playbook("site.yml", "-e", offer)
    assert moved.code == 0, moved.output[-3000:]
    assert {line.split(": ", 1)[1].split(" | ")[0].split(" : ")[-1] for line in moved.changed} == {"sources"}
    for host in hosts.values():
        for program in PROGRAMS:
            assert "Candidate: 99" in host.check_output(f"LC_ALL=C apt-cache policy {program}"), program
    again = harness.run_playbook("site.yml", "-e", offer)
    assert (again.code, again.changed) == (0, []), again.output[-3000:]
    back = harness.run_playbook("site.yml")
    assert back.code == 0, back.output[-3000:]
    assert {line.split(": ", 1)[1].split(" | ")[0].split(" : ")[-1] for line in back.changed} == {"converge"}
    again = harness.run_playbook("site.yml")
    assert (again.code, again.changed) == (0, []), again.output[-3000:]
    assert running(hosts) == before
    assert harness.status()["orders-db"]["leader"] == leader


@pytest.fixture(scope="module")
def target():
    return harness.target("orders-db")


def test_planned_moves_lose_nothing_and_fail_nothing(target, hosts):
    """PAUSE, switch, RESUME, three times, under a client's writes."""
    ledger = harness.Ledger(target, "debian12")
    ledger.start()
    harness.wait_for("first acknowledged writes", lambda: len(ledger.acknowledged) > 30, 30)
    pauses = []
    for _number in range(3):
        moved = harness.run_playbook("switchover_postgres.yml", "-e", "holdfast_service=orders-db")
        assert moved.code == 0, moved.output[-3000:]
        pauses.append(moved.output.split("poolers paused for ")[1].split(" ms")[0])
    ledger.stop()
    lost, twice = ledger.audit()
    writes = len(ledger.acknowledged)
    print(f"orders-db: 3 moves on Debian 12, stall {ledger.longest_stall():.2f} s, {writes} writes, paused {pauses}")
    assert (ledger.errors, lost, twice) == ([], [], [])
    for host in hosts.values():
        assert "put_in_order" not in host.check_output("journalctl -q --no-pager -u pgbouncer")
        assert host.check_output("systemctl show -p NRestarts --value pgbouncer") == "0"
