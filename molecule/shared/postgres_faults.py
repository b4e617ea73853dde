"""Faults of a PostgreSQL leader, what a client sees of them, and a sampler that catches two members that lead."""

from __future__ import annotations

import secrets
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import harness

SERVICE = "orders-db"
MEMBERS = ("lab1", "lab2", "lab3")
UNIT = "patroni.service"
#: Drops what a fault cuts off; a table of its own, so that healing is one command.
CUT = "holdfast_fault"
SAMPLE_SECONDS = 0.1

SAMPLER = """
import sys, time, psycopg2
connection = None
while True:
    began = time.time()
    try:
        if connection is None:
            connection = psycopg2.connect("host=/var/run/postgresql dbname=postgres user=postgres connect_timeout=1")
            connection.autocommit = True
        cursor = connection.cursor()
        cursor.execute("select pg_is_in_recovery() or current_setting('transaction_read_only') = 'on'")
        state = "standby" if cursor.fetchone()[0] else "leads"
    except Exception:
        connection, state = None, "down"
    print("%.3f %.3f %s" % (began, time.time(), state), flush=True)
    time.sleep(max(0.0, STEP - (time.time() - began)))
""".replace("STEP", str(SAMPLE_SECONDS))


def ssh(host: str, *words: str) -> list[str]:
    """Return the command line that runs a command on a host as an operator would."""
    return ["ssh", "-F", str(Path(harness.lab().state_dir) / "ssh" / "config"), host, *words]


def on(host: str, command: str, check: bool = True, timeout: float = 60.0) -> str:
    """Run a shell command as root on a host and return what it printed."""
    done = subprocess.run(
        ssh(host, "sudo", "sh", "-s"), input=command, capture_output=True, text=True, timeout=timeout, check=False
    )
    assert not check or done.returncode == 0, f"{host}: {command}: {done.returncode}: {done.stdout}{done.stderr}"
    return done.stdout.strip()


@dataclass
class Samples:
    """What every member said of itself, with the clock that all lab hosts share."""

    seen: dict[str, list[tuple[float, float, str]]] = field(default_factory=lambda: {name: [] for name in MEMBERS})

    def two_leaders(self) -> list[tuple[float, str, str]]:
        """Return the moments at which two members led: their answers' time spans overlap."""
        leading = [
            (begin, end, name) for name, items in self.seen.items() for begin, end, state in items if state == "leads"
        ]
        leading.sort()
        found = []
        for index, (begin, end, name) in enumerate(leading):
            for later, _end, other in leading[index + 1 : index + 8]:
                if later > end:
                    break
                if other != name:
                    found.append((begin, name, other))
        return found


@contextmanager
def sampled() -> Iterator[Samples]:
    """Ask every member every 100 ms, on the host itself, whether it leads, while the block runs."""
    samples, processes = Samples(), []

    def read(name: str, process: subprocess.Popen[str]) -> None:
        assert process.stdout
        for line in process.stdout:
            begin, end, state = line.split()
            samples.seen[name].append((float(begin), float(end), state))

    for name in MEMBERS:
        process = subprocess.Popen(
            ssh(name, "sudo", "-u", "postgres", "python3", "-u", "-"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert process.stdin
        process.stdin.write(SAMPLER)
        process.stdin.close()
        threading.Thread(target=read, args=(name, process), daemon=True).start()
        processes.append(process)
    harness.wait_for("samples of every member", lambda: all(samples.seen.values()), 20)
    try:
        yield samples
    finally:
        for process in processes:
            process.kill()
            process.wait()


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


def addresses(*names: str) -> str:
    """Return a set of addresses as nft writes it."""
    prefix = harness.lab().prefix
    return "{ " + ", ".join(f"{prefix}.{10 + int(name.removeprefix('lab'))}" for name in names) + " }"


def others(host: str) -> tuple[str, ...]:
    """Return the other members."""
    return tuple(name for name in MEMBERS if name != host)


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


def nothing(host: str) -> None:
    """There is nothing to heal."""


def data_dir(host: str) -> str:
    """Return where a member keeps its data."""
    return on(host, "sed -n 's/^  data_dir: \"\\(.*\\)\"/\\1/p' /etc/patroni/config.yml")


TO_SMALL = """set -e
systemctl stop {unit}; mv {path} {path}.moving
install -d -o postgres -g postgres -m 700 {path}
mount -t tmpfs -o size=400m,mode=700,uid=postgres,gid=postgres holdfast-small {path}
cp -a {path}.moving/. {path}/; rm -rf {path}.moving
systemctl start {unit}
"""
FROM_SMALL = """set -e
systemctl stop {unit}; cp -a {path} {path}.moving
umount {path}; rmdir {path}; mv {path}.moving {path}
systemctl start {unit}
"""


def move_data(host: str, script: str) -> None:
    """Move a replica's data onto a disk of its own with little room, or back."""
    on(host, script.format(unit=UNIT, path=data_dir(host)), timeout=180)
    healthy()


def lead_from_a_small_disk() -> None:
    """Let a member lead that has little room: both standbys get such a disk, as either may be the synchronous one."""
    for host in others(str(healthy()["leader"])):
        move_data(host, TO_SMALL)
    moved = harness.run_playbook("switchover_postgres.yml", "-e", f"holdfast_service={SERVICE}")
    assert moved.code == 0, moved.output[-3000:]


def fill_disk(host: str) -> None:
    """Leave no byte, and ask for a new segment of the log, so that the shortage is felt at once."""
    path = data_dir(host)
    ask = "runuser -u postgres -- psql -XAtqc 'select pg_switch_wal()'"
    on(
        host,
        f"dd if=/dev/zero of={path}/filler bs=64k status=none; for n in 1 2 3 4 5 6 7 8; do {ask}; done",
        check=False,
    )


def free_disk(host: str) -> None:
    """Give the room back."""
    on(host, f"rm -f {data_dir(host)}/filler")


def leave_small_disks() -> None:
    """Move data back from small disks, the leader's after it has handed over."""
    for host in MEMBERS:
        if on(host, "grep -c holdfast-small /proc/mounts", check=False) not in ("", "0"):
            if healthy()["leader"] == host:
                moved = harness.run_playbook("switchover_postgres.yml", "-e", f"holdfast_service={SERVICE}")
                assert moved.code == 0, moved.output[-3000:]
            move_data(host, FROM_SMALL)


def no_preparation() -> None:
    """Any leader will do."""


@dataclass(frozen=True)
class Fault:
    """What happens to the leader, how it ends, and what must follow.

    `hold` is how many seconds the fault lasts before it is healed; `moves` says whether another member must lead
    afterwards (None: either may); `goal` is the stall in seconds that 95 of 100 are meant to stay below; `prepare` and
    `tidy` are what comes before and after it.
    """

    name: str
    inject: Callable[[str], object]
    heal: Callable[[str], object] = nothing
    hold: float = 0.0
    moves: bool | None = True
    goal: float = 30.0
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


FAULTS = (
    Fault(
        "both killed",
        lambda host: on(host, f"systemctl kill --signal=KILL --kill-whom=all {UNIT}"),
        goal=1.5,
    ),
    Fault("postgres killed", lambda host: on(host, "pkill -KILL -u postgres -x postgres"), goal=3.0),
    Fault(
        "patroni killed",
        lambda host: on(host, f"systemctl kill --signal=KILL --kill-whom=main {UNIT}"),
        moves=False,
        goal=0.5,
    ),
    Fault("power cut", harness.power_cut, harness.power_on, goal=21.0),
    Fault(
        "unit frozen",
        lambda host: on(host, f"systemctl kill --signal=STOP --kill-whom=all {UNIT}"),
        lambda host: on(host, f"systemctl kill --signal=CONT --kill-whom=all {UNIT}"),
        hold=26.0,
        goal=22.0,
    ),
    Fault("isolated", isolate, mend, hold=26.0, goal=22.0),
    Fault("cut off from etcd", cut_from_etcd, mend, hold=25.0, moves=False, goal=0.5),
    Fault("cut off from peers", cut_from_peers, mend, hold=8.0, moves=None, goal=22.0),
    Fault("cut off from clients", cut_from_clients, mend, hold=8.0, moves=None, goal=12.0),
    Fault("one etcd member stopped", stop_etcd, lambda _host: start_etcd(), hold=10.0, moves=False, goal=0.5),
    Fault(
        "two etcd members stopped",
        lambda host: stop_etcd(host, others(host)[0]),
        lambda _host: start_etcd(),
        hold=25.0,
        moves=False,
        goal=0.5,
    ),
    Fault(
        "disk full",
        fill_disk,
        free_disk,
        hold=12.0,
        moves=None,
        goal=15.0,
        prepare=lead_from_a_small_disk,
        tidy=leave_small_disks,
    ),
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


def healthy() -> dict[str, object]:
    """Wait until every member is healthy and return the service's status."""

    def seen() -> dict[str, object] | None:
        found = harness.status().get(SERVICE)
        return found if found and found["healthy"] else None

    return harness.wait_for(f"{SERVICE} healthy", seen, 120)


def strike(fault: Fault) -> Seen:
    """Let one fault happen to the live leader under a client's writes, heal it, and return what was seen."""
    fault.prepare()
    old = str(healthy()["leader"])
    budget = float(harness.status()[SERVICE]["budget"]["rto_seconds"])
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
