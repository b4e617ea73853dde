#!/usr/bin/env python3
"""Measure what first light promises, with the raw numbers kept as JSON under .cache/bench/.

    tools/dev/bench/first_light.py no-change [N]   site.yml that changes nothing: seconds and remote calls per host
    tools/dev/bench/first_light.py status [N]      holdfast status
    tools/dev/bench/first_light.py warm            make demo when everything is there
    tools/dev/bench/first_light.py cold            make demo in a fresh clone: no image, no virtual environment, no lab
    tools/dev/bench/first_light.py packages        site.yml on fresh hosts against apt installing the same packages there

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
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]
RESULTS = ROOT / ".cache" / "bench"
BIN = ROOT / ".venv" / "bin"


def run(argv: Sequence[str], cwd: Path = ROOT, **environment: str) -> float:
    """Run a command, keep its output for a failure, and return the seconds that it took. Raises SystemExit on failure."""
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
    return run([str(BIN / "ansible-playbook"), f"playbooks/{name}", *extra], **environment)


def distribution(seconds: list[float]) -> dict[str, Any]:
    """Return p50, p95, max and the raw numbers."""
    ordered = sorted(seconds)
    p95 = ordered[max(0, round(0.95 * len(ordered)) - 1)] if len(ordered) > 1 else ordered[0]
    return {"runs": [round(s, 2) for s in seconds], "p50": round(statistics.median(ordered), 2), "p95": round(p95, 2), "max": round(ordered[-1], 2)}


def no_change(repeats: int) -> dict[str, Any]:
    """Time site.yml on hosts that are as they should be."""
    playbook("site.yml")
    calls_file = RESULTS / "calls.json"
    seconds = [playbook("site.yml", HOLDFAST_REMOTE_CALLS_FILE=str(calls_file)) for _ in range(repeats)]
    calls = {host: seen["total"] for host, seen in json.loads(calls_file.read_text())["hosts"].items()}
    return {**distribution(seconds), "remote_calls_per_host": calls}


def status(repeats: int) -> dict[str, Any]:
    """Time holdfast status."""
    run([str(BIN / "holdfast"), "status"])
    return distribution([run([str(BIN / "holdfast"), "status"]) for _ in range(repeats)])


def warm(repeats: int) -> dict[str, Any]:
    """Time make demo with everything there."""
    run(["make", "demo"])
    return distribution([run(["make", "demo"]) for _ in range(repeats)])


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
    playbook("destroy_lab.yml", **lab)
    playbook("create_lab.yml", **lab)
    first_run = playbook("site.yml", **lab)
    listing = [str(BIN / "ansible"), "members", "-m", "ansible.builtin.command", "-a", "dpkg-query -W -f=${Package}\\\\n"]
    env = {**os.environ, **lab, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_LOAD_CALLBACK_PLUGINS": "0"}
    installed = subprocess.run([*listing, "--limit", "lab1"], cwd=ROOT, env=env, capture_output=True, text=True, check=True).stdout.split()
    playbook("destroy_lab.yml", **lab)
    playbook("create_lab.yml", **lab)
    names = " ".join(name for name in installed if name.replace("-", "").replace(".", "").replace("+", "").isalnum() and "|" not in name and name not in ("lab1", "CHANGED", "rc=0"))
    script = (
        "printf '#!/bin/sh\\nexit 101\\n' >/usr/sbin/policy-rc.d; chmod 755 /usr/sbin/policy-rc.d; mkdir -p /etc/postgresql-common; "
        "echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.conf; apt-get update -qq; "
        f"DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends -o Dpkg::Options::=--force-confold {names}"
    )
    apt = run([str(BIN / "ansible"), "members", "-b", "-m", "ansible.builtin.shell", "-a", script], **lab)
    playbook("destroy_lab.yml", **lab)
    return {"site_first_run": round(first_run, 1), "apt_alone": round(apt, 1), "ratio": round(first_run / apt, 2)}


def main() -> None:
    """Run the measurement that the command line names."""
    commands = {"no-change": (no_change, 5), "status": (status, 10), "warm": (warm, 3), "cold": (cold, 1), "packages": (packages, 1)}
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
