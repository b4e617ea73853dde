"""The members of the lab's PostgreSQL service: a shell on them, their health, and what each says of itself."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import harness

SERVICE = "orders-db"
MEMBERS = ("lab1", "lab2", "lab3")
UNIT = "patroni.service"
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


def addresses(*names: str) -> str:
    """Return a set of addresses as nft writes it."""
    prefix = harness.lab().prefix
    return "{ " + ", ".join(f"{prefix}.{10 + int(name.removeprefix('lab'))}" for name in names) + " }"


def others(host: str) -> tuple[str, ...]:
    """Return the other members."""
    return tuple(name for name in MEMBERS if name != host)


def healthy() -> dict[str, Any]:
    """Wait until every member is healthy and return the service's status."""

    def seen() -> dict[str, Any] | None:
        found = harness.status().get(SERVICE)
        return found if found and found["healthy"] else None

    return harness.wait_for(f"{SERVICE} healthy", seen, 120)


def move(*words: str) -> None:
    """Hand the lead over as an operator would; `words` name the candidate."""
    moved = harness.run_playbook("switchover_postgres.yml", "-e", f"holdfast_service={SERVICE}", *words)
    assert moved.code == 0, moved.output[-3000:]


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
