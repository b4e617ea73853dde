"""Measure unplanned failovers of PostgreSQL from a client's side; raw numbers as JSON under .cache/bench/.

    tools/dev/bench/postgres_failover [N] [FAULT…]    N rounds (default 10) of each fault, by default of three kinds

Needs a lab with the services on it (`make demo`). For every fault: p50, p95 and max of the longest stall between two
acknowledged writes, lost and duplicated writes, and moments with two leaders. FAULT is a name such as "both killed"; an
unknown name lists all.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
sys.path[:0] = [str(ROOT / "molecule" / "shared"), str(ROOT / "collections")]

from first_light import RESULTS, distribution  # noqa: E402
from postgres_faults import FAULTS, strike  # noqa: E402 - found through the path above

DEFAULT = ("both killed", "postgres killed", "power cut")


def main() -> None:
    """Strike, and print what was seen."""
    words = sys.argv[1:]
    rounds = int(words.pop(0)) if words and words[0].isdigit() else 10
    known = {fault.name: fault for fault in FAULTS}
    unknown = sorted(set(words) - set(known))
    if unknown:
        raise SystemExit(f"{', '.join(unknown)}: expected any of {', '.join(known)}\n\n{__doc__}")
    report = {}
    load = [round(value, 2) for value in os.getloadavg()]
    for name in words or DEFAULT:
        seen = []
        for number in range(rounds):
            seen.append(strike(known[name]))
            print(f"{name} {number + 1}/{rounds}: {seen[-1]}", file=sys.stderr)
        report[name] = {
            **distribution([item.stall for item in seen]),
            "goal_p95": known[name].goal,
            "acknowledged": sum(item.acknowledged for item in seen),
            "lost": sum(item.lost for item in seen),
            "duplicated": sum(item.duplicated for item in seen),
            "two_leaders": sum(item.two_leaders for item in seen),
            "raw": [dataclasses.asdict(item) for item in seen],
        }
    result = {
        "what": "postgres_failover",
        "when": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "cpus": os.cpu_count(),
        "load_before": load,
        "faults": report,
    }
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / "postgres_failover.json").write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps({name: {k: v for k, v in item.items() if k != "raw"} for name, item in report.items()}, indent=2))


if __name__ == "__main__":
    main()
