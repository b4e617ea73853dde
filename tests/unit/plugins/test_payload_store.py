# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from ansible_collections.holdfast.stateful.plugins.plugin_utils.payload_store import (
    CACHE,
    KEEP_SECONDS,
    STORE,
    PayloadStore,
    signature,
)

OURS = "ansible_collections.holdfast.stateful.plugins.modules.x-ZIP_DEFLATED-none"


def run_folder(tmp_path: Path, name: str, *archives: str) -> str:
    folder = tmp_path / name
    (folder / CACHE).mkdir(parents=True)
    for archive in archives:
        (folder / CACHE / archive).write_text(archive)
    return str(folder)


def test_a_second_run_finds_what_the_first_has_packed(tmp_path: Path) -> None:
    first = run_folder(tmp_path, "one", OURS, f"{OURS}.lock", f"{OURS}-part", "ansible.legacy.x-ZIP_DEFLATED-none")
    assert PayloadStore(first, "key").keep() == 1
    second = tmp_path / "two"
    second.mkdir()
    assert PayloadStore(str(second), "key").lend() == 1
    assert [path.name for path in (second / CACHE).iterdir()] == [OURS]
    assert (second / CACHE / OURS).read_text() == OURS
    assert PayloadStore(str(second), "key").keep() == 0
    assert PayloadStore(str(second), "other code").lend() == 0


def test_an_archive_is_on_the_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, synced = PayloadStore(run_folder(tmp_path, "one", OURS), "key"), []
    monkeypatch.setattr(os, "fsync", lambda _descriptor: synced.append((store.kept / OURS).exists()))
    assert store.keep() == 1
    assert synced == [False]


def test_a_folder_that_others_may_write_is_not_read(tmp_path: Path) -> None:
    store = PayloadStore(run_folder(tmp_path, "one", OURS), "key")
    store.keep()
    store.kept.chmod(0o770)
    assert store.lend() == 0
    assert store.keep() == 0


def test_code_that_nobody_runs_any_more_is_forgotten(tmp_path: Path) -> None:
    old = PayloadStore(run_folder(tmp_path, "one", OURS), "old")
    old.keep()
    past = time.time() - KEEP_SECONDS - 1
    os.utime(old.kept, (past, past))
    PayloadStore(run_folder(tmp_path, "two", OURS), "new").keep()
    assert [path.name for path in (tmp_path / STORE).iterdir()] == ["new"]


@pytest.mark.parametrize("change", ["content", "new file", "installed"])
def test_the_key_changes_with_the_code(tmp_path: Path, change: str) -> None:
    code, manifest = tmp_path / "code", tmp_path / "MANIFEST.json"
    (code / "inner").mkdir(parents=True)
    (code / "inner" / "a.py").write_text("1")
    manifest.touch()
    (code / "__pycache__").mkdir()
    before = signature([code], [manifest, tmp_path / "none"])
    (code / "__pycache__" / "a.pyc").touch()
    assert signature([code], [manifest, tmp_path / "none"]) == before
    if change == "content":
        (code / "inner" / "a.py").write_text("22")
    elif change == "new file":
        (code / "b.py").touch()
    else:
        os.utime(manifest, (1, 1))
    assert signature([code], [manifest, tmp_path / "none"]) != before
