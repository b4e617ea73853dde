# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.holdfast.stateful.plugins.module_utils import patroni_retirement
from ansible_collections.holdfast.stateful.plugins.module_utils.patroni import MemberView, PatroniError, Verdict

CONFIG = 'scope: "db"\nname: "old"\ntags:\n  nofailover: false\n  nosync: false\n'
ROLES = {"a": "leader", "b": "replica", "old": "sync_standby"}


class FakeWatch:
    """A cluster of a and b that stay."""

    def __init__(self, leader: str | None = "a", **more: Any) -> None:
        self.params = {"name": "old", "scope": "db", "timeout": 0.0, "wipe": False, "synchronous_nodes": 0, **more}
        self.roles = dict(ROLES)
        self.verdict = Verdict(leader=leader)
        self.looks = 0
        self.look()

    def look(self) -> Verdict:
        self.looks += 1
        listed = [
            {"name": name, "role": role, "state": "running" if role == "leader" else "streaming", "timeline": 1}
            for name, role in self.roles.items()
        ]
        own = {"state": "running", "timeline": 1, "database_system_identifier": "7", "patroni": {"scope": "db"}}
        self.views = [
            MemberView(name, None, {**own, "role": "primary" if name == "a" else "replica"}, {"members": listed})
            for name in "ab"
        ]
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
    monkeypatch.setattr(patroni_retirement, "PROC", tmp_path / "proc")
    monkeypatch.setattr(patroni_retirement, "GONE", 0.0)
    monkeypatch.setattr(patroni_retirement, "INTERVAL", 0.0)
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
    # Nor anybody's answer: the firewall of the others may not let a former member ask.
    watch = FakeWatch(None, data_dir=str(tmp_path / "db"))
    assert patroni_retirement.retire(watch, False) == []  # type: ignore[arg-type]
    assert calls == []


def test_a_synchronous_standby_gives_that_up_before_it_stops(
    tmp_path: Path, calls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "config.yml"
    watch = FakeWatch(data_dir=str(tmp_path / "db"), synchronous_nodes=1, timeout=5.0)
    assert patroni_retirement.retire(watch, True)[0] == "give up being a synchronous standby"  # type: ignore[arg-type]
    assert (calls, config.read_text()) == ([], CONFIG)

    def systemctl(*words: str) -> str:
        calls.append(words[0])
        assert "nosync: true" in config.read_text()
        if words[0] == "disable":
            assert watch.roles["old"] == "replica", "it must run until the leader does without it"
        return ""

    def wait(_seconds: float) -> None:
        # The leader first drops it, and has its new standby a moment later.
        watch.roles["b" if watch.roles["old"] == "replica" else "old"] = (
            "sync_standby" if watch.roles["old"] == "replica" else "replica"
        )

    monkeypatch.setattr(patroni_retirement, "systemctl", systemctl)
    monkeypatch.setattr(patroni_retirement.time, "sleep", wait)
    steps = patroni_retirement.retire(watch, False)  # type: ignore[arg-type]
    assert steps == ["give up being a synchronous standby", "stop and disable Patroni"]
    assert (calls, watch.roles["b"]) == (["reload", "disable"], "sync_standby")


def test_one_that_commits_still_wait_for_is_not_stopped(tmp_path: Path, calls: list[str]) -> None:
    watch = FakeWatch(data_dir=str(tmp_path / "db"), synchronous_nodes=1)
    with pytest.raises(PatroniError, match="commits still wait for old"):
        patroni_retirement.retire(watch, False)  # type: ignore[arg-type]
    watch.roles["old"] = "replica"
    with pytest.raises(PatroniError, match="expected 1 synchronous standby, found 0"):
        patroni_retirement.retire(watch, False)  # type: ignore[arg-type]
    assert set(calls) == {"reload"}


def test_nothing_is_stopped_while_failover_is_paused(tmp_path: Path, calls: list[str]) -> None:
    watch = FakeWatch(data_dir=str(data_of(tmp_path)))
    watch.verdict.paused = True
    with pytest.raises(PatroniError, match="paused: resume it first"):
        patroni_retirement.retire(watch, False)  # type: ignore[arg-type]
    assert calls == []


@pytest.mark.parametrize("below", ["", "base"])
@pytest.mark.parametrize("wipe", [False, True])
def test_data_is_left_while_a_process_works_in_it(below: str, wipe: bool, tmp_path: Path, calls: list[str]) -> None:
    folder = data_of(tmp_path)
    for number, where in ((7, "/"), (41, folder / below)):
        (tmp_path / "proc" / str(number)).mkdir(parents=True)
        (tmp_path / "proc" / str(number) / "cwd").symlink_to(where)
    with pytest.raises(PatroniError, match="expected no process that works there within 0 s, found 41: stop it"):
        patroni_retirement.retire(FakeWatch(data_dir=str(folder), wipe=wipe), False)  # type: ignore[arg-type]
    assert (folder / "PG_VERSION").exists()
    assert calls == ["disable"]
