# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from ansible_collections.holdfast.stateful.plugins.callback import preload

ROOT = Path(__file__).resolve().parents[4]
#: A process of its own, with Ansible's own importer of collections.
LOAD = """
import os
from ansible.plugins.loader import filter_loader, init_plugin_loader
init_plugin_loader([os.path.abspath("collections")])
from ansible_collections.holdfast.stateful.plugins.callback import preload
preload.CallbackModule().v2_playbook_on_start(None)
print("\\n".join(path for path in filter_loader._module_cache if "/holdfast/stateful/" in path))
"""


def test_every_filter_file_is_loaded_before_a_worker_is_forked() -> None:
    done = subprocess.run([sys.executable, "-c", LOAD], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = {Path(path).name for path in done.stdout.split()}
    assert loaded == {path.name for path in (ROOT / "plugins" / "filter").glob("*.py")}


def test_what_cannot_be_loaded_is_left_to_its_task(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_args: object, **_options: object) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(preload.filter_loader, "get", broken)
    monkeypatch.setattr(preload.lookup_loader, "get", broken)
    preload.CallbackModule().v2_playbook_on_start(None)


def test_ansible_reads_the_archives_that_an_earlier_run_has_left(
    tmp_path: Path, run_playbook: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    (tmp_path / "play.yml").write_text("- hosts: localhost\n  gather_facts: false\n  tasks: [{ping: }]\n")
    given = {"ANSIBLE_HOME": str(tmp_path / "home"), "ANSIBLE_CALLBACKS_ENABLED": "holdfast.stateful.preload"}
    first = run_playbook(tmp_path, **given)
    assert first.returncode == 0, first.stdout + first.stderr
    kept = list((tmp_path / "home" / "tmp" / "holdfast-payloads").glob("*/*"))
    assert [path.name.partition("-")[0] for path in kept] == ["ansible.modules.ping"]
    assert run_playbook(tmp_path, **given).returncode == 0
    kept[0].write_text("no archive")
    assert run_playbook(tmp_path, **given).returncode != 0, "a run that does not read it would not notice"
