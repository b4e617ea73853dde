# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs a playbook as Ansible would, on this machine, with this checkout's collection and nothing of the user's."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[3]


def run_playbook(base: Path, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `base`/play.yml against localhost."""
    (base / "ansible.cfg").touch()
    return subprocess.run(
        [
            str(Path(sys.executable).with_name("ansible-playbook")),
            *("-i", "localhost,", "-c", "local"),
            *options,
            str(base / "play.yml"),
        ],
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(base),
            "ANSIBLE_CONFIG": str(base / "ansible.cfg"),
            "ANSIBLE_COLLECTIONS_PATH": str(CHECKOUT / "collections"),
            "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
            "LC_ALL": "C.UTF-8",
            **environment,
        },
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(name="run_playbook")
def _run_playbook() -> Callable[..., subprocess.CompletedProcess[str]]:
    return run_playbook
