"""Faults of a PostgreSQL leader, and what a client sees of them."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

import harness
import postgres_clock
import postgres_disk
from postgres_members import MEMBERS, SERVICE, UNIT, addresses, healthy, on, others, sampled

#: Drops what a fault cuts off; a table of its own, so that healing is one command.
CUT = "holdfast_fault"


def cut(host: str, *rules: str) -> None:
    """Drop packets on a host, by rules for its input and output alike."""
    lines = "\n".join(f"    {rule} drop" for rule in rules)
    chains = "\n".join(
        f"  chain {hook} {{ type filter hook {hook} priority -300; policy accept;\n{lines}\n  }}"
        for hook in ("input", "output")
    )
    on(host, f"nft -f - <<'END'\ntable inet {CUT} {{\n{chains}\n}}\nEND\n")


def mend(host: str) -> None:
    """Take every cut away."""
    on(host, f"nft list table inet {CUT} >/dev/null 2>&1 && nft delete table inet {CUT} || true")


def cut_from_etcd(host: str) -> None:
    """Cut a host off from etcd, its own member included, and that member from its peers."""
    cut(host, "tcp dport { 2379, 2380 }", "tcp sport { 2379, 2380 }")


def cut_from_peers(host: str) -> None:
    """Cut PostgreSQL and Patroni on a host off from the other members, not from etcd and not from clients."""
    peers = addresses(*others(host))
    ports = "tcp dport { 5432, 8008 }", "tcp sport { 5432, 8008 }"
    cut(host, *(f"ip {side} {peers} {port}" for side in ("saddr", "daddr") for port in ports))


def cut_from_clients(host: str) -> None:
    """Cut clients outside off from the database ports of a host."""
    gateway = harness.lab().gateway
    ports = "{ 5432, 6432 }"
    cut(host, f"ip saddr {gateway} tcp dport {ports}", f"ip daddr {gateway} tcp sport {ports}")


def isolate(host: str) -> None:
    """Cut a host off from every other member and from clients' database ports; SSH stays."""
    peers = addresses(*others(host))
    ports = "{ 5432, 6432 }"
    gateway = harness.lab().gateway
    cut(
        host,
        f"ip saddr {peers}",
        f"ip daddr {peers}",
        f"ip saddr {gateway} tcp dport {ports}",
        f"ip daddr {gateway} tcp sport {ports}",
    )


#: Written by a leader that nobody can reach any more, and that does not wait for a standby's word.
EXTRA = "holdfast_extra_wal"


def isolate_and_write(host: str) -> None:
    """Cut a host off from everybody, and let it write what no other member will ever have."""
    isolate(host)
    ask = "PGOPTIONS='-c synchronous_commit=local' runuser -u postgres -- psql -XAtqc"
    on(host, f"{ask} 'create table {EXTRA} as select generate_series(1, 100000)'; {ask} 'select pg_switch_wal()'")


def nothing(host: str) -> None:
    """There is nothing to heal."""


def no_preparation() -> None:
    """Any leader will do."""


@dataclass(frozen=True)
class Fault:
    """What happens to the leader, how it ends, and what must follow.

    `hold` is how many seconds the fault lasts before it is healed; `moves` says whether another member must lead
    afterwards (None: either may); `goal` is the stall in seconds that 95 of 100 are meant to stay below; `rounds` is
    its share of the hundred faults of a full run; `blocks` says that writes may have to wait until it is healed;
    `prepare` and `tidy` are what comes before and after it.
    """

    name: str
    inject: Callable[[str], object]
    heal: Callable[[str], object] = nothing
    hold: float = 0.0
    moves: bool | None = True
    goal: float = 30.0
    rounds: int = 1
    blocks: bool = False
    prepare: Callable[[], object] = no_preparation
    tidy: Callable[[], object] = no_preparation


def stop_etcd(*names: str) -> None:
    """Stop members of etcd."""
    for name in names:
        on(name, "systemctl stop etcd")


def start_etcd() -> None:
    """Start every member of etcd, all at once: the first alone would wait for a quorum."""
    for name in MEMBERS:
        on(name, "systemctl start --no-block etcd")


def clock_fault(name: str, inject: Callable[[str], object], rounds: int) -> Fault:
    """Return a fault of the leader's clock, which is set right after a minute; no write may wait for that."""
    return Fault(
        name,
        inject,
        postgres_clock.set_right,
        hold=60.0,
        moves=None,
        goal=22.0,
        rounds=rounds,
        prepare=postgres_clock.lead_with_an_own_clock,
        tidy=postgres_clock.leave_own_clocks,
    )


FAULTS = (
    Fault(
        "both killed",
        lambda host: on(host, f"systemctl kill --signal=KILL --kill-whom=all {UNIT}"),
        goal=1.5,
        rounds=12,
    ),
    Fault("postgres killed", lambda host: on(host, "pkill -KILL -u postgres -x postgres"), goal=3.0, rounds=12),
    Fault(
        "patroni killed",
        lambda host: on(host, f"systemctl kill --signal=KILL --kill-whom=main {UNIT}"),
        # Until it is back, and nobody may have lost a session in between.
        hold=10.0,
        moves=False,
        goal=0.5,
        rounds=10,
    ),
    Fault("power cut", harness.power_cut, harness.power_on, goal=21.0, rounds=10),
    Fault(
        "unit frozen",
        lambda host: on(host, f"systemctl kill --signal=STOP --kill-whom=all {UNIT}"),
        lambda host: on(host, f"systemctl kill --signal=CONT --kill-whom=all {UNIT}"),
        hold=26.0,
        goal=22.0,
        rounds=8,
    ),
    Fault("isolated", isolate_and_write, mend, hold=26.0, goal=22.0, rounds=10),
    Fault("cut off from etcd", cut_from_etcd, mend, hold=25.0, moves=False, goal=0.5, rounds=8),
    Fault("cut off from peers", cut_from_peers, mend, hold=8.0, moves=None, goal=22.0, blocks=True, rounds=8),
    Fault("cut off from clients", cut_from_clients, mend, hold=8.0, moves=None, goal=12.0, blocks=True, rounds=6),
    Fault("one etcd member stopped", stop_etcd, lambda _host: start_etcd(), hold=10.0, moves=False, goal=0.5, rounds=6),
    Fault(
        "two etcd members stopped",
        lambda host: stop_etcd(host, others(host)[0]),
        lambda _host: start_etcd(),
        hold=25.0,
        moves=False,
        goal=0.5,
        rounds=6,
    ),
    Fault(
        "disk full",
        postgres_disk.fill_disk,
        postgres_disk.free_disk,
        hold=12.0,
        moves=None,
        goal=15.0,
        prepare=postgres_disk.lead_from_a_small_disk,
        tidy=postgres_disk.leave_small_disks,
        blocks=True,
        rounds=5,
    ),
    clock_fault("clock stands still", postgres_clock.freeze, rounds=3),
    clock_fault("clock set back by a day", postgres_clock.set_back, rounds=2),
)


@dataclass(frozen=True)
class Seen:
    """What a client and the samples saw of one fault. Times in seconds."""

    fault: str
    old: str
    new: str
    stall: float
    acknowledged: int
    lost: int
    duplicated: int
    two_leaders: int


def strike(fault: Fault) -> Seen:
    """Let one fault happen to the live leader under a client's writes, heal it, and return what was seen."""
    fault.prepare()
    before = healthy()
    old, budget = str(before["leader"]), float(before["budget"]["rto_seconds"])
    with sampled() as samples:
        ledger = harness.Ledger(harness.target(SERVICE), secrets.token_hex(5))
        ledger.start()
        harness.wait_for("first acknowledged writes", lambda: len(ledger.acknowledged) > 30, 30)
        time.sleep(1.0)
        begin = time.monotonic()
        fault.inject(old)
        time.sleep(max(0.0, fault.hold - (time.monotonic() - begin)))
        if fault.hold:
            fault.heal(old)
        done = len(ledger.acknowledged)
        harness.wait_for(
            f"{fault.name}: writes go on", lambda: len(ledger.acknowledged) > done + 30, budget + fault.hold + 30
        )
        ledger.stop()
        if not fault.hold:
            fault.heal(old)
        new = str(healthy()["leader"])
    lost, twice = ledger.audit()
    fault.tidy()
    return Seen(
        fault=fault.name,
        old=old,
        new=new,
        stall=round(ledger.longest_stall(), 3),
        acknowledged=len(ledger.acknowledged),
        lost=len(lost),
        duplicated=len(twice),
        two_leaders=len(samples.two_leaders()),
    )
