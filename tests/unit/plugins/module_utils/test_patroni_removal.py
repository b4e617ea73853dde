# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.holdfast.stateful.plugins.module_utils.patroni import MemberView, judge
from ansible_collections.holdfast.stateful.plugins.module_utils.patroni_removal import (
    is_synchronous,
    judge_staying,
    reinit_blocker,
    removal_blocker,
    slot_of,
)

STAY = ["a", "b", "c"]


def listed(leader: str = "a", sync: str = "b") -> list[dict[str, Any]]:
    def role(name: str) -> str:
        return "leader" if name == leader else "sync_standby" if name == sync else "replica"

    return [
        {"name": name, "role": role(name), "state": "running" if name == leader else "streaming", "timeline": 1}
        for name in [*STAY, "old"]
    ]


def views(leader: str = "a", members: list[dict[str, Any]] | None = None) -> list[MemberView]:
    own = {"state": "running", "timeline": 1, "database_system_identifier": "7", "patroni": {"scope": "db"}}
    return [
        MemberView(
            name, None, {**own, "role": "primary" if name == leader else "replica"}, {"members": members or listed()}
        )
        for name in STAY
    ]


def blocker(seen: list[MemberView], name: str = "old", without: str = "old") -> str:
    return removal_blocker(seen, judge_staying(seen, "db", 1, without), name)


def test_a_member_that_nobody_needs_may_go() -> None:
    assert blocker(views()) == ""


def test_it_may_go_while_it_is_the_synchronous_standby_but_is_not_counted_once_it_stops() -> None:
    seen = views(members=listed(sync="old"))
    assert blocker(seen, without="") == "", "it gives that up before it stops"
    assert "expected 1 synchronous standby, found 0" in blocker(seen)
    assert (is_synchronous(seen, "old"), is_synchronous(seen, "b")) == (True, False)
    assert judge(seen, "db", 1).sync_standbys == []
    assert judge(seen, "db", 1, ["old"]).sync_standbys == ["old"]


def test_another_one_that_leaves_later_blocks_nothing() -> None:
    more = [*listed(), {"name": "later", "role": "replica", "state": "streaming", "timeline": 1}]
    assert blocker(views(members=more)) == ""


def test_nobody_goes_while_failover_is_paused() -> None:
    seen = views()
    assert blocker(seen) == ""
    seen[2].cluster["pause"] = True
    assert "paused: resume it first" in blocker(seen)


def test_it_may_go_also_when_it_is_broken() -> None:
    members = listed()
    members[-1] |= {"state": "crashed", "timeline": 9}
    assert blocker(views(members=members)) == ""


def test_the_leader_stays_by_the_live_view() -> None:
    assert "old leads" in blocker(views("", listed("old")))
    one = views()
    one[1].cluster = {"members": listed("old")}
    assert "old leads" in blocker(one), "one member's word is enough to stop"
    assert "a leads" in blocker(views(), "a")


def test_a_declared_member_would_come_back() -> None:
    assert "is declared" in blocker(views(), "c")


@pytest.mark.parametrize(
    ("index", "damage", "said"),
    [
        (1, {"state": "stopped"}, "expected to stream"),
        (1, {"role": "replica"}, "synchronous standby"),
        (2, {"timeline": 0}, "expected timeline"),
    ],
)
def test_members_that_stay_must_keep_every_promise(index: int, damage: dict[str, Any], said: str) -> None:
    members = listed()
    members[index] |= damage
    assert said in blocker(views(members=members))


def test_what_was_not_observed_stops() -> None:
    seen = views()
    seen[2] = MemberView("c", "down")
    assert "c: no answer" in blocker(seen)
    assert "no member says who leads" in blocker([MemberView(name, "down") for name in STAY])


def rebuild(seen: list[MemberView], name: str, sync_nodes: int = 1) -> str:
    return reinit_blocker(seen, judge(seen, "db", sync_nodes), name, sync_nodes)


def test_only_a_standby_of_a_leader_is_built_anew() -> None:
    assert "a leads" in rebuild(views(), "a")
    assert rebuild(views(), "b") == ""
    silent = [MemberView(name, "down") for name in STAY]
    assert "no leader by agreement" in rebuild(silent, "b")
    two = views()
    two[1].own["role"] = "primary"
    assert "no leader by agreement" in rebuild(two, "b")
    two[1].own["role"] = "replica"
    two[2].cluster["pause"] = True
    assert "paused: resume it first" in rebuild(two, "b")


@pytest.mark.parametrize(
    "damage",
    [{"state": "stopped"}, {"timeline": 0}, {"tags": {"nosync": True}}, {"name": "somebody"}],
)
def test_the_only_healthy_synchronous_standby_is_not_deleted(damage: dict[str, Any]) -> None:
    members = listed()
    members[2] |= damage
    seen = views(members=members)
    assert "b is a synchronous standby" in rebuild(seen, "b")
    assert "1 must stream, found none" in rebuild(seen, "b"), "one that is not declared does not count"
    if damage.get("name") is None:
        assert rebuild(seen, "c") == "", "a broken one is what this is for"


def test_a_synchronous_standby_is_built_anew_where_enough_others_stream() -> None:
    assert rebuild(views(), "b") == ""
    assert "2 must stream, found c" in rebuild(views(), "b", 2)
    members = listed(sync="nobody")
    members[2] |= {"state": "stopped"}
    assert rebuild(views(members=members), "b") == "", "of an asynchronous standby nobody was promised anything"


@pytest.mark.parametrize(
    ("name", "slot"), [("lab3", "lab3"), ("DB-3.example", "db_3_example"), ("a b", "au0032b"), ("x" * 80, "x" * 63)]
)
def test_slots_are_named_as_patroni_does(name: str, slot: str) -> None:
    assert slot_of(name) == slot
