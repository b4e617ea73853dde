"""The catalogs that ship with the project are valid, and a broken one is refused by the same command."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml


def check_catalog(inventory: Path, root: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run the playbook that a person would run; it contacts no host."""
    command = ["ansible-playbook", "--inventory", str(inventory), "playbooks/check_catalog.yml"]
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)


def services(inventory: Path) -> set[str]:
    text = (inventory / "group_vars/all/service_catalog.yml").read_text(encoding="utf-8")
    return set(yaml.safe_load(text)["service_catalog"])


@pytest.mark.parametrize("name", ["lab", "lab-debian12", "example"])
def test_catalog_is_valid(name: str, root: Path, ansible: dict[str, str]) -> None:
    inventory = root / "inventories" / name
    done = check_catalog(inventory, root, ansible)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [service for service in sorted(services(inventory)) if f"OK {service}:" not in done.stdout] == []


def test_example_shows_every_engine(root: Path) -> None:
    text = (root / "inventories/example/group_vars/all/service_catalog.yml").read_text(encoding="utf-8")
    catalog = yaml.safe_load(text)["service_catalog"]
    assert {entry["engine"] for entry in catalog.values()} == {"postgres", "redis", "rabbitmq"}


@pytest.mark.parametrize("name", ["lab", "lab-debian12", "example"])
def test_inventory_says_where_secrets_and_certificates_are_kept(name: str, root: Path, ansible: dict[str, str]) -> None:
    """Without the two variables site.yml stops at the first secret."""
    command = ["ansible-inventory", "--inventory", str(root / "inventories" / name), "--list"]
    listed = subprocess.run(command, cwd=root, env=ansible, capture_output=True, text=True, check=True).stdout
    hosts = json.loads(listed)["_meta"]["hostvars"]
    wanted = {"holdfast_state_dir", "holdfast_secrets_file"}
    assert hosts
    assert {host: sorted(wanted - set(values)) for host, values in hosts.items() if wanted - set(values)} == {}


def test_a_broken_catalog_is_refused(root: Path, ansible: dict[str, str], tmp_path: Path) -> None:
    inventory = tmp_path / "example"
    shutil.copytree(root / "inventories/example", inventory)
    path = inventory / "group_vars/all/service_catalog.yml"
    whole = yaml.safe_load(path.read_text(encoding="utf-8"))
    del whole["service_catalog"]["orders-db"]["owner"]
    whole["service_catalog"]["sessions"]["budget"]["rpo_seconds"] = 0
    path.write_text(yaml.safe_dump(whole), encoding="utf-8")
    done = check_catalog(inventory, root, ansible)
    assert done.returncode != 0
    said = done.stdout + done.stderr
    assert "orders-db" in said
    assert "owner" in said
    assert "sessions.budget.rpo_seconds" in said, "all problems are to be reported at once"
