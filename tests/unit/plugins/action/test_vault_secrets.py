# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The action plugin and the lookup as Ansible runs them, in a temporary folder."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

Playbook = Callable[..., subprocess.CompletedProcess[str]]

PLAY = """
- hosts: localhost
  gather_facts: false
  vars:
    holdfast_secrets_file: "{{ playbook_dir }}/state/secrets.yml"
    secrets_names: [orders-db/app, orders-db/superuser]
  roles: [holdfast.stateful.secrets]
  tasks:
    - name: Use
      ansible.builtin.debug:
        msg: "length {{ lookup('holdfast.stateful.secret', 'orders-db/app') | length }}"
"""


def run(run_playbook: Playbook, base: Path, password: str, *options: str) -> tuple[int, str]:
    (base / "play.yml").write_text(PLAY)
    (base / "password").write_text(password)
    done = run_playbook(base, "--vault-password-file", str(base / "password"), *options)
    return done.returncode, done.stdout + done.stderr


def test_role_action_and_lookup(tmp_path: Path, run_playbook: Playbook) -> None:
    file = tmp_path / "state" / "secrets.yml"
    code, output = run(run_playbook, tmp_path, "right", "--check")
    assert code == 0, output
    assert "changed=1" in output
    assert not file.exists()

    code, output = run(run_playbook, tmp_path, "right", "-vvv")
    assert code == 0, output
    assert "length 32" in output
    before = file.read_bytes()

    code, output = run(run_playbook, tmp_path, "right")
    assert code == 0, output
    assert "changed=0" in output

    code, output = run(run_playbook, tmp_path, "wrong")
    assert code == 2
    assert "no vault password given fits" in output
    assert file.read_bytes() == before
