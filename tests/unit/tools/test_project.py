from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from holdfast import project
from holdfast.exit_codes import InputError


def test_root_is_where_holdfast_root_says(root: Path) -> None:
    assert project.find_root() == root


def test_root_is_the_checkout_the_package_lies_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOLDFAST_ROOT", raising=False)
    assert (project.find_root() / "tools" / "holdfast").is_dir()


def test_a_folder_that_is_no_checkout_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOLDFAST_ROOT", str(tmp_path))
    with pytest.raises(InputError, match=r"no Holdfast checkout at .*HOLDFAST_ROOT"):
        project.find_root()


def test_inventory_is_the_lab_unless_told_and_then_from_here_or_the_root(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yml").write_text("all:")
    assert project.resolve_inventory(root, None) == str(root / "inventories/lab")
    assert project.resolve_inventory(root, "mine.yml") == str(tmp_path / "mine.yml")
    assert project.resolve_inventory(root, "inventories/lab") == str(root / "inventories/lab")
    assert project.resolve_inventory(root, "a,b,") == "a,b,"
    with pytest.raises(InputError, match=r"no inventory at .*in inventories/ there are: lab"):
        project.resolve_inventory(root, "nowhere")


def test_the_environment_may_name_the_inventory(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (root / "inventories/other").mkdir()
    monkeypatch.setenv("HOLDFAST_INVENTORY", "inventories/other")
    assert project.resolve_inventory(root, None) == str(root / "inventories/other")
    assert project.resolve_inventory(root, "inventories/lab") == str(root / "inventories/lab")
    monkeypatch.setenv("HOLDFAST_INVENTORY", "")
    assert project.resolve_inventory(root, None) == str(root / "inventories/lab")


def test_missing_playbook_is_named(root: Path) -> None:
    with pytest.raises(InputError, match=r"no playbook .*site\.yml"):
        project.find_playbook(root, "site.yml")


def test_commit_is_none_without_git_and_before_the_first_commit(root: Path) -> None:
    assert project.git_commit(root) is None
    subprocess.run(["git", "init", "-q", str(root)], check=True)
    assert project.git_commit(root) is None
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run(["git", "-C", str(root), *identity, "commit", "-q", "--allow-empty", "-m", "x"], check=True)
    commit = project.git_commit(root)
    assert commit is not None
    assert len(commit) == 40
