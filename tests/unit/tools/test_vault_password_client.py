from __future__ import annotations

import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[3] / "tools" / "dev" / "vault-password-client.py"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOLDFAST_ROOT", str(tmp_path))
    monkeypatch.delenv("HOLDFAST_VAULT_PASSWORD_FILE", raising=False)
    return tmp_path


def call(*words: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, str(SCRIPT), *words]
    return subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)


def test_first_use_makes_a_private_password_and_then_keeps_it(home: Path) -> None:
    first = call("--vault-id", "holdfast")
    path = home / ".holdfast" / "vault_password"
    assert first.returncode == 0
    assert len(first.stdout.strip()) == 43  # 32 bytes
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert call("--vault-id", "holdfast").stdout == first.stdout == path.read_text()


def test_many_first_uses_at_once_agree_and_leave_no_draft(home: Path) -> None:
    with ThreadPoolExecutor(12) as pool:
        seen = {done.stdout for done in pool.map(lambda _: call("--vault-id", "holdfast"), range(12))}
    assert len(seen) == 1
    assert [p.name for p in (home / ".holdfast").iterdir()] == ["vault_password"]


def test_a_named_file_wins_and_is_never_made(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = home / "mine"
    monkeypatch.setenv("HOLDFAST_VAULT_PASSWORD_FILE", str(mine))
    missing = call()
    assert (missing.returncode, missing.stdout) == (1, "")
    assert "there is no such file" in missing.stderr
    mine.write_text("my password \n")
    mine.chmod(0o600)
    assert call().stdout == "my password\n"
    assert not (home / ".holdfast").exists()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_file_that_others_can_read_is_refused(home: Path, monkeypatch: pytest.MonkeyPatch, mode: int) -> None:
    mine = home / "mine"
    mine.write_text("pw")
    mine.chmod(mode)
    monkeypatch.setenv("HOLDFAST_VAULT_PASSWORD_FILE", str(mine))
    done = call()
    assert (done.returncode, done.stdout) == (1, "")
    assert f"mode {mode:04o}" in done.stderr
    assert "chmod 600" in done.stderr
    assert "pw" not in done.stderr


def test_an_empty_file_and_a_foreign_vault_id_are_refused(home: Path) -> None:
    (home / ".holdfast").mkdir()
    (home / ".holdfast" / "vault_password").touch(mode=0o600)
    assert "is empty" in call().stderr
    assert call("--vault-id", "other").returncode == 2


def test_ansible_vault_accepts_it(home: Path) -> None:
    secret = home / "secrets.yml"
    secret.write_text("a: b\n")
    env = {**os.environ, "ANSIBLE_VAULT_IDENTITY_LIST": f"holdfast@{SCRIPT}"}
    vault = str(Path(sys.executable).parent / "ansible-vault")
    subprocess.run(
        [vault, "encrypt", "--encrypt-vault-id", "holdfast", str(secret)], env=env, check=True, capture_output=True
    )
    assert secret.read_text().startswith("$ANSIBLE_VAULT;1.2;AES256;holdfast")
    done = subprocess.run([vault, "view", str(secret)], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "a: b"
    assert os.access(SCRIPT, os.X_OK)
