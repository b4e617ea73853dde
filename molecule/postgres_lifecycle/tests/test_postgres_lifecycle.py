"""Settings change in the right order under load, pauses end, leaders stay, replicas and etcd members are built anew."""

from __future__ import annotations

import json
import secrets
import subprocess
import time

import harness
import pytest
import testinfra

SERVICE = "orders-db"
NAMES = ("lab1", "lab2", "lab3")
PKI = "/etc/holdfast/pki"
ASK = f"""
import http.client, json, ssl, sys
address, method, path, body = sys.argv[1:]
context = ssl.create_default_context(cafile="{PKI}/ca.crt")
context.load_cert_chain("{PKI}/host.crt", "{PKI}/host.key")
talk = http.client.HTTPSConnection(address, 8008, context=context, timeout=60)
talk.request(method, path, body=body or None)
answer = talk.getresponse()
print(answer.read().decode())
sys.exit(answer.status != 200)
"""


@pytest.fixture(scope="module")
def hosts(request):
    """Connect to the hosts by name."""
    config = request.config.option.ssh_config
    return {name: testinfra.get_host(f"ssh://{name}", ssh_config=config, sudo=True) for name in NAMES}


@pytest.fixture(scope="module")
def addresses():
    return dict(zip(NAMES, [host for host, _port in harness.target(SERVICE).hosts], strict=True))


def api(host, address, path, method="GET", body=None):
    text = "" if body is None else json.dumps(body)
    said = host.check_output("python3 -c %s %s %s %s %s", ASK, address, method, path, text)
    return json.loads(said) if said.startswith("{") else said


def sql(host, statement):
    return host.check_output("cd / && sudo -u postgres psql -XAtc %s", statement)


def leader():
    return harness.wait_for("a leader", lambda: harness.status(SERVICE)[SERVICE]["leader"], 60)


def healthy():
    return harness.wait_for("all members healthy", lambda: (s := harness.status(SERVICE)[SERVICE])["healthy"] and s, 90)


def run(name, *extra):
    return harness.run_playbook(name, "-e", f"holdfast_service={SERVICE}", *extra)


def configure(**parameters):
    return run("configure_postgres.yml", "-e", json.dumps({"postgres_parameters": parameters}))


def started(hosts):
    return {
        name: float(sql(host, "SELECT extract(epoch FROM pg_postmaster_start_time())")) for name, host in hosts.items()
    }


def values(hosts, name):
    return {sql(host, f"SHOW {name}") for host in hosts.values()}


def timeline(hosts):
    return {sql(host, "SELECT timeline_id FROM pg_control_checkpoint()") for host in hosts.values()}


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"max_conections": 200}, "max_conections: expected a parameter of this server, found none of that name"),
        ({"max_connections": 999999}, "max_connections: expected 1 to 262143, found 999999"),
        ({"work_mem": "10MB", "shared_buffers": "8kB"}, "shared_buffers: expected 16 to"),
    ],
)
def test_what_postgresql_would_not_take_is_refused_before_anything_changes(hosts, addresses, parameters, said):
    before = api(hosts["lab1"], addresses["lab1"], "/config")
    done = configure(**parameters)
    assert done.code != 0
    assert said in done.output
    assert api(hosts["lab1"], addresses["lab1"], "/config") == before


def test_settings_change_under_load_in_the_right_order(hosts):
    healthy()
    old, lines = leader(), timeline(hosts)
    base = int(values(hosts, "max_connections").pop())
    senders = int(values(hosts, "max_wal_senders").pop())
    run_id = secrets.token_hex(5)
    ledger = harness.Ledger(harness.target(SERVICE), run_id)
    ledger.start()
    harness.wait_for("first acknowledged writes", lambda: len(ledger.acknowledged) > 50, 30)
    standbys = [name for name in NAMES if name != old]
    steps = (
        ("raise", {"max_connections": base + 40}, "standbys first"),
        ("shared_buffers", {"max_connections": base + 40, "shared_buffers": "48MB"}, "standbys first"),
        ("lower and raise", {"max_connections": base + 20, "max_wal_senders": senders + 5}, "standbys twice"),
        ("lower", {"max_connections": base, "max_wal_senders": senders}, "leader first"),
    )
    for what, parameters, order in steps:
        before = started(hosts)
        done = configure(**parameters)
        assert done.code == 0, done.said
        after = started(hosts)
        assert all(after[name] > before[name] for name in NAMES), f"{what}: not every member was restarted"
        first = order == "leader first" or order == "standbys twice"
        assert all((after[old] < after[name]) == first for name in standbys), f"{what}: {order} was not the order"
        restarts = [line for line in done.changed if "Restart PostgreSQL" in line]
        print(f"{what}: {len(restarts)} restarts in {done.seconds:.0f} s: {[line.split(':')[0] for line in restarts]}")
        assert len(restarts) == (5 if order == "standbys twice" else 3)
        for name, value in parameters.items():
            assert values(hosts, name) == {str(value)}, f"{what}: {name}"
        assert healthy()["leader"] == old, f"{what}: the lead moved"
        seen = len(ledger.acknowledged)
        harness.wait_for("more acknowledged writes", lambda n=seen: len(ledger.acknowledged) > n, 30)
    again = configure(**steps[-1][1])
    assert again.code == 0, again.said
    assert again.changed == []
    ledger.stop()
    missing = ledger.missing()
    print(
        f"configuration under load: longest stall {ledger.longest_stall():.2f} s, {len(ledger.acknowledged)}"
        f" acknowledged, {len(missing)} lost, {len(ledger.errors)} errors"
    )
    assert not missing
    assert timeline(hosts) == lines, "one leader change at most, and none was needed"


def test_an_aborted_change_is_completed(hosts, addresses):
    old = leader()
    base = int(values(hosts, "max_connections").pop())
    patch = {"postgresql": {"parameters": {"max_connections": base + 10}}}
    api(hosts[old], addresses[old], "/config", "PATCH", patch)
    one = next(name for name in NAMES if name != old)

    def pending(name):
        return api(hosts[name], addresses[name], "/patroni").get("pending_restart")

    harness.wait_for("all wait for a restart", lambda: all(pending(name) for name in NAMES), 30)
    api(hosts[one], addresses[one], "/restart", "POST", {"restart_pending": True})
    harness.wait_for("one has restarted", lambda: not pending(one), 60)
    healthy_enough = started(hosts)
    done = configure(max_connections=base + 10)
    assert done.code == 0, done.said
    after = started(hosts)
    assert {name for name in NAMES if after[name] > healthy_enough[name]} == set(NAMES) - {one}
    back = configure(max_connections=base)
    assert back.code == 0, back.said
    assert values(hosts, "max_connections") == {str(base)}


def test_a_replica_is_built_anew_and_the_leader_is_not(hosts):
    old = healthy()["leader"]
    refused = run("reinit_postgres_replica.yml", "-e", f"member={old}")
    assert refused.code != 0
    assert f"{old} leads: its data is the cluster's" in refused.output
    one = next(name for name in NAMES if name != old)
    before = started(hosts)
    hosts[one].check_output("rm -rf /var/lib/postgresql/*/orders-db/base/1")
    done = run("reinit_postgres_replica.yml", "-e", f"member={one}")
    assert done.code == 0, done.said
    print(f"reinit of {one}: {done.seconds:.1f} s")
    assert started(hosts)[one] > before[one]
    hosts[one].check_output("test -d /var/lib/postgresql/*/orders-db/base/1")
    assert healthy()["leader"] == old


def test_removal_refuses_the_leader_and_declared_members(hosts):
    old = leader()
    refused = run("remove_postgres_member.yml", "-e", f"member={old}")
    assert refused.code != 0
    assert f"{old} leads: move the lead to another member first" in refused.output
    one = next(name for name in NAMES if name != old)
    refused = run("remove_postgres_member.yml", "-e", f"member={one}")
    assert refused.code != 0
    assert f"{one} is declared, and the next run of site.yml would bring it back" in refused.output
    assert all(host.service("patroni").is_running for host in hosts.values())
    assert healthy()["leader"] == old


def test_a_pause_ends_although_everybody_forgot(hosts, addresses):
    healthy()
    refused = run("pause_postgres.yml", "-e", "minutes=0")
    assert refused.code != 0
    assert "expected -e minutes=<1 to 1440>" in refused.output
    # A machine at its limit needs a minute to look at the status.
    done = run("pause_postgres.yml", "-e", f"minutes={2 if harness.FULL else 1}")
    assert done.code == 0, done.said
    begin = time.monotonic()
    assert all(host.service("holdfast-patroni-resume.timer").is_enabled for host in hosts.values())
    problems = " ".join(harness.status(SERVICE)[SERVICE]["problems"])
    assert "automatic failover is paused until" in problems
    config = api(hosts["lab1"], addresses["lab1"], "/config")
    assert config["pause"] is True
    harness.wait_for(
        "automatic failover is armed again",
        lambda: not api(hosts["lab1"], addresses["lab1"], "/config").get("pause"),
        150,
    )
    print(f"pause: resumed by a timer after {time.monotonic() - begin:.0f} s")
    healthy()
    assert "holdfast" not in api(hosts["lab1"], addresses["lab1"], "/config")


def test_a_pause_is_ended_by_hand(hosts, addresses):
    assert run("pause_postgres.yml", "-e", "minutes=30").code == 0
    done = run("resume_postgres.yml")
    assert done.code == 0, done.said
    assert "pause" not in api(hosts["lab1"], addresses["lab1"], "/config")
    assert not any(host.service("holdfast-patroni-resume.timer").is_running for host in hosts.values())
    assert run("resume_postgres.yml").changed == []


def test_etcd_is_defragmented_one_member_at_a_time_and_the_leader_last(hosts):
    done = run("defragment_etcd.yml")
    assert done.code == 0, done.said
    order = [line.split(":")[0] for line in done.changed if "Give space back" in line]
    assert sorted(order) == sorted(NAMES)
    seen = etcd_status(hosts["lab1"])
    assert order[-1] == seen, f"{seen} leads, the order was {order}"
    healthy()


def etcdctl(host, words):
    files = f"--cacert {PKI}/ca.crt --cert {PKI}/host.crt --key {PKI}/host.key"
    return json.loads(
        host.check_output(f"ETCDCTL_API=3 etcdctl --endpoints https://127.0.0.1:2379 {files} -w json {words}")
    )


def etcd_status(host):
    members = {item["ID"]: item["name"] for item in etcdctl(host, "member list")["members"]}
    return members[etcdctl(host, "endpoint status")[0]["Status"]["leader"]]


def test_a_snapshot_is_verified_kept_on_the_controller_and_restored(hosts):
    name = f"test-{secrets.token_hex(4)}"
    done = run("snapshot_etcd.yml", "-e", f"snapshot={name}")
    assert done.code == 0, done.said
    found = list((harness.ROOT / ".holdfast").glob(f"lab/*/etcd/{name}.db"))
    assert len(found) == 1
    assert found[0].stat().st_size > 10000
    on_host = [n for n, host in hosts.items() if host.file(f"/var/lib/holdfast/etcd/{name}.db").exists]
    assert len(on_host) == 1
    assert hosts[on_host[0]].file(f"/var/lib/holdfast/etcd/{name}.db").mode == 0o600
    refused = run("restore_etcd.yml", "-e", f"snapshot={name}")
    assert refused.code != 0
    assert f"expected -e confirm={SERVICE}, found none" in refused.output

    old = healthy()["leader"]
    ledger = harness.Ledger(harness.target(SERVICE), secrets.token_hex(5))
    ledger.start()
    harness.wait_for("first acknowledged writes", lambda: len(ledger.acknowledged) > 50, 30)
    before = len(ledger.acknowledged)
    done = run("restore_etcd.yml", "-e", f"snapshot={name}", "-e", f"confirm={SERVICE}")
    assert done.code == 0, done.said
    assert healthy()["leader"] == old, "another member leads after the restore"
    harness.wait_for("writes after the restore", lambda: len(ledger.acknowledged) > before + 50, 30)
    ledger.stop()
    print(f"etcd restored in {done.seconds:.0f} s, writers stalled {ledger.longest_stall():.1f} s")
    assert ledger.missing() == []
    for host in hosts.values():
        host.check_output(f"rm -rf /var/lib/holdfast/etcd/{name}.db /var/lib/etcd/orders-db/member.aside-*")
    found[0].unlink()


def test_an_etcd_member_that_lost_its_data_is_replaced_under_load(hosts):
    healthy()
    ledger = harness.Ledger(harness.target(SERVICE), secrets.token_hex(5))
    ledger.start()
    harness.wait_for("first acknowledged writes", lambda: len(ledger.acknowledged) > 50, 30)
    lost = next(name for name in NAMES if name != etcd_status(hosts["lab1"]))
    before = {item["name"]: item["ID"] for item in etcdctl(hosts["lab1"], "member list")["members"]}
    refused = run("replace_etcd_member.yml", "-e", f"member={lost}")
    assert refused.code != 0
    assert "found one that answers: nothing to replace" in refused.output
    hosts[lost].check_output("systemctl stop etcd && rm -rf /var/lib/etcd/orders-db/member")
    done = run("replace_etcd_member.yml", "-e", f"member={lost}")
    assert done.code == 0, done.said
    print(f"etcd member {lost} replaced in {done.seconds:.1f} s")
    after = {item["name"]: item["ID"] for item in etcdctl(hosts["lab1"], "member list")["members"]}
    assert set(after) == set(before)
    assert [name for name in NAMES if before[name] != after[name]] == [lost]
    assert not any(item.get("isLearner") for item in etcdctl(hosts["lab1"], "member list")["members"])
    assert not hosts[lost].file("/etc/etcd/begin.env").exists
    ledger.stop()
    assert (ledger.missing(), ledger.errors) == ([], [])
    healthy()


def converge(*extra):
    """Run the converge of this scenario again."""
    return subprocess.run(
        [*harness.playbook_argv("site.yml")[:3], "molecule/shared/postgres_entry.yml", *extra],
        cwd=harness.ROOT,
        env=harness.environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


@pytest.mark.parametrize(
    ("make", "said"),
    [
        ("touch {0}/precious", "entries that are no PostgreSQL cluster: look at them"),
        (
            "cd / && runuser -u postgres -- /usr/lib/postgresql/*/bin/initdb -D {0} && touch {0}/precious",
            "another cluster",
        ),
    ],
    ids=["not-empty", "foreign-system-identifier"],
)
def test_a_data_directory_that_is_not_ours_is_refused_and_untouched(hosts, make, said):
    one = next(name for name in NAMES if name != leader())
    path = hosts[one].check_output("echo /var/lib/postgresql/*/orders-db")
    hosts[one].check_output(f"systemctl stop patroni && mv {path} {path}.aside")
    try:
        hosts[one].check_output(f"install -d -o postgres -g postgres -m 700 {path}; {make.format(path)}")
        refused = converge()
        assert refused.returncode != 0
        assert f"{one}: " in refused.stdout
        assert said in refused.stdout
        assert hosts[one].file(f"{path}/precious").exists
        assert not hosts[one].service("patroni").is_running
    finally:
        hosts[one].check_output(
            f"systemctl stop patroni; rm -rf {path} && mv {path}.aside {path} && systemctl start patroni"
        )
    healthy()


INITDB = "/etc/patroni/config.yml"
# Which provider of collations the distribution's clusters have, and another one.
PROVIDER, ANOTHER = ("libc", "icu") if harness.DEBIAN_12 else ("builtin", "libc")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([{"locale": "C"}], "lc-collate: expected C, found C.UTF-8"),
        ([{"encoding": "LATIN1"}], "encoding: expected LATIN1, found UTF8"),
        ([{"locale-provider": ANOTHER}], f"locale-provider: expected {ANOTHER}, found {PROVIDER}"),
    ],
)
def test_another_locale_than_that_of_the_live_cluster_is_refused_before_anything_changes(hosts, options, said):
    healthy()
    before = {name: host.file(INITDB).sha256sum for name, host in hosts.items()}
    refused = converge("-e", json.dumps({"postgres_initdb": options}))
    assert refused.returncode != 0
    assert said in refused.stdout
    assert {name: host.file(INITDB).sha256sum for name, host in hosts.items()} == before


def test_a_locale_that_a_host_does_not_have_is_refused_before_it_starts(hosts):
    healthy()
    one = next(name for name in NAMES if name != leader())
    before = hosts[one].file(INITDB).sha256sum
    hosts[one].check_output("systemctl stop patroni")
    try:
        refused = converge("-e", json.dumps({"postgres_initdb": [{"locale": "xx_YY.UTF-8"}]}))
        assert refused.returncode != 0
        assert f"{one}: expected this host to have the locale xx_YY.UTF-8" in refused.stdout
        assert not hosts[one].service("patroni").is_running
        assert hosts[one].file(INITDB).sha256sum == before
    finally:
        hosts[one].check_output("systemctl start patroni")
    healthy()


def test_site_changes_nothing_afterwards():
    """What the playbooks did is what is declared."""
    again = converge()
    assert again.returncode == 0, again.stdout[-3000:]
    recap = again.stdout[again.stdout.rindex("PLAY RECAP") :]
    assert recap.count("changed=0 ") == len(NAMES), recap
