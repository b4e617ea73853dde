# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.holdfast.stateful.plugins.module_utils import etcd_members
from ansible_collections.holdfast.stateful.plugins.module_utils.etcd import EtcdError, MemberView

URL = {name: f"https://192.0.2.{at}:2380" for at, name in enumerate("abc", 1)}
NEW = ["add", "start", "promote"]


def entry(name: str = "c", learner: bool = False, at: str = "c") -> dict[str, Any]:
    return {"ID": at, "name": name, "peerURLs": [URL[at]], **({"isLearner": True} if learner else {})}


VOTER, UNSTARTED, LEARNER, NEW_LEARNER = entry(), entry(""), entry(learner=True), entry("", learner=True)


@pytest.mark.parametrize(
    ("found", "has_data", "answers", "replace", "steps"),
    [
        (None, False, False, False, NEW),
        (None, False, False, True, NEW),
        (None, True, False, True, ["set_aside", *NEW]),
        (VOTER, True, True, False, []),
        (VOTER, True, False, False, ["start"]),
        (VOTER, False, False, True, ["remove", *NEW]),
        (VOTER, True, False, True, ["remove", "set_aside", *NEW]),
        (UNSTARTED, False, False, False, ["start"]),
        (UNSTARTED, True, False, True, ["remove", "set_aside", *NEW]),
        (NEW_LEARNER, False, False, False, ["start", "promote"]),
        (LEARNER, True, True, False, ["promote"]),
        (LEARNER, True, False, False, ["start", "promote"]),
        (LEARNER, False, False, True, ["remove", *NEW]),
    ],
)
def test_steps(found: Any, has_data: bool, answers: bool, replace: bool, steps: list[str]) -> None:
    assert etcd_members.plan_join(found, has_data, answers, replace) == steps


@pytest.mark.parametrize(
    ("found", "has_data", "answers", "replace", "said"),
    [
        (None, True, False, False, "not part of"),
        (VOTER, False, False, False, "lost its data"),
        (UNSTARTED, True, False, False, "another life"),
        (VOTER, True, True, True, "nothing to replace"),
    ],
)
def test_what_needs_an_order(found: Any, has_data: bool, answers: bool, replace: bool, said: str) -> None:
    with pytest.raises(EtcdError, match=said):
        etcd_members.plan_join(found, has_data, answers, replace)


def views(**broken: MemberView) -> list[MemberView]:
    fine = {name: MemberView(name, None, name, "a") for name in "abc"}
    return list({**fine, **broken}.values())


LISTED = (entry("a", at="a"), entry("b", at="b"), VOTER)


def test_a_lost_member_blocks_nothing_but_any_other_does() -> None:
    def blocker(found: list[MemberView], listed: Any = LISTED) -> str:
        return etcd_members.others_blocker(found, listed, "c", URL["c"])

    assert blocker(views()) == ""
    assert blocker(views(c=MemberView("c", "down"))) == ""
    assert blocker(views(), [*LISTED[:2], NEW_LEARNER]) == ""
    assert "b: down" in blocker(views(b=MemberView("b", "down")))
    assert "b: sees no leader" in blocker(views(b=MemberView("b", None, "b", "")))
    assert "b: NOSPACE" in blocker(views(b=MemberView("b", None, "b", "a", problems=["NOSPACE"])))
    assert "disagree" in blocker(views(b=MemberView("b", None, "b", "b")))
    assert "has not finished joining" in blocker(views(), [LISTED[0], entry("", at="b"), VOTER])
    assert "has not finished joining" in blocker(views(), [LISTED[0], entry("b", True, "b"), VOTER])
    assert "nobody can say" in blocker(views(), None)
    assert "nobody can say" in blocker([MemberView("c")])


def test_a_joining_member_is_told_exactly_who_is_there() -> None:
    listed = [LISTED[0], entry("b2", at="b"), UNSTARTED]
    told = etcd_members.initial_cluster(listed, "c", URL["c"])
    assert told == f"a={URL['a']},b2={URL['b']},c={URL['c']}"


class FakeWatch:
    """A cluster of a and b, in which c is to join."""

    def __init__(self, tmp_path: Path, listed: list[dict[str, Any]]) -> None:
        members = [{"name": name, "address": f"192.0.2.{at}"} for at, name in enumerate("abc", 1)]
        self.params = {
            "name": "c", "members": members, "client_port": 2379, "peer_port": 2380, "timeout": 0.0, "replace": True,
            "only_lost": False,
            "data_dir": str(tmp_path), "grant": str(tmp_path / "begin.env"),
        }  # fmt: skip
        self.listed, self.views, self.client = listed, views(c=MemberView("c", "down")), self
        self.asked: list[str] = []

    def look(self) -> None:
        return None

    def own(self) -> MemberView:
        return self.views[2]

    def post(self, base: str, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        assert "192.0.2.3" not in base, "a lost member is not to be asked"
        verb = path.rpartition("/")[2]
        self.asked += [] if verb == "list" else [verb]
        if verb == "remove":
            self.listed = [item for item in self.listed if item["ID"] != body["ID"]]
        elif verb == "add":
            self.listed.append(entry("", learner=body["isLearner"]))
        elif verb == "promote":
            self.listed[-1].pop("isLearner")
        return {"members": self.listed}


def test_a_lost_member_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    watch, calls = FakeWatch(tmp_path, list(LISTED)), []
    told: list[str] = []

    def systemctl(*words: str) -> str:
        calls.append(words[0])
        if words[0] == "start":
            told.append((tmp_path / "begin.env").read_text())
            watch.listed[-1]["name"] = "c"
            watch.views[2] = MemberView("c", None, "c", "a")
        return ""

    monkeypatch.setattr(etcd_members, "systemctl", systemctl)
    (tmp_path / "member").mkdir()
    assert etcd_members.join(watch, True, True) == ["remove", "set_aside", *NEW]  # type: ignore[arg-type]
    assert (watch.asked, calls) == ([], [])
    assert etcd_members.join(watch, True, False) == ["remove", "set_aside", *NEW]  # type: ignore[arg-type]
    assert watch.asked == ["remove", "add", "promote"]
    assert "ETCD_INITIAL_CLUSTER_STATE=existing" in told[0]
    assert not (tmp_path / "begin.env").exists(), "the permission must not stay"
    assert [path.name.split("-")[0] for path in tmp_path.iterdir()] == ["member.aside"]


def test_others_that_are_declared_and_have_not_joined_block_nothing(tmp_path: Path) -> None:
    watch = FakeWatch(tmp_path, [LISTED[0], LISTED[2]])
    watch.views[1] = MemberView("b", "not there yet")
    assert etcd_members.leave(watch, True) == ["remove"]  # type: ignore[arg-type]


def test_a_member_leaves_once(tmp_path: Path) -> None:
    watch = FakeWatch(tmp_path, list(LISTED))
    assert etcd_members.leave(watch, True) == ["remove"]  # type: ignore[arg-type]
    assert watch.asked == []
    assert etcd_members.leave(watch, False) == ["remove"]  # type: ignore[arg-type]
    assert etcd_members.leave(watch, False) == []  # type: ignore[arg-type]
    assert watch.asked == ["remove"]


def test_nobody_leaves_a_cluster_that_is_not_healthy(tmp_path: Path) -> None:
    watch = FakeWatch(tmp_path, list(LISTED))
    watch.views[1] = MemberView("b", "down")
    with pytest.raises(EtcdError, match="expected every other member healthy"):
        etcd_members.leave(watch, False)  # type: ignore[arg-type]
    assert watch.asked == []


@pytest.mark.parametrize(
    ("answers", "steps"),
    [
        ([MemberView("c", "down")], ["remove"]),
        ([MemberView("c", None, "c", "")], ["remove"]),
        ([MemberView("c", "down"), MemberView("c", None, "c", ""), MemberView("c", None, "c", "a")], []),
        ([MemberView("c", None, "c", "a")], []),
    ],
    ids=["silent", "sees no leader", "comes back", "answers"],
)
def test_only_a_lost_member_loses_its_vote_to_make_room(
    answers: list[MemberView], steps: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch, now = FakeWatch(tmp_path, list(LISTED)), [0.0]
    watch.params["only_lost"] = True

    def look() -> None:
        watch.views[2] = answers.pop(0) if len(answers) > 1 else answers[0]

    monkeypatch.setattr(watch, "look", look)
    monkeypatch.setattr(etcd_members.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(etcd_members.time, "sleep", lambda _seconds: now.__setitem__(0, now[0] + 1.0))
    assert etcd_members.leave(watch, False) == steps  # type: ignore[arg-type]
    assert watch.asked == steps
    assert now[0] >= etcd_members.SILENCE or not steps, "one unanswered question is no proof"


def test_no_vote_is_taken_to_make_room_while_another_member_is_ill(tmp_path: Path) -> None:
    watch = FakeWatch(tmp_path, list(LISTED))
    watch.params["only_lost"] = True
    watch.views[1:] = [MemberView("b", "down"), MemberView("c", "down")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(etcd_members, "SILENCE", 0.0)
        with pytest.raises(EtcdError, match="b: down"):
            etcd_members.leave(watch, False)  # type: ignore[arg-type]
    assert watch.asked == []
