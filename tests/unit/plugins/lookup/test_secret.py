# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleError
from ansible.parsing.dataloader import DataLoader
from ansible.parsing.vault import VaultSecret
from ansible.template import Templar, trust_as_template
from ansible_collections.holdfast.stateful.plugins.lookup import secret
from ansible_collections.holdfast.stateful.plugins.plugin_utils import secrets_file

VAULT = [("holdfast", VaultSecret(b"right"))]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "s.yml"
    secrets_file.write(path, {"a/b": "one", "c": "two"}, VAULT, "holdfast")
    return path


def look_up(*terms: str, default: str | None = None, **variables: Any) -> list[str]:
    loader = DataLoader()
    loader.set_vault_secrets(VAULT)
    plugin = secret.LookupModule(loader=loader, templar=Templar(loader=loader, variables=variables))
    plugin.set_options = lambda **_: None
    found: list[str] = plugin.run(list(terms), variables, default=default)
    return found


def test_found(path: Path) -> None:
    assert look_up("a/b", "c", holdfast_secrets_file=str(path)) == ["one", "two"]


def test_the_variable_may_be_a_template(path: Path) -> None:
    template = trust_as_template("{{ folder }}/s.yml")
    assert look_up("c", holdfast_secrets_file=template, folder=str(path.parent)) == ["two"]


def test_a_default_stands_in_for_a_missing_name(path: Path) -> None:
    assert look_up("c", "nope", default="a", holdfast_secrets_file=str(path)) == ["two", "a"]
    assert look_up("nope", default="", holdfast_secrets_file=str(path.parent / "none.yml")) == [""]


def test_missing_name(path: Path) -> None:
    with pytest.raises(AnsibleError, match=r"expected 'nope' in .*s.yml, found no such name"):
        look_up("nope", holdfast_secrets_file=str(path))


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(AnsibleError, match="found no such file"):
        look_up("nope", holdfast_secrets_file=str(tmp_path / "none"))


def test_missing_variable() -> None:
    with pytest.raises(AnsibleError, match="expected the variable holdfast_secrets_file"):
        look_up("nope")


def test_check_mode_predicts_a_first_run(tmp_path: Path) -> None:
    assert look_up("x", holdfast_secrets_file=str(tmp_path / "none"), ansible_check_mode=True) == [secret.PLACEHOLDER]
