# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import copy
from typing import Any

import pytest
from ansible_collections.holdfast.stateful.plugins.module_utils import patroni

NAMES = ["a", "b", "c"]


def cluster() -> dict[str, Any]:
    return {
        "members": [
            {"name": "a", "role": "leader", "state": "running", "timeline": 2},
            {"name": "b", "role": "sync_standby", "state": "streaming", "timeline": 2, "lag": 0},
            {"name": "c", "role": "replica", "state": "streaming", "timeline": 2, "lag": 0},
        ]
    }


def views() -> list[patroni.MemberView]:
    return [
        patroni.MemberView(
            name,
            None,
            {
                "role": "primary" if name == "a" else "replica",
                "state": "running",
                "timeline": 2,
                "database_system_identifier": "7",
                "patroni": {"scope": "db"},
            },
            cluster(),
        )
        for name in NAMES
    ]


def test_a_healthy_cluster() -> None:
    verdict = patroni.judge(views(), "db", 1)
    assert verdict.healthy
    assert (verdict.leader, verdict.sync_standbys, verdict.problems) == ("a", ["b"], [])


def as_patroni_3_0_2(seen: list[patroni.MemberView], *streaming: str) -> None:
    """Say what Patroni 3.0.2 says: standbys run, and only the leader knows to whom it sends."""
    for view in seen:
        view.own["patroni"]["version"] = "3.0.2"
        for item in view.cluster["members"]:
            item["state"] = "running"
    seen[0].own["role"] = "master"
    seen[0].own["replication"] = [
        {"application_name": name, "state": "streaming" if name in streaming else "catchup"} for name in ("b", "c")
    ]


def test_an_old_patroni_has_its_leader_say_who_streams() -> None:
    seen = views()
    as_patroni_3_0_2(seen, "b", "c")
    assert patroni.judge(seen, "db", 1).healthy
    assert patroni.choose_candidate(seen[0], True) == ("b", ["c: not a synchronous standby"])


@pytest.mark.parametrize("replication", [[], None, [{"application_name": "b", "state": "streaming"}]])
def test_a_standby_to_which_an_old_leader_does_not_send_is_not_healthy(replication: Any) -> None:
    seen = views()
    as_patroni_3_0_2(seen)
    seen[0].own["replication"] = replication
    verdict = patroni.judge(seen, "db", 1)
    assert "c: expected to stream from a, found state running" in verdict.problems


def test_a_new_patroni_is_taken_at_its_word() -> None:
    seen = views()
    as_patroni_3_0_2(seen, "b", "c")
    for view in seen:
        view.own["patroni"]["version"] = "3.0.4"
    assert not patroni.judge(seen, "db", 1).healthy


def silent(seen: list[patroni.MemberView]) -> None:
    seen[2] = patroni.MemberView("c", "timed out")


def two_primaries(seen: list[patroni.MemberView]) -> None:
    seen[2].own["role"] = "primary"


def disagree(seen: list[patroni.MemberView]) -> None:
    seen[2].cluster["members"][0]["role"], seen[2].cluster["members"][2]["role"] = "replica", "leader"


def nobody_leads(seen: list[patroni.MemberView]) -> None:
    for view in seen:
        view.cluster["members"][0]["role"] = "replica"


def key_without_server(seen: list[patroni.MemberView]) -> None:
    seen[0].own["state"] = "stopped"


def not_streaming(seen: list[patroni.MemberView]) -> None:
    seen[0].cluster["members"][2]["state"] = "in archive recovery"


def old_timeline(seen: list[patroni.MemberView]) -> None:
    seen[0].cluster["members"][2]["timeline"] = 1


def missing(seen: list[patroni.MemberView]) -> None:
    del seen[0].cluster["members"][2]


def stranger(seen: list[patroni.MemberView]) -> None:
    seen[0].cluster["members"].append({"name": "x", "role": "replica", "state": "streaming", "timeline": 2})


def other_scope(seen: list[patroni.MemberView]) -> None:
    seen[1].own["patroni"]["scope"] = "other"


def other_system(seen: list[patroni.MemberView]) -> None:
    seen[1].own["database_system_identifier"] = "8"


def no_sync(seen: list[patroni.MemberView]) -> None:
    seen[0].cluster["members"][1]["role"] = "replica"


@pytest.mark.parametrize(
    ("breaks", "problem"),
    [
        (silent, "c: no answer: timed out"),
        (two_primaries, "more than one member says that it leads: a, c"),
        (disagree, "members see different leaders"),
        (nobody_leads, "no member sees a leader"),
        (key_without_server, "a holds the leader key but does not say that it takes writes"),
        (not_streaming, "c: expected to stream from a, found state in archive recovery"),
        (old_timeline, "c: expected timeline 2, found 1"),
        (missing, "c: declared, but not a member"),
        (stranger, "x: a member of the cluster that is not declared"),
        (other_scope, "b: expected scope db, found other"),
        (other_system, "different system identifiers"),
        (no_sync, "expected 1 synchronous standby, found 0"),
    ],
)
def test_what_makes_a_cluster_unhealthy(breaks: Any, problem: str) -> None:
    seen = views()
    breaks(seen)
    verdict = patroni.judge(seen, "db", 1)
    assert not verdict.healthy
    assert any(problem in text for text in verdict.problems), verdict.problems


def test_nobody_answers() -> None:
    verdict = patroni.judge([patroni.MemberView(name, "refused") for name in NAMES], "db", 1)
    assert not verdict.healthy
    assert "no member sees a leader" in verdict.problems


def test_paused_and_pending_are_reported_and_no_problem() -> None:
    seen = views()
    seen[0].cluster["pause"] = True
    seen[1].own["pending_restart"] = True
    verdict = patroni.judge(seen, "db", 1)
    assert verdict.healthy
    assert verdict.paused
    assert verdict.pending_restart == ["b"]


@pytest.mark.parametrize(
    ("current", "wanted", "patch"),
    [
        ({"ttl": 20}, {"ttl": 20}, {}),
        ({"ttl": 30, "other": 1}, {"ttl": 20}, {"ttl": 20}),
        ({}, {"postgresql": {"parameters": {"x": 1}}}, {"postgresql": {"parameters": {"x": 1}}}),
        ({"postgresql": {"parameters": {"x": "1", "y": 2}}}, {"postgresql": {"parameters": {"x": 1}}}, {}),
        ({"postgresql": None}, {"postgresql": {"use_slots": True}}, {"postgresql": {"use_slots": True}}),
        ({"a": True}, {"a": "on"}, {}),
        ({"a": "on"}, {"a": "off"}, {"a": "off"}),
        ({"a": "off"}, {"a": True}, {"a": True}),
        ({"a": None}, {"a": 0}, {"a": 0}),
        ({"a": None}, {"a": False}, {"a": False}),
        ({"a": "nonsense"}, {"a": True}, {"a": True}),
        ({"a": {"b": 1}}, {"a": "x"}, {"a": "x"}),
    ],
)
def test_only_the_difference_is_sent(current: dict[str, Any], wanted: dict[str, Any], patch: dict[str, Any]) -> None:
    before = copy.deepcopy(current)
    assert patroni.config_patch(current, wanted) == patch
    assert current == before


def test_pick_shows_what_a_patch_replaces() -> None:
    assert patroni.pick({"a": {"b": 1, "c": 2}}, {"a": {"b": 3, "d": 4}}) == {"a": {"b": 1, "d": None}}


def change(index: int, **values: Any) -> patroni.MemberView:
    leader = views()[0]
    leader.cluster["members"][index].update(values)
    return leader


@pytest.mark.parametrize(
    ("leader", "sync", "wanted", "name", "reason"),
    [
        (change(1), True, None, "b", ""),
        (change(1), True, "b", "b", ""),
        (change(1), True, "c", None, "c: not a synchronous standby"),
        (change(1), False, "c", "c", ""),
        (change(1), False, None, "b", ""),
        (change(1, role="replica", lag=5), False, None, "c", ""),
        (change(1, tags={"nofailover": True}), True, None, None, "b: tagged nofailover"),
        (change(1, state="running"), True, None, None, "b: state running"),
        (change(1, lag="unknown"), True, None, None, "b: lag unknown"),
        (change(1, lag=None), True, None, None, "b: lag unknown"),
        (change(1, timeline=1), True, None, None, "b: timeline 1 instead of 2"),
        (change(1), True, "z", None, "z: not a standby"),
        (change(1), True, "a", None, "a: not a standby"),
    ],
)
def test_who_may_lead_next(
    leader: patroni.MemberView, sync: bool, wanted: str | None, name: str | None, reason: str
) -> None:
    found, reasons = patroni.choose_candidate(leader, sync, wanted)
    assert found == name
    assert not reason or any(reason in text for text in reasons)


def test_a_member_that_is_about_to_leave_is_no_problem() -> None:
    seen = views()
    for view in seen:
        view.cluster["members"].append({"name": "old", "role": "replica", "state": "stopped", "timeline": 1})
    assert patroni.judge(seen, "db", 1).problems == ["old: a member of the cluster that is not declared"]
    assert patroni.judge(seen, "db", 1, ["old"]).healthy


def test_a_slot_of_a_site_that_was_taken_out_is_reported() -> None:
    live = {"slots": {"site_b": {"type": "physical"}, "old_site": {"type": "physical"}}}
    found = patroni.undeclared_slots(live, {"slots": {"site_b": {"type": "physical"}}})
    assert len(found) == 1
    assert "old_site is in Patroni's configuration and not declared" in found[0]
    assert "--set slots.old_site=null" in found[0]
    assert patroni.undeclared_slots({"slots": None}, {}) == []


def test_tags_are_missing_until_each_member_lists_them_of_itself() -> None:
    seen = views()
    for view in seen:
        for item in view.cluster["members"]:
            item["tags"] = {"store_login": "b", "nosync": True}
    assert patroni.without_tags(seen, {"store_login": "b"}) == []
    seen[1].cluster["members"][1]["tags"] = {"store_login": "a"}
    del seen[2].cluster["members"][2]["tags"]
    seen.append(patroni.MemberView("d", "no answer"))
    assert patroni.without_tags(seen, {"store_login": "b"}) == [
        "b: {'store_login': 'a'}",
        "c: {'store_login': None}",
        "d: no answer",
    ]
