# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import time
from pathlib import Path

import pytest
from ansible_collections.holdfast.stateful.plugins.module_utils import systemd_unit


def answers(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(systemd_unit, "systemctl", lambda *_words: text)


def test_a_unit_is_outdated_when_a_file_is_newer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    now = time.clock_gettime(time.CLOCK_MONOTONIC)
    file = tmp_path / "mark"
    file.touch()
    answers(monkeypatch, f"ActiveState=active\nExecMainStartTimestampMonotonic={int((now - 60) * 1e6)}\n")
    assert systemd_unit.outdated("x.service", [str(file)])
    answers(monkeypatch, f"ActiveState=active\nExecMainStartTimestampMonotonic={int((now + 60) * 1e6)}\n")
    assert not systemd_unit.outdated("x.service", [str(file)])


def test_a_unit_that_does_not_run_is_outdated(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    answers(monkeypatch, "ActiveState=failed\nExecMainStartTimestampMonotonic=1\n")
    assert systemd_unit.active_state("x.service") == "failed"
    assert systemd_unit.outdated("x.service", [str(tmp_path)])


def test_a_mark_that_is_missing_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    answers(monkeypatch, "ActiveState=active\nExecMainStartTimestampMonotonic=1\n")
    with pytest.raises(OSError):
        systemd_unit.outdated("x.service", [str(tmp_path / "none")])
