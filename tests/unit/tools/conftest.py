"""A small project of our own: real playbooks, real ansible-runner, no mocks."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
from holdfast.request import RunRequest

VAULT_PASSWORD = "a-vault-password-for-tests"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project root with two local hosts and a vault identity; ``HOLDFAST_ROOT`` points at it."""
    root = tmp_path / "project"
    (root / "playbooks").mkdir(parents=True)
    (root / "inventories" / "lab").mkdir(parents=True)
    (root / "vault_password").write_text(VAULT_PASSWORD)
    (root / "ansible.cfg").write_text(
        "[defaults]\nvault_identity_list = holdfast@vault_password\nfact_caching = memory\nhost_key_checking = True\n"
        f"interpreter_python = {sys.executable}\ngathering = explicit\n"
    )
    (root / "inventories" / "lab" / "hosts.yml").write_text(
        "all: {hosts: {n1: {ansible_connection: local}, n2: {ansible_connection: local}}}\n"
    )
    for name in list(os.environ):
        if name.startswith(("ANSIBLE_", "HOLDFAST_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOLDFAST_ROOT", str(root))
    return root


@pytest.fixture
def playbook(root: Path) -> Callable[[str, str], Path]:
    """Write ``playbooks/<name>`` in the root: one play for all hosts with these tasks."""

    def write(name: str, text: str) -> Path:
        tasks = textwrap.indent(textwrap.dedent(text), "    ")
        path = root / "playbooks" / name
        path.write_text(f"- name: Play one\n  hosts: all\n  gather_facts: false\n  tasks:\n{tasks}")
        return path

    return write


@pytest.fixture
def publish(root: Path) -> Callable[[str, str], Path]:
    """Write a playbook that publishes YAML text with set_stats."""

    def write(name: str, data: str) -> Path:
        path = root / "playbooks" / name
        path.write_text(
            "- name: Show\n  hosts: localhost\n  gather_facts: false\n  tasks:\n    - name: Publish\n"
            "      ansible.builtin.set_stats:\n        data:\n" + textwrap.indent(textwrap.dedent(data), " " * 10)
        )
        return path

    return write


@pytest.fixture
def make_request(root: Path) -> Callable[..., RunRequest]:
    """A request against the root."""

    def make(name: str = "site.yml", **more: object) -> RunRequest:
        fields: dict[str, object] = {
            "verb": "apply",
            "playbook": name,
            "root": root,
            "inventory": str(root / "inventories" / "lab"),
            "runs_dir": root / ".holdfast" / "runs",
            "resume": "holdfast apply",
            **more,
        }
        return RunRequest(**fields)  # type: ignore[arg-type]

    return make


@pytest.fixture
def vault_file(root: Path) -> Callable[[str], Path]:
    """Encrypt YAML text into ``.holdfast/lab/secrets.yml``."""

    def write(text: str) -> Path:
        path = root / ".holdfast" / "lab" / "secrets.yml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        vault = Path(sys.executable).parent / "ansible-vault"
        subprocess.run(
            [vault, "encrypt", "--encrypt-vault-id", "holdfast", str(path)],
            cwd=root,
            env={**os.environ, "ANSIBLE_CONFIG": str(root / "ansible.cfg")},
            check=True,
            capture_output=True,
        )
        return path

    return write


@pytest.fixture
def holdfast(root: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the command in a process of its own, from a foreign folder."""

    def run(*words: str, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "holdfast", *words],
            cwd="/",
            env={**os.environ, "HOLDFAST_ROOT": str(root), "PYTHONPATH": _tools(), **env},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run


def _tools() -> str:
    return str(Path(__file__).resolve().parents[3] / "tools")
