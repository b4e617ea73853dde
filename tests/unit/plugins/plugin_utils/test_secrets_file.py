# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import stat
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
from ansible.parsing.vault import VaultSecret
from ansible_collections.holdfast.stateful.plugins.plugin_utils import secrets_file
from ansible_collections.holdfast.stateful.plugins.plugin_utils.secrets_file import SecretsError

VAULT = [("holdfast", VaultSecret(b"right"))]
OTHER = [("holdfast", VaultSecret(b"wrong"))]


def ensure(path: Path, *names: str, vault: Any = None, check: bool = False, length: int = 32) -> tuple[bool, list[str]]:
    return secrets_file.ensure(path, list(names), length, vault or VAULT, "holdfast", check)


def test_generate_only_what_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "new" / "secrets.yml"
    assert ensure(path, "a/b", "c") == (True, ["a/b", "c"])
    first = secrets_file.read(path, VAULT)
    assert ensure(path, "a/b", "c") == (False, [])
    assert ensure(path, "c", "d", "d") == (True, ["d"])
    second = secrets_file.read(path, VAULT)
    assert {name: second[name] for name in first} == first
    assert all(len(value) == 32 and value.isalnum() for value in second.values())
    assert len(set(second.values())) == 3


def test_some_are_renewed_others_get_a_value_and_the_rest_stays(tmp_path: Path) -> None:
    path = tmp_path / "secrets.yml"
    ensure(path, "a", "b")
    first = secrets_file.read(path, VAULT)

    def store(renew: list[str], values: dict[str, str], check: bool = False) -> list[str]:
        return secrets_file.store(path, renew, values, 32, VAULT, "holdfast", check)

    assert store(["a"], {"c": "x"}, check=True) == ["a", "c"]
    assert secrets_file.read(path, VAULT) == first
    assert store(["a"], {"c": "x"}) == ["a", "c"]
    second = secrets_file.read(path, VAULT)
    assert (second["b"], second["c"]) == (first["b"], "x")
    assert second["a"] != first["a"]
    assert len(second["a"]) == 32
    assert store([], {"c": "x"}) == []
    with pytest.raises(SecretsError, match="expected letters"):
        store([], {"no name": "x"})


def test_modes_and_encryption(tmp_path: Path) -> None:
    path = tmp_path / "new" / "secrets.yml"
    ensure(path, "a")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert path.read_text().startswith("$ANSIBLE_VAULT;1.2;AES256;holdfast\n")
    assert secrets_file.read(path, VAULT)["a"] not in path.read_text()
    path.chmod(0o644)
    assert ensure(path, "a") == (True, [])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_check_mode_predicts(tmp_path: Path) -> None:
    path = tmp_path / "new" / "secrets.yml"
    assert ensure(path, "a", check=True) == (True, ["a"])
    assert not path.parent.exists()


@pytest.mark.parametrize("content", ["a: plain\n", ""])
def test_a_plain_file_is_left_alone(tmp_path: Path, content: str) -> None:
    path = tmp_path / "secrets.yml"
    path.write_text(content)
    with pytest.raises(SecretsError, match="expected a vault-encrypted file"):
        ensure(path, "a")
    assert path.read_text() == content


def test_a_file_of_another_password_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "secrets.yml"
    ensure(path, "a")
    before = path.read_bytes()
    with pytest.raises(SecretsError, match="no vault password given fits"):
        ensure(path, "b", vault=OTHER)
    assert path.read_bytes() == before


@pytest.mark.parametrize("table", [["a"], {"a": 1}, {"a": {"b": "c"}}])
def test_something_else_inside_is_left_alone(tmp_path: Path, table: Any) -> None:
    path = tmp_path / "secrets.yml"
    secrets_file.write(path, table, VAULT, "holdfast")
    with pytest.raises(SecretsError, match="expected a table of names and texts"):
        ensure(path, "b")


def test_no_identity(tmp_path: Path) -> None:
    with pytest.raises(SecretsError, match="expected a password for vault identity holdfast"):
        ensure(tmp_path / "s.yml", "a", vault=[("x", VaultSecret(b"x"))])


@pytest.mark.parametrize("name", ["", "/a", "a/", "a b", "../a", "a//b", "{{ a }}"])
def test_names_that_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(SecretsError, match="secret names"):
        ensure(tmp_path / "s.yml", name)


def test_a_short_secret_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SecretsError, match="at least 16"):
        ensure(tmp_path / "s.yml", "a", length=15)


def _generate(path: Path, name: str) -> None:
    ensure(path, "shared", name)


def test_parallel_runs_agree(tmp_path: Path) -> None:
    path = tmp_path / "s.yml"
    fork = get_context("fork")
    runs = [fork.Process(target=_generate, args=(path, f"own{number}")) for number in range(6)]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    assert sorted(secrets_file.read(path, VAULT)) == [*(f"own{number}" for number in range(6)), "shared"]
    assert sorted(found.name for found in tmp_path.iterdir()) == [".s.yml.lock", "s.yml"]


def test_the_cache_sees_a_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "s.yml"
    ensure(path, "a")
    reads: list[Path] = []
    original = secrets_file.read
    monkeypatch.setattr(secrets_file, "read", lambda path, vault: reads.append(path) or original(path, vault))  # type: ignore[func-returns-value]
    assert secrets_file.read_cached(path, VAULT) == secrets_file.read_cached(path, VAULT)
    assert len(reads) == 1
    ensure(path, "b")
    reads.clear()
    assert "b" in secrets_file.read_cached(path, VAULT)
    assert len(reads) == 1
    os.unlink(path)  # noqa: PTH108
    assert secrets_file.read_cached(path, VAULT) == {}
