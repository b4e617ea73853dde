"""Clients know one address. Whatever happens to its holder, another member has it within the promised time."""

from __future__ import annotations

import json
import secrets
import time

import harness
import psycopg
import pytest

SERVICE, MEMBERS = "orders-db", ("lab1", "lab2", "lab3")
UNITS = ("holdfast-virtual-address", "holdfast-entry-watch")
#: What the tests' own polling, a client's reconnect and a loaded machine add to what was promised.
SLACK = 2.0


def told(entry, *words):
    done = harness.holdfast("-i", str(entry.here), "connect", SERVICE, "--json", *words)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def settings(entry):
    done = harness.holdfast("-i", str(entry.here), "explain", SERVICE, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    found = {item["setting"]: item for item in json.loads(done.stdout)[SERVICE]["decisions"]}
    return {key.rpartition(".")[2]: item for key, item in found.items() if ".virtual_address." in key}


@pytest.fixture
def target(entry):
    seen = told(entry, "--show-secret")
    return harness.Target(
        service=SERVICE,
        engine="postgres",
        hosts=tuple((item["host"], item["port"]) for item in seen["hosts"]),
        sentinels=(),
        sentinel_name="",
        database=seen["database"],
        vhost="",
        user=seen["user"],
        password=seen["password"],
        ca_file=seen["ca_file"],
        timeout=3.0,
    )


def connect(target, **more):
    options = {
        "host": target.hosts[0][0],
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


class Load:
    """A ledger that writes through the address while something happens."""

    def __init__(self, target, what):
        self.what = what
        self.ledger = harness.Ledger(target, secrets.token_hex(5))

    def __enter__(self):
        self.ledger.start()
        harness.wait_for("first acknowledged writes", lambda: len(self.ledger.acknowledged) > 50, 30)
        return self

    def go_on(self, seconds):
        """Wait for acknowledgements after what happened."""
        seen = len(self.ledger.acknowledged)
        harness.wait_for(f"{self.what}: writes", lambda: len(self.ledger.acknowledged) > seen + 50, seconds)

    def __exit__(self, kind, *_rest):
        self.ledger.stop()
        if kind is None:
            missing, twice = self.ledger.audit()
            self.stall = self.ledger.longest_stall()
            print(
                f"virtual address: {self.what}: stall {self.stall:.2f} s, {len(self.ledger.acknowledged)} acknowledged,"
                f" {len(missing)} lost"
            )
            assert not missing, f"{len(missing)} acknowledged writes are lost, first {missing[:10]}"
            assert not twice


def test_adding_it_restarts_no_pooler(entry):
    assert entry.pids() == entry.poolers
    assert entry.holder() in MEMBERS


def test_a_second_run_changes_nothing_and_costs_one_call_more(entry):
    again = entry.converged()
    print(f"virtual address: no-change run: remote calls {again.calls}, without it {entry.before.calls}")
    assert again.changed == []
    for name in MEMBERS:
        assert again.calls[name] <= entry.before.calls[name] + 1
    predicted = entry.converged("--check")
    assert predicted.changed == []


def test_clients_are_told_of_nothing_else(entry):
    assert told(entry)["hosts"] == [{"host": entry.address, "port": 6432}]
    said = settings(entry)
    assert said["takeover_ms"]["value"] <= 4000
    assert "rto_seconds 30" in said["advert_ms"]["because"]


@pytest.mark.parametrize("host", ["address", "name"])
def test_a_client_writes_with_verify_full(entry, target, host):
    more = {} if host == "address" else {"host": entry.name, "hostaddr": entry.address}
    with connect(target, **more) as session:
        assert session.execute("select pg_is_in_recovery()").fetchone()[0] is False
        with session.transaction():
            session.execute("create temporary table once (n int) on commit drop")


def test_every_member_may_hold_it_and_proves_the_address(entry, target):
    for name in MEMBERS:
        entry.give_to(name)
        with connect(target) as session:
            assert session.execute("select pg_is_in_recovery()").fetchone()[0] is False


def test_members_reach_it_too_the_holder_through_itself(entry):
    for name in MEMBERS:
        entry.hosts[name].check_output(f"timeout 5 bash -c 'exec 3<>/dev/tcp/{entry.address}/6432'")


def test_a_name_that_is_not_the_address_is_refused(target):
    with pytest.raises(psycopg.OperationalError, match="does not match host name"):
        connect(target, host="other.db.example.invalid", hostaddr=target.hosts[0][0])


def test_only_members_speak_vrrp_and_nobody_reaches_other_ports_of_the_address(entry, target):
    prefix = harness.lab().prefix
    rules = entry.hosts["lab1"].check_output("cat /etc/holdfast/firewall.nft")
    # The three members: .12 and .13 as one network.
    assert f"ip saddr {{ {prefix}.11, {prefix}.12/31 }} meta l4proto 112 accept" in rules
    assert f"ip daddr {entry.address} tcp dport 6432 dnat ip to {prefix}.11" in rules
    loaded = entry.hosts["lab1"].check_output("nft list table inet holdfast")
    assert loaded.count("virtual address") == 1
    assert loaded.count(f"ip daddr {entry.address} tcp dport 6432 dnat ip to {prefix}.11") == 2
    with pytest.raises(psycopg.OperationalError):
        connect(target, port=5432)


@pytest.mark.parametrize("unit", UNITS)
def test_units_are_confined_and_not_root(entry, unit):
    host = entry.hosts["lab1"]
    score = host.check_output(f"systemd-analyze security --no-pager {unit} | tail -1 | grep -oE '[0-9]+\\.[0-9]+'")
    print(f"virtual address: {unit}: systemd-analyze security {score}")
    assert float(score) <= 2.5
    pid = host.check_output("systemctl show --value -p MainPID %s", unit)
    status = dict(line.split(":\t", 1) for line in host.check_output(f"cat /proc/{pid}/status").splitlines())
    assert status["Uid"].split()[0] != "0"
    # CAP_NET_ADMIN and CAP_NET_RAW, or nothing at all.
    assert int(status["CapEff"], 16) == ((1 << 12) | (1 << 13) if unit == UNITS[0] else 0)
    assert host.run(f"systemd-analyze verify {unit}.service").stderr == ""


def test_debians_own_unit_is_left_alone(entry):
    for host in entry.hosts.values():
        assert host.run("systemctl is-active keepalived.service").stdout.strip() == "inactive"
        assert not host.file("/etc/keepalived/keepalived.conf").exists


def test_keepalived_is_killed(entry, target):
    old = entry.holder()
    with Load(target, "keepalived killed") as load:
        entry.hosts[old].check_output("systemctl kill --signal=KILL --kill-whom=all holdfast-virtual-address")
        load.go_on(20)
    assert load.stall <= settings(entry)["takeover_ms"]["value"] / 1000 + SLACK
    entry.holder()


def test_the_watch_is_killed_and_the_address_goes_with_it(entry, target):
    old = entry.holder()
    with Load(target, "watch killed") as load:
        entry.hosts[old].check_output("systemctl kill --signal=KILL --kill-whom=all holdfast-entry-watch")
        load.go_on(20)
    assert load.stall <= settings(entry)["takeover_ms"]["value"] / 1000 + SLACK
    assert entry.holder() != old
    harness.wait_for("it is back", lambda: entry.hosts[old].run("systemctl is-active " + UNITS[0]).rc == 0, 15)


def test_haproxy_stops_and_the_address_moves_and_stays(entry, target):
    old = entry.holder()
    with Load(target, "HAProxy stopped") as load:
        entry.hosts[old].check_output("systemctl stop haproxy")
        try:
            load.go_on(20)
            new = entry.holder()
            assert new != old
        finally:
            entry.hosts[old].check_output("systemctl start haproxy")
        time.sleep(5)
        assert entry.holder() == new, "the address went back"
    assert load.stall <= settings(entry)["takeover_ms"]["value"] / 1000 + SLACK
    assert "HAProxy does not answer" in entry.hosts[old].check_output(
        "journalctl -q --no-pager -u holdfast-entry-watch"
    )


def test_a_pooler_that_hangs_loses_the_address(entry, target):
    old = entry.holder()
    with Load(target, "PgBouncer hangs") as load:
        entry.hosts[old].check_output("systemctl kill --signal=STOP pgbouncer")
        try:
            harness.wait_for("another holder", lambda: (h := entry.holders()) and old not in h, 15)
            load.go_on(20)
        finally:
            entry.hosts[old].check_output("systemctl kill --signal=CONT pgbouncer")
    assert load.stall <= 12
    entry.holder()


def test_a_failover_does_not_move_it(entry, target):
    old, leader = entry.holder(), entry.leader()
    with Load(target, "leader killed") as load:
        entry.hosts[leader].check_output("systemctl kill --signal=KILL --kill-whom=all patroni; systemctl stop patroni")
        load.go_on(50)
        assert entry.holder() == old
    entry.hosts[leader].check_output("systemctl start patroni")
    assert load.stall <= 30
    harness.wait_for("a healthy service", lambda: harness.status(SERVICE)[SERVICE]["healthy"], 90)


@pytest.mark.parametrize("leads", [False, True], ids=["a replica", "the leader"])
def test_the_holder_loses_its_power(entry, target, leads):
    leader = entry.leader()
    old = leader if leads else next(name for name in MEMBERS if name != leader)
    entry.give_to(old)
    try:
        with Load(target, f"power cut of the holder, {'the leader' if leads else 'a replica'}") as load:
            harness.power_cut(old)
            load.go_on(50)
        budget = 30 if leads else settings(entry)["takeover_ms"]["value"] / 1000 + SLACK
        assert load.stall <= budget
        assert entry.holder() != old
    finally:
        harness.power_on(old)
    harness.wait_for("a healthy service", lambda: harness.status(SERVICE)[SERVICE]["healthy"], 120)
    entry.holder()
    entry.converged()


def test_a_holder_that_is_cut_off_from_all_members_gives_it_up(entry, target):
    leader = entry.leader()
    old = next(name for name in MEMBERS if name != leader)
    entry.give_to(old)
    others = ", ".join(f"{harness.lab().prefix}.{11 + at}" for at, name in enumerate(MEMBERS) if name != old)
    rules = f"""
    table inet cut {{
      chain i {{ type filter hook input priority -10; ip saddr {{ {others} }} drop; }}
      chain o {{ type filter hook output priority -10; ip daddr {{ {others} }} drop; }}
    }}
    """
    try:
        with Load(target, "holder cut off from the members") as load:
            entry.hosts[old].check_output("printf %s %s | nft --file -", "%s", rules)
            harness.wait_for("another holder", lambda: (h := entry.holders()) and old not in h, 20)
            load.go_on(30)
        assert load.stall <= 15
    finally:
        entry.hosts[old].check_output("nft add table inet cut; nft delete table inet cut")
    entry.holder()
    harness.wait_for("a healthy service", lambda: harness.status(SERVICE)[SERVICE]["healthy"], 90)


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        ({"address": "192.0.2.10"}, "in the network of host0"),
        ({"address": "PREFIX.255"}, "in the network of host0"),
        ({"address": "PREFIX.100", "interface": "eth9"}, "expected interface eth9"),
        ({"address": "PREFIX.12"}, "virtual-address-taken"),
        ({"address": "PREFIX.100", "name": "lab2"}, "virtual-address-name"),
        ({"address": "PREFIX.100", "nam": "x"}, "schema-unknown-key"),
    ],
)
def test_what_can_t_work_is_refused_before_anything_changes(entry, tmp_path, declared, said):
    declared = {key: value.replace("PREFIX", harness.lab().prefix) for key, value in declared.items()}
    seen = entry.site(where=entry.declare(tmp_path / "inventory", declared))
    assert seen.code != 0
    assert seen.changed == []
    assert said in seen.output, seen.said


def test_the_address_changes_without_a_restart(entry, target, tmp_path):
    other = f"{harness.lab().prefix}.101"
    entry.converged(where=entry.declare(tmp_path / "inventory", {"address": other}))
    with connect(target, host=other) as session:
        assert session.execute("select 1").fetchone()[0] == 1
    assert entry.holders() == []
    entry.converged()
    with connect(target) as session:
        assert session.execute("select 1").fetchone()[0] == 1
    assert not [host for host in entry.hosts.values() if other in host.check_output("ip -4 address")]


def test_without_the_key_nothing_is_left(entry):
    gone = entry.converged(where=entry.without)
    assert any("Converge packages, names and guards" in line for line in gone.changed)
    assert entry.holders() == []
    for host in entry.hosts.values():
        for unit in UNITS:
            assert host.check_output("systemctl show --value -p LoadState %s", unit) == "not-found"
        assert host.run("pgrep -x keepalived").rc != 0
        found = host.check_output(
            "find /etc /run /usr/local -name '*virtual*address*' -o -name '*entry[-_]watch*' -o -name entry.sock"
        )
        assert found == ""
        rules = host.check_output("nft list table inet holdfast")
        assert "dnat" not in rules
        assert "virtual address" not in rules
        assert entry.address not in host.check_output(
            "openssl x509 -in /etc/holdfast/pki/host.crt -noout -ext subjectAltName"
        )
    again = entry.converged(where=entry.without)
    assert again.changed == []
    assert {name: again.calls[name] for name in MEMBERS} == {name: entry.before.calls[name] for name in MEMBERS}
