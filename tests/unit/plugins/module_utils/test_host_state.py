# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.holdfast.stateful.plugins.module_utils.host_state import (
    HostStateError,
    Run,
    normalise_absent,
    pack_contents,
    parse_mode,
    require_safe_path,
    unpack_contents,
)
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(("value", "mode"), [("0644", 0o644), ("644", 0o644), ("2755", 0o2755), ("00640", 0o640)])
def test_mode_is_octal_text(value: str, mode: int) -> None:
    assert parse_mode(value, "/a/b") == mode


@pytest.mark.parametrize("value", [420, 644, "u=rw", "", "0888", None, "77777"])
def test_mode_that_could_mean_something_else_is_refused(value: Any) -> None:
    with pytest.raises(HostStateError, match="/a/b: expected mode as a quoted octal string"):
        parse_mode(value, "/a/b")


@pytest.mark.parametrize("path", ["", "etc/x", "/", "/etc", "/etc/", "/etc/../root/x", "//etc"])
def test_a_path_that_could_be_an_empty_variable_is_refused(path: str) -> None:
    with pytest.raises(HostStateError, match="expected an absolute path"):
        require_safe_path(path)


@pytest.mark.parametrize(
    ("entry", "wanted"),
    [
        ("/etc/x/", ("/etc/x", False)),
        ({"path": "/etc/x"}, ("/etc/x", False)),
        ({"path": "/etc/x", "recurse": True}, ("/etc/x", True)),
    ],
)
def test_absent_entries(entry: Any, wanted: tuple[str, bool]) -> None:
    assert normalise_absent(entry) == wanted


@pytest.mark.parametrize("entry", [1, {"recurse": True}, {"path": "/etc/x", "force": True}, "/etc"])
def test_absent_entries_that_are_refused(entry: Any) -> None:
    with pytest.raises(HostStateError):
        normalise_absent(entry)


def test_absent_recurse_has_to_be_a_boolean() -> None:
    with pytest.raises(HostStateError, match="recurse"):
        normalise_absent({"path": "/etc/x", "recurse": "no"})


@given(st.dictionaries(st.text(), st.binary()))
def test_contents_survive_the_journey(contents: dict[str, bytes]) -> None:
    assert unpack_contents(pack_contents(contents)) == contents


def test_nothing_packed_is_nothing() -> None:
    assert unpack_contents("") == {}


def test_diff_is_only_kept_when_wanted() -> None:
    run = Run()
    run.add_diff("x", "a", "b")
    assert run.diff == []
    assert "diff" not in run.result()
    run = Run(want_diff=True)
    run.add_diff("x", "a", "b")
    assert run.result()["diff"] == [{"before_header": "x", "after_header": "x", "before": "a", "after": "b"}]


def test_attribute_changes_are_no_reason_to_restart() -> None:
    run = Run()
    run.file_changed("/etc/a", content=False)
    run.file_changed("/etc/b")
    assert run.changed_files == ["/etc/a", "/etc/b"]
    assert run.rewritten == ["/etc/b"]
