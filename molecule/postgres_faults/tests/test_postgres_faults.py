"""An RPO 0 service loses nothing and has one leader, whatever happens to the host that leads; then site.yml heals."""

from __future__ import annotations

import os

import harness
import pytest
from postgres_faults import EXTRA, FAULTS, Fault, strike
from postgres_members import MEMBERS, SERVICE, on

#: A make test strikes with those that take the different ways to a new leader, or to none, once each.
QUICK = ("both killed", "postgres killed", "cut off from etcd", "power cut")
ROUNDS = int(os.environ.get("HOLDFAST_ROUNDS") or 0)
CHOSEN = [fault for fault in FAULTS if harness.FULL or fault.name in QUICK]


def converged() -> None:
    """A re-run after the fault heals or changes nothing, and the one after that changes nothing."""
    healed = harness.run_playbook("site.yml", "--tags", "hosts,etcd,postgres")
    assert healed.code == 0, healed.output[-3000:]
    again = harness.run_playbook("site.yml", "--tags", "hosts,etcd,postgres")
    assert (again.code, again.changed) == (0, []), again.output[-3000:]


def forgotten() -> None:
    """What only a leader that was cut off has written is on no member: it was rewound or rebuilt."""
    for name in MEMBERS:
        ask = f"runuser -u postgres -- psql -XAtqc \"select to_regclass('{EXTRA}') is null\""
        assert on(name, ask) == "t", f"{name} still has what an old leader wrote alone"


@pytest.mark.parametrize("fault", CHOSEN, ids=[fault.name.replace(" ", "-") for fault in CHOSEN])
def test_fault(fault: Fault):
    budget = float(harness.status()[SERVICE]["budget"]["rto_seconds"])
    stalls = []
    for _round in range(ROUNDS or (fault.rounds if harness.FULL else 1)):
        seen = strike(fault)
        stalls.append(seen.stall)
        forgotten()
        print(f"{fault.name}: {seen}")
        assert seen.lost == 0, f"{fault.name}: {seen.lost} acknowledged writes are lost: {seen}"
        assert seen.two_leaders == 0, f"{fault.name}: two members led at once: {seen}"
        if fault.moves is not None:
            assert (seen.old != seen.new) is fault.moves, f"{fault.name}: {seen}"
        assert seen.stall <= budget + (fault.hold if fault.blocks else 0), f"{fault.name}: {seen}"
    print(f"postgres fault {fault.name}: stalls {sorted(stalls)} s, goal {fault.goal} s")
    if harness.FULL or fault is CHOSEN[-1]:
        converged()
