# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from pathlib import Path
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
        self.params = {"name": "old", "scope": "db", "timeout": 0.0, "port": 1, "wipe": False, **more}
        self.views = [MemberView("a"), MemberView("b")]
        self.verdict = Verdict(leader=leader)
        self.fake = FakeApi({"ttl": 20})

    def look(self) -> Verdict:
        return self.verdict

    def complaint(self) -> str:
        return "down"

    def api(self, _name: str, _timeout: float = 10.0) -> FakeApi:
        return self.fake


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    seen: list[str] = []
    state = {"LoadState": "loaded", "ActiveState": "active", "UnitFileState": "enabled"}
    monkeypatch.setattr(patroni_departure, "show", lambda *_words: state)
    monkeypatch.setattr(patroni_departure, "systemctl", lambda *words: seen.append(words[0]) or "")
    return seen


@pytest.mark.parametrize("wipe", [False, True])
def test_data_is_renamed_unless_it_shall_be_wiped(wipe: bool, tmp_path: Path, calls: list[str]) -> None:
    folder = tmp_path / "db"
    folder.mkdir()
    (folder / "PG_VERSION").write_text("17")
    watch = FakeWatch(data_dir=str(folder), wipe=wipe)
    assert len(patroni_departure.retire(watch, True)) == 2  # type: ignore[arg-type]
    assert (calls, folder.is_dir()) == ([], True)
    patroni_departure.retire(watch, False)  # type: ignore[arg-type]
    assert (calls, folder.exists()) == (["disable"], False)
    kept = list(tmp_path.glob("db.removed-*/PG_VERSION"))
    assert len(kept) == (0 if wipe else 1)


@pytest.mark.parametrize(("leader", "name"), [("old", "old"), (None, "old"), ("a", "b")])
def test_nothing_is_stopped_that_leads_is_declared_or_could_not_be_seen(
    leader: str | None, name: str, tmp_path: Path, calls: list[str]
) -> None:
    with pytest.raises(PatroniError):
        patroni_departure.retire(FakeWatch(leader, name=name, data_dir=str(tmp_path)), False)  # type: ignore[arg-type]
    assert calls == []


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


def test_nobody_is_admitted_while_a_member_that_leaves_leads() -> None:
    watch = FakeWatch(leaving=["old"])
    with pytest.raises(PatroniError, match="expected the members to see a leader"):
        patroni_departure.admissible(watch, False)  # type: ignore[arg-type]
    watch.views[0].cluster = {"members": [{"name": "b", "role": "leader"}]}
    assert patroni_departure.admissible(watch, False) == []  # type: ignore[arg-type]
    watch.views[1].cluster = {"members": [{"name": "old", "role": "leader"}]}
    with pytest.raises(PatroniError, match="old leads"):
        patroni_departure.admissible(watch, False)  # type: ignore[arg-type]
