# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.holdfast.stateful.plugins.module_utils import patroni_promotion
from ansible_collections.holdfast.stateful.plugins.module_utils.patroni import MemberView, PatroniError, Verdict, judge
from ansible_collections.holdfast.stateful.plugins.module_utils.postgres_source import (
    STANDBY,
    UNKNOWN,
    WRITABLE,
    Source,
)

GONE = Source("a1", "10.0.1.1", UNKNOWN, "timeout expired")
FOLLOWS = {"host": "10.0.1.1", "primary_slot_name": "b"}


class FakeWatch:
    """A cluster of three whose leader takes writes once the standby section is gone."""

    where = "https://b1:8008"

    def __init__(self, follows: Any = FOLLOWS, silent: int = 0, paused: bool = False, obeys: bool = True) -> None:
        self.config = {"standby_cluster": follows} if follows else {}
        self.silent, self.paused, self.obeys = silent, paused, obeys
        self.sent: list[Any] = []
        self.views: list[MemberView] = []
        self.verdict = Verdict()

    def look(self) -> Verdict:
        promoted = self.obeys and not self.config.get("standby_cluster")
        listed = [
            {
                "name": f"b{n}",
                "role": ("standby_leader", "replica", "replica")[n - 1],
                "state": "streaming",
                "timeline": 1,
            }
            for n in (1, 2, 3)
        ]
        self.views = []
        for at, item in enumerate(listed):
            own = {"role": item["role"], "state": "running", "timeline": 1, "patroni": {"scope": "b"}}
            own["xlog"] = {
                "received_location": 7,
                "replayed_location": 7,
                "replayed_timestamp": "2026-11-23 12:00:00+00",
            }
            if at == 0 and promoted:
                own["role"] = item["role"] = "primary"
            error = "no answer" if at >= 3 - self.silent else None
            cluster = {"members": listed, "pause": self.paused}
            self.views.append(MemberView(str(item["name"]), error, {} if error else own, {} if error else cluster))
        self.verdict = judge(self.views, "b", 0)
        return self.verdict

    def wait(self, _timeout: float, good: Callable[[Verdict], bool]) -> bool:
        return good(self.look())

    def complaint(self) -> str:
        return "; ".join(self.verdict.problems)

    def view(self, name: str) -> MemberView:
        return next(view for view in self.views if view.name == name)

    def api(self, _name: str) -> FakeWatch:
        return self

    def get(self, _path: str) -> dict[str, Any]:
        return dict(self.config)

    def ask(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        assert (method, path) == ("PATCH", "/config")
        self.sent.append(body)
        self.config.pop("standby_cluster", None)
        return 200, {}


def run(watch: FakeWatch, *seen: Source, lost: bool = False, check: bool = False) -> dict[str, Any]:
    return patroni_promotion.promote(watch, lost, lambda: seen, 1.0, check)  # type: ignore[arg-type]


def test_it_is_promoted_when_the_source_is_stated_to_be_lost() -> None:
    watch = FakeWatch()
    found = run(watch, GONE, lost=True)
    assert watch.sent == [{"standby_cluster": None}]
    assert (found["changed"], found["leader"]) == (True, "b1")
    assert found["before"] == {"timeline": 1, "received": 7, "replayed": 7, "last_commit": "2026-11-23 12:00:00+00"}


def test_one_silent_member_of_three_does_not_hold_it_up() -> None:
    assert run(FakeWatch(silent=1), GONE, lost=True)["leader"] == "b1"


@pytest.mark.parametrize(
    ("watch", "seen", "lost", "says"),
    [
        (FakeWatch(), Source("a1", "10.0.1.1", WRITABLE, "", "17", True), True, "takes writes"),
        (FakeWatch(), GONE, False, "source_is_lost=true"),
        (FakeWatch(), Source("a1", "10.0.1.1", STANDBY, "", "17", True), False, "source_is_lost=true"),
        (FakeWatch(silent=2), GONE, True, "majority of 3"),
        (FakeWatch(paused=True), GONE, True, "paused"),
    ],
)
def test_it_is_refused_and_nothing_is_sent(watch: FakeWatch, seen: Source, lost: bool, says: str) -> None:
    with pytest.raises(PatroniError, match=says):
        run(watch, seen, lost=lost)
    assert watch.sent == []


def test_a_cluster_that_takes_writes_is_left_alone_and_its_source_not_asked() -> None:
    watch = FakeWatch(follows=None)
    found = patroni_promotion.promote(watch, False, lambda: pytest.fail("asked"), 1.0, False)  # type: ignore[arg-type]
    assert (found["changed"], found["leader"], watch.sent) == (False, "b1", [])


def test_check_mode_passes_the_gate_and_sends_nothing() -> None:
    watch = FakeWatch()
    assert run(watch, GONE, lost=True, check=True)["changed"] is True
    assert watch.sent == []


def test_a_promotion_that_does_not_come_is_told_and_may_be_run_again() -> None:
    with pytest.raises(PatroniError, match="run again"):
        run(FakeWatch(obeys=False), GONE, lost=True)
