# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.holdfast.stateful.plugins.module_utils.postgres_restart_order import (
    SHARED,
    OrderError,
    restart_phases,
    wanted_shared,
)
from hypothesis import given
from hypothesis import strategies as st

BASE = {**SHARED, "max_connections": 100}
RAISED = {**BASE, "max_connections": 200}
MIXED = {**BASE, "max_connections": 50, "max_wal_senders": 20}


def member(running: dict[str, int], wanted: dict[str, int], other: list[str] | None = None) -> dict[str, Any]:
    waits = [key for key in SHARED if running[key] != wanted[key]] + (other or [])
    return {"pending": bool(waits), "running": running, "wanted": wanted, "waits_for": waits}


def cluster(wanted: dict[str, int], other: list[str] | None = None, **running: dict[str, int]) -> dict[str, Any]:
    return {name: member(running.get(name, BASE), wanted, other) for name in ("a", "b", "c")}


@pytest.mark.parametrize(
    ("members", "standbys", "leader", "again"),
    [
        pytest.param(cluster(BASE), [], [], [], id="nothing waits"),
        pytest.param(cluster(RAISED), ["b", "c"], ["a"], [], id="raise"),
        pytest.param(cluster(BASE, a=RAISED, b=RAISED, c=RAISED), [], ["a"], ["b", "c"], id="lower"),
        pytest.param(cluster(MIXED), ["b", "c"], ["a"], ["b", "c"], id="raise and lower: two passes"),
        pytest.param(cluster(BASE, ["shared_buffers"]), ["b", "c"], ["a"], [], id="another setting"),
        pytest.param(
            cluster(BASE, ["shared_buffers"], a=RAISED, b=RAISED, c=RAISED),
            ["b", "c"],
            ["a"],
            ["b", "c"],
            id="lower and another setting: a standby tries it first",
        ),
        pytest.param(cluster(RAISED, b=RAISED), ["c"], ["a"], [], id="raise, aborted after one standby"),
        pytest.param(cluster(RAISED, b=RAISED, c=RAISED), [], ["a"], [], id="raise, aborted before the leader"),
        pytest.param(cluster(BASE, b=RAISED, c=RAISED), [], [], ["b", "c"], id="lower, aborted after the leader"),
        pytest.param(cluster(BASE, c=RAISED), [], [], ["c"], id="lower, aborted after one standby"),
        pytest.param(
            cluster(MIXED, b={**MIXED, "max_connections": 100}),
            ["c"],
            ["a"],
            ["b", "c"],
            id="both, aborted in the first pass",
        ),
    ],
)
def test_order(members: dict[str, Any], standbys: list[str], leader: list[str], again: list[str]) -> None:
    assert restart_phases("a", members) == {"standbys": standbys, "leader": leader, "standbys_again": again}


def test_a_standby_that_waits_for_what_nobody_names_goes_first() -> None:
    members = cluster(BASE)
    members["b"] = {"pending": True, "running": BASE, "wanted": BASE, "waits_for": []}
    assert restart_phases("a", members)["standbys"] == ["b"]


@pytest.mark.parametrize("damage", ["running", "wanted"])
def test_what_was_not_observed_stops(damage: str) -> None:
    members = cluster(RAISED)
    members["b"] = {**members["b"], damage: {}}
    with pytest.raises(OrderError, match=r"^b: expected its running"):
        restart_phases("a", members)


def test_patroni_that_has_not_taken_note_stops() -> None:
    members = cluster(RAISED)
    members["c"]["pending"] = False
    with pytest.raises(OrderError, match="run again"):
        restart_phases("a", members)


def test_a_leader_that_was_not_observed_stops() -> None:
    with pytest.raises(OrderError, match="d: expected among"):
        restart_phases("d", cluster(BASE))


def test_defaults_of_patroni_are_filled_in() -> None:
    assert wanted_shared({"max_connections": "200"}) == {**SHARED, "max_connections": 200}


VALUES = st.fixed_dictionaries({key: st.integers(0, 3) for key in SHARED})


@given(old=VALUES, new=VALUES, other=st.booleans(), stop=st.integers(0, 9))
def test_no_standby_ever_has_less_than_the_leader(
    old: dict[str, int], new: dict[str, int], other: bool, stop: int
) -> None:
    """Play the phases, abort after `stop` restarts, plan again from what is then true, and end with nothing to do."""
    running = dict.fromkeys("abc", old)
    seen = dict.fromkeys("abc", other)
    restarts = dict.fromkeys("abc", 0)

    def observed() -> dict[str, Any]:
        return {name: member(running[name], new, ["shared_buffers"] if seen[name] else []) for name in "abc"}

    def restart(name: str) -> None:
        # Patroni starts a standby with the leader's value where that is higher, and leaves it waiting.
        least = dict.fromkeys(SHARED, 0) if name == "a" else running["a"]
        running[name] = {key: max(new[key], least[key]) for key in SHARED}
        seen[name] = False
        restarts[name] += 1
        for standby in "bc":
            assert all(running[standby][key] >= running["a"][key] for key in SHARED)

    for budget in (stop, 99):
        plan = restart_phases("a", observed())
        for name in (plan["standbys"] + plan["leader"] + plan["standbys_again"])[:budget]:
            restart(name)
    assert all(running[name] == new for name in "abc")
    assert restart_phases("a", observed()) == {"standbys": [], "leader": [], "standbys_again": []}
    assert restarts["a"] <= 1
