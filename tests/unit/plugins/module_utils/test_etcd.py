# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.holdfast.stateful.plugins.module_utils import etcd

NAMES = ["a", "b", "c"]
MEMBERS = [{"name": name, "address": f"10.0.0.{at}"} for at, name in enumerate(NAMES, 1)]
EMPTY = {"has_data": False, "granted": False}
GRANTED = {"has_data": False, "granted": True}
BEGINNING = {"has_data": True, "granted": True}
SETTLED = {"has_data": True, "granted": False}


@pytest.mark.parametrize(
    ("seen", "begin", "blocker"),
    [
        ([EMPTY, EMPTY, EMPTY], ["a", "b", "c"], ""),
        ([SETTLED, SETTLED, SETTLED], [], ""),
        # Killed half way through a beginning: nobody has used that cluster, so it may be completed.
        ([BEGINNING, EMPTY, EMPTY], ["a", "b", "c"], ""),
        ([BEGINNING, GRANTED, EMPTY], ["a", "b", "c"], ""),
        ([BEGINNING, BEGINNING, BEGINNING], ["a", "b", "c"], ""),
        # Killed while the permission was taken back: all have data, so nothing is left to begin.
        ([SETTLED, BEGINNING, SETTLED], ["b"], ""),
        # A member that lost its data never comes back by itself.
        ([SETTLED, SETTLED, EMPTY], [], "c: no etcd data here, but a, b already belong"),
        ([SETTLED, BEGINNING, EMPTY], [], "c: no etcd data here, but a already belong"),
        ([SETTLED, SETTLED, GRANTED], [], "c: no etcd data"),
        # Could not observe is never a pass.
        ([EMPTY, EMPTY, None], [], "c could not be observed"),
        ([EMPTY, BEGINNING, None], [], "c could not be observed"),
        # A run on members with data needs no proof about the others.
        ([SETTLED, None, None], [], ""),
    ],
)
def test_when_a_cluster_may_begin(seen: list[Any], begin: list[str], blocker: str) -> None:
    plan = etcd.plan_start(dict(zip(NAMES, seen, strict=True)), NAMES)
    assert plan["begin"] == begin
    assert (blocker in plan["blocker"]) if blocker else plan["blocker"] == ""


def view(name: str, leader: str = "1", **more: Any) -> etcd.MemberView:
    return etcd.MemberView(name=name, member_id=str(NAMES.index(name) + 1), leader=leader, **more)


def listed() -> list[dict[str, Any]]:
    return [{"name": m["name"], "peerURLs": [f"https://{m['address']}:2380"]} for m in MEMBERS]


def test_three_healthy_members() -> None:
    verdict = etcd.judge([view(name) for name in NAMES], listed(), MEMBERS, 2380)
    assert (verdict.quorum, verdict.all_healthy, verdict.leader, verdict.problems) == (True, True, "a", [])


@pytest.mark.parametrize(
    ("views", "quorum", "problem"),
    [
        ([view("a"), view("b"), etcd.MemberView("c", error="refused")], True, "c: no answer: refused"),
        ([view("a"), etcd.MemberView("b", error="x"), etcd.MemberView("c", error="x")], False, "b: no answer"),
        ([view("a", "1"), view("b", "2"), view("c", "2")], False, "disagree about the leader: a, b"),
        ([view("a", ""), view("b", ""), view("c", "")], False, "a: sees no leader"),
        ([view("a"), view("b"), view("c", problems=["NOSPACE"])], True, "c: NOSPACE"),
        ([view("a"), view("b", problems=["CORRUPT"]), view("c", problems=["CORRUPT"])], False, "b: CORRUPT"),
    ],
)
def test_what_is_wrong(views: list[etcd.MemberView], quorum: bool, problem: str) -> None:
    verdict = etcd.judge(views, listed(), MEMBERS, 2380)
    assert verdict.quorum is quorum
    assert not verdict.all_healthy
    assert any(problem in text for text in verdict.problems)


def test_the_list_of_members_is_compared_by_peer_address() -> None:
    other = [*listed()[:2], {"peerURLs": ["https://10.0.0.9:2380"]}, {"name": "d", "peerURLs": [], "isLearner": True}]
    assert etcd.compare_list(other, MEMBERS, 2380) == [
        "c (https://10.0.0.3:2380) is declared but is no member",
        "(not started) (https://10.0.0.9:2380) is a member but is not declared",
        "d is a learner and has no vote",
    ]


def test_status_of_the_gateway_has_numbers_as_text_and_no_zeroes() -> None:
    seen = etcd.parse_status("a", {"header": {"member_id": "18"}, "leader": "18", "raftTerm": "3", "version": "3.5.16"})
    assert seen.to_dict()["is_leader"] is True
    assert (seen.term, seen.db_bytes) == (3, 0)
    assert etcd.parse_status("a", {"header": {"member_id": "18"}}).leader == ""


def test_addresses() -> None:
    assert etcd.url_of("10.0.0.1", 1) == "https://10.0.0.1:1"
    assert etcd.url_of("fd00::1", 1) == "https://[fd00::1]:1"


def test_a_key_is_deleted_or_written_through_the_first_member_that_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def post(_self: etcd.EtcdClient, base: str, path: str, body: dict[str, str]) -> dict[str, str]:
        asked.append(base)
        if base == "down":
            raise etcd.EtcdError("down: refused")
        assert (path, body) in (
            ("/v3/kv/deleterange", {"key": "L2E="}),
            ("/v3/kv/put", {"key": "L2E=", "value": "MQ=="}),
        )
        return {"deleted": "1"} if base == "one" else {}

    monkeypatch.setattr(etcd.EtcdClient, "post", post)
    client = etcd.EtcdClient.__new__(etcd.EtcdClient)
    assert client.delete_through_any(["down", "one", "two"], "/a")
    assert asked == ["down", "one"]
    assert not client.delete_through_any(["none"], "/a")
    with pytest.raises(etcd.EtcdError, match="no etcd member takes a write: down"):
        client.delete_through_any(["down"], "/a")
    asked.clear()
    client.put_through_any(["down", "one", "two"], "/a", "1")
    assert asked == ["down", "one"]
    with pytest.raises(etcd.EtcdError, match="no etcd member takes a write: down"):
        client.put_through_any(["down"], "/a", "1")
