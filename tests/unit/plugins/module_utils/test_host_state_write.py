# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.holdfast.stateful.plugins.module_utils import host_state_write as writer
from ansible_collections.holdfast.stateful.plugins.module_utils.host_state import HostStateError


def names(path: Path) -> list[str]:
    return sorted(found.name for found in path.iterdir())


def write(path: Path, content: str = "new\n", **options: Any) -> None:
    entry = {"path": str(path), "mode": "0640", "secret": False, "validate": None, **options}
    writer.write_file(entry, content.encode(), os.getuid(), os.getgid())


def test_a_refused_file_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("old\n")
    with pytest.raises(HostStateError, match="expected grep to accept the new content, found exit code 1"):
        write(path, validate="grep -q old %s")
    assert path.read_text() == "old\n"
    assert names(tmp_path) == ["a"]


def test_a_validator_sees_the_new_content(tmp_path: Path) -> None:
    write(tmp_path / "a", validate="grep -q new %s")
    assert (tmp_path / "a").exists()


def test_a_validator_does_not_quote_a_secret(tmp_path: Path) -> None:
    with pytest.raises(HostStateError) as caught:
        write(tmp_path / "a", "tops3cret", secret=True, validate="sh -c 'cat %s; exit 1'")
    assert "tops3cret" not in str(caught.value)


@pytest.mark.parametrize("command", ["true", "cmp %s %s"])
def test_validate_needs_one_place(tmp_path: Path, command: str) -> None:
    with pytest.raises(HostStateError, match="with one %s"):
        write(tmp_path / "a", validate=command)


def test_a_missing_validator_is_named(tmp_path: Path) -> None:
    with pytest.raises(HostStateError, match="expected to run /no/such"):
        write(tmp_path / "a", validate="/no/such %s")


def test_left_overs_of_a_killed_run_go(tmp_path: Path) -> None:
    (tmp_path / ".a.holdfast-x").touch()
    (tmp_path / ".b.holdfast-x").touch()
    write(tmp_path / "a")
    assert names(tmp_path) == [".b.holdfast-x", "a"]


def test_a_kill_before_the_rename_leaves_the_old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a"
    path.write_text("old\n")

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        write(path)
    assert path.read_text() == "old\n"
