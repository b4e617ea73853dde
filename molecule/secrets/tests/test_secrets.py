"""Secrets on the controller: generated, encrypted, kept, and in nobody's sight."""

from __future__ import annotations

import os
import stat
import subprocess

import harness
import yaml

FILE = harness.ROOT / ".holdfast" / "lab" / os.environ.get("HOLDFAST_LAB", "default") / "molecule" / "secrets.yml"


def decrypted() -> dict[str, str]:
    """Return the secrets, decrypted by ansible-vault itself."""
    argv = [str(harness.BIN / "ansible-vault"), "view", str(FILE)]
    done = subprocess.run(argv, cwd=harness.ROOT, env=harness.environment(), capture_output=True, text=True, check=True)
    return yaml.safe_load(done.stdout)


def test_file_is_encrypted_and_private():
    assert FILE.read_text().startswith("$ANSIBLE_VAULT;")
    assert stat.S_IMODE(FILE.stat().st_mode) == 0o600
    assert stat.S_IMODE(FILE.parent.stat().st_mode) == 0o700


def test_secrets_are_long_and_differ():
    secrets = decrypted()
    assert set(secrets) == {"molecule/one", "molecule/two"}
    assert all(len(value) >= 32 for value in secrets.values())
    assert len(set(secrets.values())) == 2


def test_git_ignores_it():
    assert subprocess.run(["git", "check-ignore", "-q", str(FILE)], cwd=harness.ROOT, check=False).returncode == 0


def test_another_run_keeps_them(tmp_path):
    before = decrypted()
    again = harness.run_playbook("../molecule/secrets/converge.yml")
    assert (again.code, again.changed) == (0, [])
    assert decrypted() == before
    assert not any(value in again.output for value in before.values())
