# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import subprocess
import sys
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
