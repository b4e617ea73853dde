# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.holdfast.stateful.plugins.module_utils import host_state_gates as gates
from ansible_collections.holdfast.stateful.plugins.module_utils.host_state import HostStateError, Run
from ansible_collections.holdfast.stateful.plugins.modules import host_state

OURS = 'scope: "orders-db"'


@pytest.mark.parametrize("text", [None, f"# a\n{OURS}\nname: a\n", OURS])
def test_no_file_and_our_own_pass(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "c").write_text(text)
    gates.require_lines([{"path": str(tmp_path / "c"), "line": OURS}])


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('scope: "old-db"\n', "found 'scope: \"old-db\"'"),
        (f'{OURS[:-1]}-2"\n', "-2"),
        (f"# {OURS}\n", "found 'no such line'"),
        ("", "found 'no such line'"),
    ],
)
def test_somebody_elses_file_is_refused(tmp_path: Path, text: str, found: str) -> None:
    (tmp_path / "c").write_text(text)
    with pytest.raises(HostStateError, match="belongs to something else on this host") as error:
        gates.require_lines([{"path": str(tmp_path / "c"), "line": OURS}])
    assert found in str(error.value)


def test_what_can_not_be_read_is_no_permission(tmp_path: Path) -> None:
    (tmp_path / "c").mkdir()
    with pytest.raises(HostStateError, match="expected to read it"):
        gates.require_lines([{"path": str(tmp_path / "c"), "line": OURS}])


@pytest.mark.parametrize(
    ("entries", "claim", "is_claimed", "held"),
    [(1, True, False, True), (1, True, True, False), (0, True, False, False), (1, False, False, False)],
)
def test_which_directories_are_unclaimed(
    tmp_path: Path, entries: int, claim: bool, is_claimed: bool, held: bool
) -> None:
    data, mark = tmp_path / "data", tmp_path / "mark"
    data.mkdir()
    for number in range(entries):
        (data / str(number)).touch()
    if is_claimed:
        mark.touch()
    found = gates.unclaimed([{"path": str(data), **({"claimed_by": str(mark)} if claim else {})}])
    assert found == ([str(data)] if held else [])
    assert gates.unclaimed([{"path": str(tmp_path / "none"), "claimed_by": str(mark)}]) == []


def module_params(**given: Any) -> dict[str, Any]:
    names = ("packages", "packages_ahead", "directories", "files", "absent", "units", "expect")
    return {**{name: [] for name in names}, "_contents": "", **given}


def test_the_module_looks_before_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is reached after a gate: not even packages are looked at."""

    def never(*_words: Any) -> None:
        raise AssertionError("went on")

    monkeypatch.setattr(host_state, "check_packages", never)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "precious").touch()
    run = Run(check=True)
    claim = {"path": str(tmp_path / "data"), "claimed_by": str(tmp_path / "none")}
    host_state.converge(module_params(directories=[claim]), run)
    assert (run.result()["unclaimed"], run.changed) == ([str(tmp_path / "data")], False)
    (tmp_path / "c").write_text("scope: x\n")
    with pytest.raises(HostStateError, match="belongs to something else"):
        host_state.converge(module_params(expect=[{"path": str(tmp_path / "c"), "line": OURS}]), Run(check=True))
