"""The lab's own life, in a lab of its own beside the one that the other tests use."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from pathlib import Path

import harness
import pytest
from ansible_collections.holdfast.stateful.plugins.module_utils.lab.identity import identify

NAME = "labtest"
LAB = identify(str(harness.ROOT), NAME)
KILLS = 10 if harness.FULL else 2


@pytest.fixture(autouse=True)
def own_lab(monkeypatch):
    """Use a lab of its own, and remove it afterwards whatever happened."""
    monkeypatch.setenv("HOLDFAST_LAB", NAME)
    harness.run_playbook("destroy_lab.yml")
    yield
    harness.run_playbook("destroy_lab.yml")


def output(*argv: str) -> str:
    return subprocess.run(argv, capture_output=True, text=True, check=False).stdout


def traces() -> dict[str, list[str]]:
    """Return everything on this machine that carries the lab's id."""
    commands = {
        "mounts": Path("/proc/self/mountinfo").read_text(),
        "processes": output("ps", "-ww", "-eo", "args"),
        "devices": output("ip", "-brief", "link"),
        "routes": "\n".join(
            f"{LAB.id} {line}" for line in output("ip", "route", "show", "root", LAB.network).splitlines()
        ),
        "blackholes": "\n".join(
            f"{LAB.id} {line}" for line in output("ip", "route", "show", "type", "blackhole", LAB.network).splitlines()
        ),
        "firewall tables": output("nft", "list", "tables"),
        "cgroups": "\n".join(str(path) for path in Path("/sys/fs/cgroup").glob(f"*/holdfast-{LAB.id}-*")),
        "files": "\n".join(str(path) for path in Path(LAB.machine_dir).parent.glob(f"{LAB.id}*")),
    }
    found = {
        kind: [line for line in text.splitlines() if LAB.id in line and "pytest" not in line]
        for kind, text in commands.items()
    }
    return {kind: lines for kind, lines in found.items() if lines}


def hosts_answer() -> None:
    """Log in to every host as an operator would, with strict host-key checking."""
    for host in ("lab1", "lab2", "lab3", "repo1"):
        done = harness.holdfast("lab", "ssh", host, "--", "sudo", "systemctl", "is-system-running", "--wait")
        assert done.stdout.strip() == "running", f"{host}: {done.stdout}{done.stderr}"


def test_created_once_and_destroyed_without_a_trace():
    before = Path("/proc/sys/net/ipv4/ip_forward").read_text()
    first = harness.run_playbook("create_lab.yml")
    assert first.code == 0, first.output[-2000:]
    hosts_answer()
    second = harness.run_playbook("create_lab.yml")
    assert (second.code, second.changed) == (0, [])
    assert set(traces()) >= {"mounts", "processes", "devices", "routes", "firewall tables", "cgroups", "files"}
    gone = harness.run_playbook("destroy_lab.yml")
    assert gone.code == 0, gone.output[-2000:]
    assert traces() == {}
    assert not Path(LAB.state_dir).exists()
    assert Path("/proc/sys/net/ipv4/ip_forward").read_text() == before
    again = harness.run_playbook("destroy_lab.yml")
    assert (again.code, again.changed) == (0, [])


def killed_creation(delay: float) -> None:
    process = subprocess.Popen(
        harness.playbook_argv("create_lab.yml"),
        cwd=harness.ROOT,
        env=harness.environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    time.sleep(delay)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@pytest.mark.parametrize("repeat", range(KILLS))
def test_half_created_lab_is_repaired_or_destroyed(repeat):
    delay = random.uniform(0.5, 8.0)  # noqa: S311 - where to kill is no secret
    print(f"killed after {delay:.2f} s")
    killed_creation(delay)
    if repeat % 2:
        gone = harness.run_playbook("destroy_lab.yml")
        assert gone.code == 0, gone.output[-2000:]
        assert traces() == {}
        return
    repaired = harness.run_playbook("create_lab.yml")
    assert repaired.code == 0, f"killed after {delay:.2f} s: {repaired.output[-3000:]}"
    hosts_answer()


def test_occupied_subnet_is_refused_before_any_change():
    subprocess.run(["ip", "link", "add", "hf-occupied", "type", "bridge"], check=True)
    try:
        subprocess.run(["ip", "address", "add", f"{LAB.prefix}.77/24", "dev", "hf-occupied"], check=True)
        subprocess.run(["ip", "link", "set", "hf-occupied", "up"], check=True)
        refused = harness.run_playbook("create_lab.yml")
    finally:
        subprocess.run(["ip", "link", "delete", "hf-occupied"], check=True)
    assert refused.code != 0
    assert "hf-occupied" in refused.output
    assert LAB.network in refused.output
    assert traces() == {}


def test_missing_privilege_is_refused_before_any_change():
    # Root in a container without these capabilities; another user may not even be able to start this Python.
    done = subprocess.run(
        ["setpriv", "--bounding-set=-sys_admin,-net_admin", *harness.playbook_argv("create_lab.yml")],
        cwd=harness.ROOT,
        env=harness.environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "CAP_SYS_ADMIN" in done.stdout
    assert "privilege" in done.stdout, done.stdout[-1500:] + done.stderr[-500:]
    assert traces() == {}
