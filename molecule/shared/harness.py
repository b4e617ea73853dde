"""What behaviour tests share: playbooks with their results as data, and ledgers that count acknowledgements."""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.holdfast.stateful.plugins.module_utils.lab.identity import DEFAULT_NAME, Lab, identify
from ansible_collections.holdfast.stateful.plugins.module_utils.lab.machine import Machine
from ansible_collections.holdfast.stateful.plugins.module_utils.probe import Probe, ProbeError, Target, probe_for

ROOT = Path(__file__).resolve().parents[2]
BIN = ROOT / ".venv" / "bin"
FULL = bool(os.environ.get("HOLDFAST_FULL"))
INVENTORY = os.environ.get("HOLDFAST_INVENTORY") or "inventories/lab"
# The release that the lab's hosts carry, where an expectation depends on it.
DEBIAN_12 = INVENTORY.endswith("lab-debian12")


def environment(**more: str) -> dict[str, str]:
    """Return the environment in which the toolkit's commands run, as an operator's shell would have it."""
    return {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "PATH": f"{BIN}:{os.environ['PATH']}", **more}


@dataclass
class Playbook:
    """How a playbook ended: its exit code, what changed, what failed, and remote calls by host."""

    code: int
    output: str
    stats: dict[str, dict[str, int]] = field(default_factory=dict)
    changed: list[str] = field(default_factory=list)
    calls: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def said(self) -> str:
        """Return the messages of what failed, or the end of the output where there is none."""
        found = [
            line.strip() for line in self.output.splitlines() if '"msg": "' in line and "All assertions" not in line
        ]
        return "\n".join(found) or self.output[-3000:]


def playbook_argv(name: str, *extra: str, inventory: str | Path = INVENTORY) -> list[str]:
    """Return the command line of a playbook, as an operator types it."""
    return [str(BIN / "ansible-playbook"), "-i", str(inventory), f"playbooks/{name}", *extra]


def run_playbook(name: str, *extra: str, inventory: str | Path = INVENTORY, timeout: float = 900.0) -> Playbook:
    """Run a playbook and return its result; never raises for a playbook that fails."""
    calls_file = ROOT / ".cache" / f"calls-{os.getpid()}.json"
    calls_file.parent.mkdir(exist_ok=True)
    calls_file.unlink(missing_ok=True)
    begin = time.monotonic()
    done = subprocess.run(
        playbook_argv(name, *extra, inventory=inventory),
        cwd=ROOT,
        env=environment(ANSIBLE_STDOUT_CALLBACK="ansible.posix.json", HOLDFAST_REMOTE_CALLS_FILE=str(calls_file)),
        stdin=subprocess.DEVNULL,  # its own: Ansible refuses one that ssh has made non-blocking for everybody
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    result = Playbook(done.returncode, done.stdout + done.stderr, seconds=time.monotonic() - begin)
    start = done.stdout.find("{\n")
    if start >= 0:
        data, _end = json.JSONDecoder().raw_decode(done.stdout[start:])
        result.stats = data.get("stats", {})
        for play in data.get("plays", []):
            for task in play["tasks"]:
                result.changed += [
                    f"{host}: {task['task']['name']}" for host, seen in task["hosts"].items() if seen.get("changed")
                ]
    if calls_file.exists():
        result.calls = {host: seen["total"] for host, seen in json.loads(calls_file.read_text())["hosts"].items()}
        calls_file.unlink()
    return result


def holdfast(*words: str, timeout: float = 300.0) -> subprocess.CompletedProcess[str]:
    """Run the CLI."""
    return subprocess.run(
        [str(BIN / "holdfast"), *words],
        cwd=ROOT,
        env=environment(),
        stdin=subprocess.DEVNULL,  # its own: Ansible refuses one that ssh has made non-blocking for everybody
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def lab() -> Lab:
    """Return the lab of this run."""
    return identify(str(ROOT), os.environ.get("HOLDFAST_LAB") or DEFAULT_NAME)


def power_cut(host: str) -> None:
    """Kill every process of a lab host at once."""
    Machine(lab(), host).stop(hard=True)


def power_on(host: str) -> None:
    """Boot a lab host again."""
    machine = Machine(lab(), host)
    spec = machine.spec()
    assert spec, f"{host} is no host of this lab"
    machine.start(spec)


def status(*service: str) -> dict[str, dict[str, Any]]:
    """Return `holdfast status --json` by service, of one service or of all."""
    done = holdfast("status", *service, "--json")
    return {item["service"]: item for item in json.loads(done.stdout)["services"]}


def wait_for(what: str, condition: Any, seconds: float) -> Any:
    """Poll until `condition()` is true and return its value; fail with `what` at the deadline."""
    end = time.monotonic() + seconds
    seen = None
    while time.monotonic() < end:
        seen = condition()
        if seen:
            return seen
        time.sleep(0.3)
    raise AssertionError(f"{what}: not within {seconds:.0f} s; last seen: {seen!r}")


def target(service: str, timeout: float = 3.0) -> Target:
    """Return what an application has: what `holdfast connect` prints."""
    done = holdfast("connect", service, "--json", "--show-secret")
    assert done.returncode == 0, done.stdout + done.stderr
    seen = json.loads(done.stdout)
    return Target(
        service=service,
        engine=seen["engine"],
        hosts=tuple((item["host"], item["port"]) for item in seen["hosts"]),
        sentinels=tuple((item["host"], item["port"]) for item in seen["sentinels"] or []),
        sentinel_name=seen["sentinel_name"] or "",
        database=seen["database"] or "",
        vhost=seen["vhost"] or "",
        user=seen["user"],
        password=seen["password"],
        ca_file=seen["ca_file"],
        timeout=timeout,
    )


class Ledger(threading.Thread):
    """A client that writes numbered records until told to stop, and remembers which were acknowledged, and when."""

    def __init__(self, goal: Target, run: str) -> None:
        """Take the target and a name for the run; `start()` begins writing."""
        super().__init__(daemon=True)
        self.probe: Probe = probe_for(goal)
        self.name = run
        self.acknowledged: list[int] = []
        self.times: list[float] = []
        self.errors: list[str] = []
        self._ending = threading.Event()

    def run(self) -> None:
        """Write, and on an error reconnect and go on with the next number."""
        sequence = 0
        while not self._ending.is_set():
            try:
                self.probe.write(self.name, sequence)
            except ProbeError as error:
                self.errors.append(str(error))
                self._ending.wait(0.05)
            else:
                self.acknowledged.append(sequence)
                self.times.append(time.monotonic())
                self._ending.wait(0.01)
            sequence += 1

    def stop(self) -> None:
        """Stop writing."""
        self._ending.set()
        self.join(30.0)
        assert not self.is_alive(), f"{self.name}: the client hangs"

    def longest_stall(self) -> float:
        """Return the longest time between two acknowledgements, in seconds."""
        return max(
            (later - earlier for earlier, later in zip(self.times, self.times[1:], strict=False)), default=float("inf")
        )

    def missing(self) -> list[int]:
        """Return the acknowledged records that the service no longer has."""
        return self.audit()[0]

    def audit(self) -> tuple[list[int], list[int]]:
        """Return the acknowledged records that the service no longer has, and the records that it has twice."""
        self.probe.close()
        self.probe.open()
        found = self.probe.read(self.name)
        self.probe.forget(self.name)
        self.probe.close()
        once: set[int] = set()
        twice = {number for number in found if number in once or once.add(number)}  # type: ignore[func-returns-value]
        return sorted(set(self.acknowledged) - once), sorted(twice)
