# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.holdfast.stateful.plugins.module_utils import patroni_departure
from ansible_collections.holdfast.stateful.plugins.module_utils.patroni import MemberView, PatroniError, Verdict


class FakeApi:
    where = "https://a:8008"

    def __init__(self, config: dict[str, Any]) -> None:
        self.config = config

    def get(self, _path: str) -> dict[str, Any]:
        return dict(self.config)

    def ask(self, _method: str, _path: str, body: dict[str, Any]) -> tuple[int, Any]:
        self.config.update(body)
        self.config = {key: value for key, value in self.config.items() if value is not None}
        return 200, ""


class FakeWatch:
    def __init__(self, leader: str | None = "a", **more: Any) -> None:
        self.params = {"name": "old", "scope": "db", "timeout": 0.0, "port": 1, "synchronous_nodes": 1, **more}
        self.views = [MemberView("a"), MemberView("b")]
        self.verdict = Verdict(leader=leader)
        self.fake = FakeApi({"ttl": 20})

    def look(self) -> Verdict:
        return self.verdict

    def complaint(self) -> str:
        return "down"

    def view(self, name: str) -> MemberView:
        return next(view for view in self.views if view.name == name)

    def api(self, _name: str, _timeout: float = 10.0) -> FakeApi:
        return self.fake


@pytest.mark.parametrize("before", [None, 600, 1])
@pytest.mark.parametrize("drops", [True, False])
def test_the_time_for_which_slots_are_kept_is_always_set_back(
    before: int | None, drops: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = FakeWatch()
    watch.fake.config |= {} if before is None else {"member_slots_ttl": before}
    seen = []

    def has_slot(_port: int, _member: str) -> bool:
        seen.append(watch.fake.config["member_slots_ttl"])
        return not drops

    monkeypatch.setattr(patroni_departure, "_has_slot", has_slot)
    if drops:
        patroni_departure._drop_slot(watch, "old")  # type: ignore[arg-type]
    else:
        with pytest.raises(PatroniError, match="expected Patroni to drop"):
            patroni_departure._drop_slot(watch, "old")  # type: ignore[arg-type]
    assert seen == [1]
    assert watch.fake.config.get("member_slots_ttl") == (600 if before == 600 else None)


ROLES = {"a": "leader", "b": "replica", "old": "sync_standby"}


def cluster(**roles: str) -> list[MemberView]:
    listed = [
        {"name": name, "role": role, "state": "running" if role == "leader" else "streaming", "timeline": 1}
        for name, role in {**ROLES, **roles}.items()
    ]
    own = {"state": "running", "timeline": 1, "database_system_identifier": "7", "patroni": {"scope": "db"}}
    return [
        MemberView(name, None, {**own, "role": "primary" if name == "a" else "replica"}, {"members": listed})
        for name in "ab"
    ]


def test_a_member_is_forgotten_once_another_standby_took_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    watch = FakeWatch(name="a", member="old", timeout=9.0)
    watch.views, deleted = cluster(), []
    with pytest.raises(PatroniError, match="expected 1 synchronous standby, found 0"):
        watch.params["timeout"] = 0.0
        patroni_departure.forget(watch, False)  # type: ignore[arg-type]
    watch.params["timeout"] = 9.0
    monkeypatch.setattr(patroni_departure, "_delete_key", lambda _watch, member: deleted.append(member))
    monkeypatch.setattr(patroni_departure, "_has_slot", lambda _port, _member: False)
    monkeypatch.setattr(
        patroni_departure.time, "sleep", lambda _s: setattr(watch, "views", cluster(b="sync_standby", old="replica"))
    )
    assert patroni_departure.removable(watch, False) == []  # type: ignore[arg-type]
    assert patroni_departure.forget(watch, True) == ["delete the key of old"]  # type: ignore[arg-type]
    assert deleted == []
    assert patroni_departure.forget(watch, False) == ["delete the key of old"]  # type: ignore[arg-type]
    assert deleted == ["old"]


@pytest.mark.parametrize("before", [None, 1, 600])
def test_slots_of_others_are_kept_again_after_an_aborted_run(
    before: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The slot is gone, so nothing else would look at the time for which slots are kept."""
    watch = FakeWatch(name="a", member="old")
    watch.views = cluster(b="sync_standby")
    watch.views[0].cluster["members"].pop()  # both views share the list; the last of it is "old"
    watch.fake.config |= {} if before is None else {"member_slots_ttl": before}
    monkeypatch.setattr(patroni_departure, "_has_slot", lambda _port, _member: False)
    steps = ["set member_slots_ttl back, which an aborted run left at 1 s"] if before == 1 else []
    assert patroni_departure.forget(watch, True) == steps  # type: ignore[arg-type]
    assert watch.fake.config.get("member_slots_ttl") == before
    assert patroni_departure.forget(watch, False) == steps  # type: ignore[arg-type]
    assert watch.fake.config.get("member_slots_ttl") == (600 if before == 600 else None)
    assert patroni_departure.forget(watch, False) == []  # type: ignore[arg-type]


def test_nobody_is_admitted_while_a_member_that_leaves_leads() -> None:
    watch = FakeWatch(leaving=["old"])
    with pytest.raises(PatroniError, match="expected the members to see a leader"):
        patroni_departure.admissible(watch, False)  # type: ignore[arg-type]
    watch.views[0].cluster = {"members": [{"name": "b", "role": "leader"}]}
    assert patroni_departure.admissible(watch, False) == []  # type: ignore[arg-type]
    watch.views[1].cluster = {"members": [{"name": "old", "role": "leader"}]}
    with pytest.raises(PatroniError, match="old leads"):
        patroni_departure.admissible(watch, False)  # type: ignore[arg-type]
