# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.holdfast.stateful.plugins.module_utils import etcd_retirement
from ansible_collections.holdfast.stateful.plugins.module_utils.etcd import EtcdError

RUNS = {"LoadState": "loaded", "ActiveState": "active", "UnitFileState": "enabled"}


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    seen: list[str] = []
    monkeypatch.setattr(etcd_retirement, "show", lambda *_words: RUNS)
    monkeypatch.setattr(etcd_retirement, "systemctl", lambda *words: seen.append(words[0]) or "")
    monkeypatch.setattr(etcd_retirement, "ENVIRONMENT", tmp_path / "etcd.env")
    (tmp_path / "etcd.env").write_text("ETCD_NAME=old\nETCD_DATA_DIR=/var/lib/etcd/db\n")
    return seen


def test_the_member_of_this_store_is_stopped_for_good(calls: list[str]) -> None:
    assert etcd_retirement.retire("/var/lib/etcd/db", True) == ["stop and disable etcd"]
    assert calls == []
    assert etcd_retirement.retire("/var/lib/etcd/db", False) == ["stop and disable etcd"]
    assert calls == ["disable"]


@pytest.mark.parametrize("text", [None, "ETCD_NAME=old\n", "ETCD_DATA_DIR=/var/lib/etcd/other\n"])
def test_the_member_of_another_store_is_not_stopped(text: str | None, calls: list[str], tmp_path: Path) -> None:
    path = tmp_path / "etcd.env"
    path.unlink() if text is None else path.write_text(text)
    with pytest.raises(EtcdError, match="expected ETCD_DATA_DIR=/var/lib/etcd/db, found"):
        etcd_retirement.retire("/var/lib/etcd/db", False)
    assert calls == []


@pytest.mark.parametrize(
    "state", [{"LoadState": "not-found"}, {**RUNS, "ActiveState": "inactive", "UnitFileState": "disabled"}]
)
def test_one_that_is_stopped_needs_nothing(
    state: dict[str, str], calls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(etcd_retirement, "show", lambda *_words: state)
    assert etcd_retirement.retire("/var/lib/etcd/db", False) == []
    assert calls == []
