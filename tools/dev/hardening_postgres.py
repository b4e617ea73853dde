"""Measure two public hardening baselines on the lab's PostgreSQL members; compare them with docs/hardening/postgres.md.

    tools/dev/hardening_postgres [PGDSAT]

Needs a lab with PostgreSQL on it. With the folder of a checkout of pgdsat (github.com/HexaCluster/pgdsat) that program
runs on a member as well, and its verdicts are printed beside ours. Exit code 1 where page and members differ.
"""

from __future__ import annotations

import io
import re
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "molecule" / "shared"), str(ROOT / "collections")]

import harness  # noqa: E402 - found through the path above
import postgres_hardening as hardening  # noqa: E402
import testinfra  # noqa: E402

MEMBERS = ("lab1", "lab2", "lab3")
RUN = (
    "cd /tmp/pgdsat && sudo -u postgres env PATH=/usr/lib/postgresql/%s/bin:$PATH perl -I lib ./pgdsat --format text"
    " --host /var/run/postgresql --user postgres --pgdata %s --no-pg-version-check --output -"
)
VERDICT = re.compile(r"^\s*([0-9]+(?:\.[0-9]+)+) - .* => (SUCCESS|FAILURE)\s*$", re.MULTILINE)


def connect(name: str) -> Any:
    """Return a lab host."""
    config = f"{harness.lab().state_dir}/ssh/config"
    return testinfra.get_host(f"ssh://{name}", ssh_config=config, sudo=True)


def run_pgdsat(host: Any, folder: Path) -> str:
    """Copy pgdsat to a member, run it as the server's user, and return its report."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for part in ("lib", "pgdsat"):
            archive.add(folder / part, part)
    unpack = "rm -rf /tmp/pgdsat; mkdir -m 755 /tmp/pgdsat && tar -xf - -C /tmp/pgdsat && chmod -R a+rX /tmp/pgdsat"
    config = f"{harness.lab().state_dir}/ssh/config"
    subprocess.run(["ssh", "-F", config, MEMBERS[0], unpack], input=packed.getvalue(), check=True)
    major, data = host.check_output("ls /usr/lib/postgresql"), host.check_output("echo /var/lib/postgresql/*/orders-db")
    return str(host.run(RUN % (major, data)).stdout)


def main() -> None:
    """Measure, compare, print."""
    page = hardening.documented()
    wrong: list[str] = []
    for name in MEMBERS:
        host = connect(name)
        measured = {check.id: hardening.measure(host, check) for check in hardening.CHECKS}
        if name == MEMBERS[0]:
            for key, (good, said) in measured.items():
                print(f"{key:12} {page.get(key, ('-',))[0]:10} {'pass' if good else 'FAIL'}  {said[:120]!r}")
        wrong += [f"{name}: {line}" for line in hardening.differences(measured)]
    if len(sys.argv) > 1:
        report = run_pgdsat(connect(MEMBERS[0]), Path(sys.argv[1]))
        for number, verdict in VERDICT.findall(report):
            ours = page.get(f"cis-{number}", ("no row",))[0]
            agrees = ours == "manual" or (verdict == "SUCCESS") == (ours == "passes")
            print(f"pgdsat {number:8} {verdict:8} {ours:10} {'' if agrees else 'DIFFERS'}")
    print("\n".join(wrong) or "the page and all members say the same")
    raise SystemExit(1 if wrong else 0)


if __name__ == "__main__":
    main()
