# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.holdfast.stateful.plugins.module_utils import patroni_retirement
from ansible_collections.holdfast.stateful.plugins.module_utils.patroni import MemberView, PatroniError, Verdict

CONFIG = 'scope: "db"\nname: "old"\n'


class FakeWatch:
    """A cluster of a and b that stay."""

    def __init__(self, leader: str | None = "a", **more: Any) -> None:
        self.params = {"name": "old", "scope": "db", "timeout": 0.0, "wipe": False, **more}
        self.views = [MemberView("a"), MemberView("b")]
        self.verdict = Verdict(leader=leader)

    def look(self) -> Verdict:
        return self.verdict

    def complaint(self) -> str:
        return "down"


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    seen: list[str] = []
    state = {"LoadState": "loaded", "ActiveState": "active", "UnitFileState": "enabled"}
    monkeypatch.setattr(patroni_retirement, "show", lambda *_words: state)
    monkeypatch.setattr(patroni_retirement, "systemctl", lambda *words: seen.append(words[0]) or "")
    monkeypatch.setattr(patroni_retirement, "CONFIG", tmp_path / "config.yml")
    (tmp_path / "config.yml").write_text(CONFIG)
    return seen


def data_of(tmp_path: Path) -> Path:
    folder = tmp_path / "db"
    folder.mkdir()
    (folder / "PG_VERSION").write_text("17")
    return folder


@pytest.mark.parametrize("wipe", [False, True])
def test_data_is_renamed_unless_it_shall_be_wiped(wipe: bool, tmp_path: Path, calls: list[str]) -> None:
    folder = data_of(tmp_path)
    watch = FakeWatch(data_dir=str(folder), wipe=wipe)
    assert len(patroni_retirement.retire(watch, True)) == 2  # type: ignore[arg-type]
    assert (calls, folder.is_dir()) == ([], True)
    patroni_retirement.retire(watch, False)  # type: ignore[arg-type]
    assert (calls, folder.exists()) == (["disable"], False)
    kept = list(tmp_path.glob("db.removed-*/PG_VERSION"))
    assert len(kept) == (0 if wipe else 1)


@pytest.mark.parametrize(("leader", "name"), [("old", "old"), (None, "old"), ("a", "b")])
def test_nothing_is_stopped_that_leads_is_declared_or_could_not_be_seen(
    leader: str | None, name: str, tmp_path: Path, calls: list[str]
) -> None:
    with pytest.raises(PatroniError):
        patroni_retirement.retire(FakeWatch(leader, name=name, data_dir=str(tmp_path)), False)  # type: ignore[arg-type]
    assert calls == []


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ("scope: sessions-db\n", "expected scope db, found sessions-db"),
        (None, "expected scope db, found no configuration"),
        ("name: x\n", "expected one scope, found none"),
        ("scope: db\nscope: other\n", "expected one scope, found db, other"),
    ],
)
def test_a_member_of_another_cluster_is_not_stopped(
    config: str | None, said: str, tmp_path: Path, calls: list[str]
) -> None:
    folder, path = data_of(tmp_path), tmp_path / "config.yml"
    path.unlink() if config is None else path.write_text(config)
    with pytest.raises(PatroniError, match=said):
        patroni_retirement.retire(FakeWatch(data_dir=str(folder)), False)  # type: ignore[arg-type]
    assert (calls, folder.is_dir()) == ([], True)


def test_a_host_on_which_nothing_is_left_needs_nothing(
    tmp_path: Path, calls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patroni_retirement, "show", lambda *_words: {"LoadState": "not-found"})
    (tmp_path / "config.yml").unlink()
    assert patroni_retirement.retire(FakeWatch(data_dir=str(tmp_path / "db")), False) == []  # type: ignore[arg-type]
    assert calls == []
