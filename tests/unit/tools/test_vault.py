from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from holdfast.environment import ansible_environment
from holdfast.redact import Redactor
from holdfast.request import RunRequest
from holdfast.vault import VaultError, VaultWatch, find_vault_files, read_vault_file, vault_signature


def test_vault_files_are_found_in_the_state_folder_and_beside_the_inventory(
    root: Path, vault_file: Callable[[str], Path]
) -> None:
    secrets = vault_file("a: b\n")
    inventory = root / "inventories" / "lab"
    (inventory / "group_vars").mkdir()
    (inventory / "group_vars" / "vault.yml").write_bytes(secrets.read_bytes())
    (root / ".holdfast" / "runs" / "x").mkdir(parents=True)
    (root / ".holdfast" / "runs" / "x" / "secrets.yml").write_bytes(secrets.read_bytes())
    (root / ".holdfast" / "lab" / "plain.yml").write_text("a: b")
    assert find_vault_files(root, str(inventory)) == [secrets, inventory / "group_vars" / "vault.yml"]
    assert find_vault_files(root, "host,") == [secrets]


def test_a_vault_file_is_read_with_the_projects_identity(root: Path, vault_file: Callable[[str], Path]) -> None:
    path = vault_file("orders_db_app: hunter22\n")
    assert read_vault_file(path, root, ansible_environment(root, "x")) == {"orders_db_app": "hunter22"}


def test_what_cannot_be_read_is_said_without_what_is_in_it(root: Path, vault_file: Callable[[str], Path]) -> None:
    environment = ansible_environment(root, "x")
    with pytest.raises(VaultError, match="no secrets file"):
        read_vault_file(root / "nothing.yml", root, environment)
    path = vault_file("a: hunter22: [not yaml\n")
    with pytest.raises(VaultError, match="not YAML inside") as caught:
        read_vault_file(path, root, environment)
    assert "hunter22" not in str(caught.value)
    (root / "vault_password").write_text("another")
    with pytest.raises(VaultError, match="cannot decrypt"):
        read_vault_file(path, root, environment)


def test_the_signature_changes_with_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a"
    assert vault_signature([path]) == ()
    path.write_text("1")
    before = vault_signature([path])
    path.write_text("12")
    assert vault_signature([path]) != before


def test_the_watch_teaches_the_redactor_and_reads_again_when_a_file_changes(
    root: Path,
    vault_file: Callable[[str], Path],
    playbook: Callable[[str, str], Path],
    make_request: Callable[..., RunRequest],
) -> None:
    playbook("site.yml", "- ansible.builtin.debug: {}")
    redactor = Redactor()
    watch = VaultWatch(make_request(), redactor, ansible_environment(root, "x"))
    watch.refresh()
    assert watch.note == "no vault file"
    vault_file("a: {deep: [hunter22]}\n")
    watch.refresh()
    assert watch.note == "read 1 file(s)"
    assert redactor.text("x hunter22") == "x ***"
    vault_file("a: {deep: [hunter22, hunter33]}\n")
    watch.refresh()
    assert redactor.text("x hunter33") == "x ***"
    (root / "vault_password").write_text("another")
    vault = root / ".holdfast" / "lab" / "secrets.yml"
    vault.write_bytes(vault.read_bytes() + b"\n")
    watch.refresh()
    assert watch.note == "could not read: secrets.yml"


def test_verbs_on_a_clock_do_not_read_the_vault(
    root: Path,
    vault_file: Callable[[str], Path],
    playbook: Callable[[str, str], Path],
    make_request: Callable[..., RunRequest],
) -> None:
    playbook("site.yml", "- ansible.builtin.debug: {}")
    vault_file("a: hunter22\n")
    redactor = Redactor()
    watch = VaultWatch(make_request(reads_vault=False), redactor, ansible_environment(root, "x"))
    watch.refresh()
    assert watch.note == "not read"
