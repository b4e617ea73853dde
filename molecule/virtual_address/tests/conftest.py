"""The lab's own catalog with a virtual address for orders-db, and without it again at the end."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import harness
import pytest
import testinfra
import yaml

CATALOG = "group_vars/all/service_catalog.yml"
SERVICE = "orders-db"
NAME = "orders.db.example.invalid"
MEMBERS = ("lab1", "lab2", "lab3")
TAGS = ("--tags", "hosts,etcd,postgres")


def inventory(folder: Path, declared: dict[str, Any] | None) -> Path:
    """Write the lab's inventory, with or without a virtual address."""
    shutil.copytree(harness.ROOT / harness.INVENTORY, folder)
    path = folder / CATALOG
    catalog = yaml.safe_load(path.read_text())
    if declared is not None:
        catalog["service_catalog"][SERVICE]["virtual_address"] = declared
    path.write_text(yaml.safe_dump(catalog))
    return folder


def good(done: harness.Playbook) -> harness.Playbook:
    assert done.code == 0, done.said
    return done


@dataclass
class Entry:
    """The inventories with and without the address, the members, and what was there before it."""

    address: str
    here: Path
    without: Path
    hosts: dict[str, Any]
    before: harness.Playbook
    poolers: dict[str, str] = field(default_factory=dict)
    service: str = SERVICE
    name: str = NAME
    members: tuple[str, ...] = MEMBERS

    def holders(self) -> list[str]:
        """Return the members whose interfaces carry the address; one without power carries nothing."""
        found = []
        for name, host in self.hosts.items():
            try:
                seen = host.run("ip -o -4 address show to %s/32", self.address).stdout
            except RuntimeError:  # no SSH: a host without power
                continue
            if self.address in seen:
                found.append(name)
        return found

    def holder(self, seconds: float = 15) -> str:
        """Wait until exactly one member holds the address, and return it."""
        return str(harness.wait_for("one holder", lambda: (h := self.holders()) and len(h) == 1 and h, seconds)[0])

    def leader(self) -> str:
        """Return the member that leads, asked of the live service."""
        return str(harness.wait_for("a leader", lambda: harness.status(SERVICE)[SERVICE]["leader"], 60))

    def give_to(self, name: str) -> None:
        """Have a member take the address, as an operator does: by stopping the watch of the others."""
        others = [self.hosts[other] for other in MEMBERS if other != name]
        for host in others:
            host.check_output("systemctl stop holdfast-entry-watch")
        harness.wait_for(f"{name} to hold it", lambda: self.holders() == [name], 15)
        for host in others:
            host.check_output("systemctl start holdfast-entry-watch")
        assert self.holder() == name

    def site(self, *extra: str, where: Path | None = None) -> harness.Playbook:
        """Converge what is below PostgreSQL's entry, and the entry; never raises for a run that fails."""
        return harness.run_playbook("site.yml", *TAGS, *extra, inventory=where or self.here)

    def converged(self, *extra: str, where: Path | None = None) -> harness.Playbook:
        """Converge, and fail where the run does."""
        return good(self.site(*extra, where=where))

    def declare(self, folder: Path, declared: dict[str, Any]) -> Path:
        """Write an inventory with another virtual address."""
        return inventory(folder, declared)

    def pids(self) -> dict[str, str]:
        """Return the process of each member's pooler."""
        ask = "systemctl show --value -p MainPID pgbouncer"
        return {name: host.check_output(ask) for name, host in self.hosts.items()}


@pytest.fixture(scope="session")
def entry(request, tmp_path_factory):
    base = tmp_path_factory.mktemp("entry")
    address = f"{harness.lab().prefix}.100"
    config = request.config.option.ssh_config
    hosts = {name: testinfra.get_host(f"ssh://{name}", ssh_config=config, sudo=True) for name in MEMBERS}
    without = inventory(base / "without", None)
    good(harness.run_playbook("site.yml", *TAGS, inventory=without))
    before = good(harness.run_playbook("site.yml", *TAGS, inventory=without))
    found = Entry(address, inventory(base / "with", {"address": address, "name": NAME}), without, hosts, before)
    found.poolers = found.pids()
    try:
        found.converged()
        yield found
    finally:
        for name in MEMBERS:
            if hosts[name].run("true").rc != 0:
                harness.power_on(name)
        good(harness.run_playbook("site.yml", *TAGS, inventory=without))
