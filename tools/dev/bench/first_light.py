"""Measure what first light promises, with the raw numbers kept as JSON under .cache/bench/.

    tools/dev/bench/first_light no-change [N]   site.yml that changes nothing: seconds and remote calls per host
    tools/dev/bench/first_light status [N]      holdfast status
    tools/dev/bench/first_light warm            make demo when everything is there
    tools/dev/bench/first_light cold            make demo in a fresh clone: no image, no virtual environment
    tools/dev/bench/first_light packages        site.yml on fresh hosts against apt alone with the same packages

Every command prints p50, p95 and max over its runs. Run it on an otherwise idle machine; the load average is recorded.
"""

from __future__ import annotations

import datetime
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]
RESULTS = ROOT / ".cache" / "bench"
BIN = ROOT / ".venv" / "bin"


def run(argv: Sequence[str], cwd: Path = ROOT, **environment: str) -> float:
    """Run a command and return the seconds that it took. Raises SystemExit, with its output, when it fails."""
    begin = time.monotonic()
    done = subprocess.run(
        list(argv),
        cwd=cwd,
        env={**os.environ, "ANSIBLE_CONFIG": str(cwd / "ansible.cfg"), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(argv)}: exit code {done.returncode}\n{done.stdout[-3000:]}")
    return time.monotonic() - begin


def playbook(name: str, *extra: str, **environment: str) -> float:
    """Run a playbook and return its seconds."""
    return run([str(BIN / "ansible-playbook"), f"playbooks/{name}", *extra], ROOT, **environment)


def distribution(seconds: list[float]) -> dict[str, Any]:
    """Return p50, p95, max and the raw numbers."""
    ordered = sorted(seconds)
    p95 = ordered[max(0, round(0.95 * len(ordered)) - 1)] if len(ordered) > 1 else ordered[0]
    figures = {"p50": statistics.median(ordered), "p95": p95, "max": ordered[-1]}
    return {"runs": [round(s, 2) for s in seconds], **{name: round(value, 2) for name, value in figures.items()}}


def no_change(repeats: int) -> dict[str, Any]:
    """Time site.yml on hosts that are as they should be."""
    playbook("site.yml")
    calls_file = RESULTS / "calls.json"
    seconds = [playbook("site.yml", HOLDFAST_REMOTE_CALLS_FILE=str(calls_file)) for _run in range(repeats)]
    calls = {host: seen["total"] for host, seen in json.loads(calls_file.read_text())["hosts"].items()}
    return {**distribution(seconds), "remote_calls_per_host": calls}


def status(repeats: int) -> dict[str, Any]:
    """Time holdfast status."""
    run([str(BIN / "holdfast"), "status"])
    return distribution([run([str(BIN / "holdfast"), "status"]) for _run in range(repeats)])


def warm(repeats: int) -> dict[str, Any]:
    """Time make demo with everything there."""
    run(["make", "demo"])
    return distribution([run(["make", "demo"]) for _run in range(repeats)])


def cold(_repeats: int) -> dict[str, Any]:
    """Time make demo in a fresh clone with an empty image cache, then destroy its lab."""
    folder = Path(tempfile.mkdtemp(prefix="holdfast-cold-"))
    clone = folder / "holdfast"
    run(["git", "clone", "--quiet", str(ROOT), str(clone)])
    environment = {"HOLDFAST_LAB_CACHE": str(folder / "images")}
    try:
        parts = {target: run(["make", target], cwd=clone, **environment) for target in ("setup", "demo")}
    finally:
        run(["make", "demo-down"], cwd=clone, **environment)
        shutil.rmtree(folder)
    return {**distribution([sum(parts.values())]), "parts": {name: round(value, 1) for name, value in parts.items()}}


def packages(_repeats: int) -> dict[str, Any]:
    """Compare a first run with what apt needs for the same packages on the same fresh hosts."""
    lab = {"HOLDFAST_LAB": "bench"}
    first_run = on_fresh_hosts(lambda: playbook("site.yml", **lab), lab)
    if not first_run.installed:
        raise SystemExit("expected packages that the first run installed, found none")
    names = " ".join(first_run.installed)
    script = (
        "printf '#!/bin/sh\\nexit 101\\n' >/usr/sbin/policy-rc.d; chmod 755 /usr/sbin/policy-rc.d; "
        "mkdir -p /etc/postgresql-common; "
        "echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.conf; "
        "apt-get update -qq; DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "
        f"-o Dpkg::Options::=--force-confold {names}"
    )
    shell = [str(BIN / "ansible"), "members", "-b", "-m", "ansible.builtin.shell", "-a", script]
    apt = on_fresh_hosts(lambda: run(shell, ROOT, **lab), lab)
    playbook("destroy_lab.yml", **lab)
    return {
        "site_first_run": round(first_run.seconds, 1),
        "apt_alone": round(apt.seconds, 1),
        "ratio": round(first_run.seconds / apt.seconds, 2),
        "packages": len(first_run.installed),
    }


@dataclass
class OnFreshHosts:
    """How long a step took, and which packages it had installed in the end."""

    seconds: float
    installed: list[str]


def on_fresh_hosts(step: Callable[[], float], lab: dict[str, str]) -> OnFreshHosts:
    """Run a step on hosts that were just made, and return its seconds and the packages that are new."""
    playbook("destroy_lab.yml", **lab)
    playbook("create_lab.yml", **lab)
    before = installed_on("lab1", lab)
    seconds = step()
    return OnFreshHosts(seconds, sorted(installed_on("lab1", lab) - before))


def installed_on(host: str, lab: dict[str, str]) -> set[str]:
    """Return the names of the packages installed on a lab host."""
    argv = [str(BIN / "holdfast"), "lab", "ssh", host, "--", "dpkg-query", "--show"]
    done = subprocess.run(argv, cwd=ROOT, env={**os.environ, **lab}, capture_output=True, text=True, check=True)
    return {line.split("\t")[0] for line in done.stdout.splitlines()}


def main() -> None:
    """Run the measurement that the command line names."""
    commands = {
        "no-change": (no_change, 5),
        "status": (status, 10),
        "warm": (warm, 3),
        "cold": (cold, 1),
        "packages": (packages, 1),
    }
    if len(sys.argv) < 2 or sys.argv[1] not in commands:
        raise SystemExit(__doc__)
    measure, repeats = commands[sys.argv[1]]
    RESULTS.mkdir(parents=True, exist_ok=True)
    load = os.getloadavg()
    result = {
        "what": sys.argv[1],
        "when": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "cpus": os.cpu_count(),
        "load_before": [round(value, 2) for value in load],
        **measure(int(sys.argv[2]) if len(sys.argv) > 2 else repeats),
    }
    (RESULTS / f"{sys.argv[1]}.json").write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
