"""Every verb in a process of its own, against playbooks that publish what the real ones do."""

from __future__ import annotations

import json
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]
Write = Callable[[str, str], Path]

STATUS = """
status:
  services:
    - {service: orders-db, engine: postgres, healthy: %s, leader: n1,
       members: [{host: n1, role: leader, state: running}]}
"""
CONNECTION = """
connection:
  service: orders-db
  engine: postgres
  hosts: [{host: 10.0.0.1, port: 5432}]
  database: orders
  user: app
  ca_file: /ca.crt
  secrets_file: .holdfast/lab/secrets.yml
  secret_name: orders_db_app
"""


def runs(root: Path) -> list[dict[str, object]]:
    return [json.loads(p.read_text()) for p in sorted((root / ".holdfast" / "runs").glob("*/summary.json"))]


@pytest.mark.parametrize(("healthy", "code"), [("true", 0), ("false", 5), ("null", 5)])
def test_status(holdfast: Run, publish: Write, root: Path, healthy: str, code: int) -> None:
    publish("show_status.yml", STATUS % healthy)
    done = holdfast("status", "--json")
    assert done.returncode == code, done.stderr
    data = json.loads(done.stdout)
    assert list(data) == ["services"]
    assert data["services"][0]["healthy"] is (healthy == "true")
    assert done.stderr == ""
    (summary,) = runs(root)
    assert (summary["verb"], summary["exit_code"]) == ("status", code)
    assert "orders-db (postgres)" in holdfast("status").stdout


def test_status_that_published_nothing_is_an_error(holdfast: Run, publish: Write, root: Path) -> None:
    publish("show_status.yml", "other: 1\n")
    done = holdfast("status", "--json")
    assert done.returncode == 7
    assert done.stderr.count("without publishing") == 1
    assert done.stdout == ""
    assert runs(root)[0]["exit_code"] == 7


def test_explain(holdfast: Run, publish: Write) -> None:
    publish(
        "explain_service.yml",
        "explain: {orders-db: {engine: postgres, decisions: [{setting: a, value: 1, because: why not}]}}\n",
    )
    assert json.loads(holdfast("explain", "--json").stdout)["orders-db"]["engine"] == "postgres"
    assert "why not" in holdfast("explain", "orders-db").stdout
    wrong = holdfast("explain", "orders")
    assert wrong.returncode == 2
    assert "no service 'orders'" in wrong.stderr


def test_connect_shows_the_password_only_on_demand_and_never_keeps_it(
    holdfast: Run, publish: Write, root: Path, vault_file: Callable[[str], Path]
) -> None:
    publish("show_connection.yml", CONNECTION)
    vault_file("orders_db_app: hunter22hunter22\n")
    assert json.loads(holdfast("connect", "orders-db", "--json").stdout)["password"] is None
    assert (
        json.loads(holdfast("connect", "orders-db", "--json", "--show-secret").stdout)["password"] == "hunter22hunter22"
    )
    assert "app:hunter22hunter22@10.0.0.1:5432" in holdfast("connect", "orders-db", "--uri", "--show-secret").stdout
    assert "hunter22" not in holdfast("connect", "orders-db").stdout
    for path in (root / ".holdfast" / "runs").rglob("*"):
        assert not path.is_file() or b"hunter22" not in path.read_bytes()


@pytest.mark.parametrize(("ok", "code"), [("true", 0), ("false", 6)])
def test_prove(holdfast: Run, publish: Write, ok: str, code: int) -> None:
    publish(
        "prove_services.yml",
        f"proof: [{{service: s, engine: redis, checks: [{{name: survives, ok: {ok}, detail: 3 s}}]}}]\n",
    )
    done = holdfast("prove")
    assert done.returncode == code
    assert "survives" in done.stdout


def test_apply_passes_options_on_and_says_how_it_ended(
    holdfast: Run, playbook: Write, root: Path, tmp_path: Path
) -> None:
    playbook("site.yml", "- ansible.builtin.command: 'true'\n  tags: [some]\n- ansible.builtin.fail: {}\n")
    done = holdfast("--artifacts", str(tmp_path / "out"), "apply", "--limit", "n2", "--tags", "some")
    assert done.returncode == 0, done.stderr
    assert "play: Play one" in done.stderr
    assert "apply: done; 0 ok, 1 changed, 0 failed, 0 unreachable" in done.stderr
    (folder,) = (tmp_path / "out").iterdir()
    assert list(json.loads((folder / "summary.json").read_text())["hosts"]) == ["n2"]
    assert not (root / ".holdfast").exists()


def test_check_fails_with_code_2_on_what_ansible_cannot_read(holdfast: Run, playbook: Write) -> None:
    playbook("check_catalog.yml", "- no.such.module: {}\n")
    done = holdfast("check")
    assert done.returncode == 2
    assert "no.such.module" in done.stderr


def test_lab(holdfast: Run, publish: Write, root: Path, tmp_path: Path) -> None:
    lab = (
        "lab: {id: abc, network: 10.1.0.0/24, hosts: [{name: node1, address: 10.1.0.2, state: running}], "
        f"ssh: {{config: {root}/ssh_config}}}}\n"
    )
    for name in ("create_lab.yml", "show_lab.yml", "destroy_lab.yml"):
        publish(name, lab)
    assert "10.1.0.2" in holdfast("lab", "up").stdout
    assert json.loads(holdfast("lab", "status", "--json").stdout)["hosts"][0]["name"] == "node1"
    assert holdfast("lab", "down").returncode == 0
    assert "no lab host 'other': there are node1" in holdfast("lab", "ssh", "other").stderr
    fake = tmp_path / "bin" / "ssh"
    fake.parent.mkdir()
    fake.write_text('#!/bin/sh\nprintf "<%s>" "$@"\nexit 9\n')
    fake.chmod(fake.stat().st_mode | stat.S_IXUSR)
    done = holdfast("lab", "ssh", "node1", "--", "ls", "-l", PATH=f"{fake.parent}:/usr/bin:/bin")
    assert (done.returncode, done.stdout) == (9, f"<-F><{root}/ssh_config><node1><ls><-l>")
