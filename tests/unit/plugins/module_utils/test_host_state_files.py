# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.holdfast.stateful.plugins.module_utils import host_state_files as files
from ansible_collections.holdfast.stateful.plugins.module_utils.host_state import HostStateError, Run

ME = {"owner": str(os.getuid()), "group": str(os.getgid())}


def file_entry(path: Path, **options: Any) -> dict[str, Any]:
    return {
        "path": str(path),
        "mode": "0640",
        "secret": False,
        "validate": None,
        "create_only": False,
        "defer": False,
        "stage": "normal",
        **ME,
        **options,
    }


def converge(path: Path, content: str = "new\n", run: Run | None = None, **options: Any) -> Run:
    run = run or Run(want_diff=True)
    files.converge_file(file_entry(path, **options), {str(path): content.encode()}, run)
    return run


def names(path: Path) -> list[str]:
    return sorted(found.name for found in path.iterdir())


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def test_write_then_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a"
    run = converge(path)
    assert run.changed_files == [str(path)]
    assert (path.read_text(), mode(path)) == ("new\n", 0o640)
    assert not converge(path).changed
    assert names(tmp_path) == ["a"]


@pytest.mark.parametrize(("entries", "claimed_by", "left"), [(1, "/x", True), (0, "/x", False), (1, None, False)])
def test_a_directory_of_somebody_keeps_its_attributes(
    tmp_path: Path, entries: int, claimed_by: str | None, left: bool
) -> None:
    path = tmp_path / "d"
    path.mkdir(mode=0o755)
    for number in range(entries):
        (path / str(number)).touch()
    run = Run()
    files.converge_directory(file_entry(path, mode="0700", claimed_by=claimed_by), run)
    assert (mode(path), run.changed) == ((0o755, False) if left else (0o700, True))


def test_check_mode_predicts_and_writes_nothing(tmp_path: Path) -> None:
    run = converge(tmp_path / "a", run=Run(check=True, want_diff=True))
    assert run.changed
    assert run.diff[0]["after"] == "new\n"
    assert names(tmp_path) == []


def test_same_size_other_content(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("old\n")
    run = converge(path)
    assert (run.diff[0]["before"], run.diff[0]["after"]) == ("old\n", "new\n")
    assert path.read_text() == "new\n"


def test_only_attributes(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("new\n")
    path.chmod(0o666)
    inode = path.stat().st_ino
    run = converge(path)
    assert run.changed_files == [str(path)]
    assert run.rewritten == []
    assert (mode(path), path.stat().st_ino) == (0o640, inode)


def test_a_secret_is_in_no_diff(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("old-secret")
    run = converge(path, "new-secret", secret=True)
    assert run.diff == [{"prepared": f"{path}: content differs (secret)\n"}]
    assert "secret-" not in str(run.result()).replace(str(path), "")
    assert path.read_text() == "new-secret"


def test_a_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("new\n")
    path = tmp_path / "a"
    path.symlink_to(target)
    run = converge(path)
    assert run.changed
    assert not path.is_symlink()
    assert path.read_text() == "new\n"
    target.chmod(0o600)
    assert mode(target) == 0o600


@pytest.mark.parametrize("what", ["directory", "fifo"])
def test_something_else_in_its_place_is_refused(tmp_path: Path, what: str) -> None:
    path = tmp_path / "a"
    path.mkdir() if what == "directory" else os.mkfifo(path)
    with pytest.raises(HostStateError, match="expected a file, found"):
        converge(path)


def test_a_missing_parent_is_refused(tmp_path: Path) -> None:
    with pytest.raises(HostStateError, match="list it under directories"):
        converge(tmp_path / "none" / "a")


def test_a_missing_parent_is_predicted_with_missing_packages(tmp_path: Path) -> None:
    assert converge(tmp_path / "none" / "a", run=Run(check=True, lenient=True)).changed


def test_a_parent_planned_in_check_mode_is_enough(tmp_path: Path) -> None:
    run = Run(check=True)
    files.converge_directory({"path": str(tmp_path / "d"), "mode": "0750", **ME}, run)
    assert converge(tmp_path / "d" / "a", run=run).changed_files == [str(tmp_path / "d"), str(tmp_path / "d" / "a")]


@pytest.mark.parametrize("what", ["owner", "group"])
def test_unknown_owner(tmp_path: Path, what: str) -> None:
    options: dict[str, Any] = {what: "nobody-here"}
    with pytest.raises(HostStateError, match=rf"/a: expected {what} nobody-here"):
        converge(tmp_path / "a", **options)
    assert converge(tmp_path / "a", run=Run(check=True), **options).changed


def test_create_only_leaves_the_content(tmp_path: Path) -> None:
    path = tmp_path / "a"
    assert converge(path, create_only=True).changed
    path.write_text("the server's own\n")
    path.chmod(0o600)
    assert converge(path, create_only=True).rewritten == []
    assert (path.read_text(), mode(path)) == ("the server's own\n", 0o640)


def test_defer_reports_and_does_not_write(tmp_path: Path) -> None:
    run = Run()
    files.converge_file(file_entry(tmp_path / "a", create_only=True, defer=True), {}, run)
    assert run.absent == [str(tmp_path / "a")]
    assert not run.changed


def test_a_foreign_link_on_the_way_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "real").mkdir()
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "real")
    assert converge(link / "own").changed
    lstat = os.lstat

    def owned_by_nobody(path: Any, **options: Any) -> os.stat_result:
        info = lstat(path, **options)
        # Only root can give a link away; the fifth field is the owner.
        return os.stat_result((*info[:4], 65534, *info[5:])) if str(path) == str(link) else info

    monkeypatch.setattr(os, "lstat", owned_by_nobody)
    with pytest.raises(HostStateError, match="link owned by uid 65534"):
        converge(link / "a")


def test_binary_and_long_content_is_described(tmp_path: Path) -> None:
    run = Run(want_diff=True)
    files.converge_file(file_entry(tmp_path / "b"), {str(tmp_path / "b"): b"\xff\xfe"}, run)
    assert run.diff[0]["after"] == "(binary, 2 bytes)\n"
    assert files.as_text(b"x" * (files.DIFF_LIMIT + 1)) == f"({files.DIFF_LIMIT + 1} bytes)\n"


def directory(path: Path, run: Run | None = None, **options: Any) -> Run:
    run = run or Run(want_diff=True)
    files.converge_directory({"path": str(path), "mode": "0750", "stage": "normal", **ME, **options}, run)
    return run


def test_directory(tmp_path: Path) -> None:
    path = tmp_path / "d"
    assert directory(path, Run(check=True)).changed
    assert not path.exists()
    assert directory(path).changed
    assert mode(path) == 0o750
    assert not directory(path).changed
    path.chmod(0o777)
    assert directory(path).changed
    assert mode(path) == 0o750


def test_directory_refusals(tmp_path: Path) -> None:
    with pytest.raises(HostStateError, match="list it under directories"):
        directory(tmp_path / "none" / "d")
    (tmp_path / "f").touch()
    with pytest.raises(HostStateError, match="expected a directory, found a file"):
        directory(tmp_path / "f")
    (tmp_path / "l").symlink_to(tmp_path)
    with pytest.raises(HostStateError, match="expected a directory, found a link"):
        directory(tmp_path / "l")


def test_remove(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.touch()
    run = Run(check=True)
    files.remove_path(str(path), run)
    assert run.changed
    assert path.exists()
    run = Run()
    files.remove_path(str(path), run)
    files.remove_path(str(path), run)
    assert run.changed_files == [str(path)]
    assert not path.exists()


def test_remove_takes_the_link_and_not_its_target(tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    (tmp_path / "l").symlink_to(tmp_path / "target")
    files.remove_path({"path": str(tmp_path / "l"), "recurse": True}, Run())
    assert names(tmp_path) == ["target"]


def test_remove_directory(tmp_path: Path) -> None:
    path = tmp_path / "d"
    path.mkdir()
    (path / "x").touch()
    with pytest.raises(HostStateError, match="expected an empty directory"):
        files.remove_path(str(path), Run())
    files.remove_path({"path": str(path), "recurse": True}, Run())
    assert not path.exists()
    path.mkdir()
    files.remove_path(str(path), Run())
    assert not path.exists()


def test_stages_are_apart(tmp_path: Path) -> None:
    early, late = tmp_path / "early", tmp_path / "late"
    params = {"directories": [], "files": [file_entry(early, stage="before_packages"), file_entry(late)]}
    contents = {str(early): b"", str(late): b""}
    files.converge_paths(params, contents, "before_packages", Run())
    assert names(tmp_path) == ["early"]


def test_a_system_error_names_the_path() -> None:
    def fail() -> None:
        raise OSError(28, "No space left on device", "/x/y")

    with pytest.raises(HostStateError, match=r"/x/y: expected .* No space left"):
        files.with_path("/x/y", fail)


def test_a_block_leaves_the_rest_alone() -> None:
    first = files.with_block("/etc/x", b"127.0.0.1 localhost", "holdfast", b"a\n\n")
    assert first == b"127.0.0.1 localhost\n# BEGIN holdfast\na\n# END holdfast\n"
    assert files.with_block("/etc/x", first, "holdfast", b"a\n") == first
    assert files.with_block("/etc/x", first + b"own\n", "holdfast", b"b").endswith(b"\nb\n# END holdfast\nown\n")


@pytest.mark.parametrize(
    "existing", [b"# BEGIN holdfast\nown\n", b"own\n# END holdfast\n", b"# END holdfast\n# BEGIN holdfast\n"]
)
def test_half_a_block_is_refused(existing: bytes) -> None:
    with pytest.raises(HostStateError, match="remove the stray line"):
        files.with_block("/etc/x", existing, "holdfast", b"a")
