"""What the contract tests share: the checkout, and the files that git tracks in it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def tracked(root: Path) -> list[str]:
    """Paths of all files that git tracks, and of those that it would with the next commit."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout.split("\0")
    return [path for path in listed if path and ((root / path).exists() or (root / path).is_symlink())]


@pytest.fixture(scope="session")
def ansible(root: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment in which Ansible finds this checkout as the collection and touches nothing of the operator's."""
    private = tmp_path_factory.mktemp("ansible")
    password = private / "vault_password"
    password.write_text("a-vault-password-for-tests\n")
    password.chmod(0o600)
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("ANSIBLE_", "HOLDFAST_"))}
    return kept | {
        "PATH": f"{root / '.venv/bin'}:{os.environ['PATH']}",
        "ANSIBLE_CONFIG": str(root / "ansible.cfg"),
        "ANSIBLE_COLLECTIONS_PATH": str(root / "collections"),
        "ANSIBLE_HOME": str(private),
        "ANSIBLE_LOCAL_TEMP": str(private / "tmp"),
        "ANSIBLE_NOCOLOR": "1",
        "HOLDFAST_VAULT_PASSWORD_FILE": str(password),
    }
