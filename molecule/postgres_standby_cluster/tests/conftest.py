"""Two sites in one lab: lab1-3 as ever, lab4-6 with an inventory, an authority and secrets of their own."""

from __future__ import annotations

import copy
import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import harness
import pytest
import testinfra
import yaml
from ansible_collections.holdfast.stateful.plugins.module_utils.lab.machine import Machine

CATALOG = "group_vars/all/service_catalog.yml"
SOURCE, SITE = "orders-db", "orders-db-b"
HERE, THERE = {"lab1": 11, "lab2": 12, "lab3": 13}, {"lab4": 14, "lab5": 15, "lab6": 16}
PKI = "/etc/holdfast/pki"
ASK = f"""
import http.client, socket, ssl, sys
address, method, path, body = sys.argv[1:]
context = ssl.create_default_context(cafile="{PKI}/ca.crt")
context.load_cert_chain("{PKI}/host.crt", "{PKI}/host.key")
talk = http.client.HTTPSConnection(address, 8008, context=context, timeout=60)
talk.request(method, path, body=body or None)
answer = talk.getresponse()
print(answer.read().decode())
sys.exit(answer.status != 200)
"""


def address(number: int) -> str:
    return f"{harness.lab().prefix}.{number}"


def members(hosts: dict[str, int]) -> list[dict[str, str]]:
    return [{"name": name, "address": address(number)} for name, number in hosts.items()]


def inventory(folder: Path, hosts: dict[str, int], group: str, catalog: dict[str, Any]) -> Path:
    """Write an inventory of some lab hosts that carry the service of `catalog`."""
    shutil.copytree(harness.ROOT / "inventories" / "lab", folder)
    (folder / CATALOG).write_text(yaml.safe_dump({"service_catalog": catalog}))
    named = {name: {"lab_address": number} for name, number in hosts.items()}
    groups = {"lab": {"children": {"members": {"hosts": named}}}, group: {"children": {"members": {}}}}
    (folder / "hosts.yml").write_text(yaml.safe_dump({"all": {"children": groups}}))
    return folder


@dataclass
class Sites:
    """The inventories of both sites, and the hosts of both by name."""

    a: Path
    b: Path
    hosts: dict[str, Any]

    def change(self, **entry: Any) -> None:
        """Replace keys of the other site's entry; None removes one."""
        path = self.b / CATALOG
        catalog = yaml.safe_load(path.read_text())
        catalog["service_catalog"][SITE].update(entry)
        catalog["service_catalog"][SITE] = {k: v for k, v in catalog["service_catalog"][SITE].items() if v is not None}
        path.write_text(yaml.safe_dump(catalog))

    def status(self) -> dict[str, Any]:
        """Return `holdfast status --json` of the other site."""
        done = harness.holdfast("-i", str(self.b), "status", "--json")
        return json.loads(done.stdout)["services"][0]

    def sql(self, name: str, statement: str) -> str:
        """Ask a member's server as its superuser."""
        return self.hosts[name].check_output("cd / && sudo -u postgres psql -XAtd orders -c %s", statement)

    def api(self, name: str, path: str, method: str = "GET", body: Any = None) -> Any:
        """Ask a member's REST API."""
        text = "" if body is None else json.dumps(body)
        said = self.hosts[name].check_output(
            "python3 -c %s %s %s %s %s", ASK, address(self.number(name)), method, path, text
        )
        return json.loads(said) if said.startswith(("{", "[")) else said

    def number(self, name: str) -> int:
        """Return the last part of a member's address."""
        return {**HERE, **THERE}[name]


def good(done: harness.Playbook) -> harness.Playbook:
    assert done.code == 0, done.said
    return done


def prepare(*inventories: Path) -> None:
    """Prepare the hosts of several inventories at the same time; most of it is waiting for packages."""
    argv = [harness.playbook_argv("site.yml", "--tags", "hosts", inventory=folder) for folder in inventories]
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    running = [subprocess.Popen(words, cwd=harness.ROOT, env=harness.environment(), **quiet) for words in argv]
    for process in running:
        said, _none = process.communicate(timeout=600)
        assert process.returncode == 0, said[-3000:]


@pytest.fixture(scope="session")
def sites(request, tmp_path_factory):
    """Boot the other site, converge both, and take the other one away again at the end."""
    base = tmp_path_factory.mktemp("sites")
    lab = harness.lab()
    both = inventory(base / "both", {**HERE, **THERE}, "orders_db", {})
    here = yaml.safe_load((harness.ROOT / "inventories" / "lab" / CATALOG).read_text())["service_catalog"][SOURCE]
    there = copy.deepcopy(here)
    here["standby_sites"] = [
        {"service": SITE, "members": members(THERE), "authority_file": f"{lab.state_dir}/b/pki/ca.crt"}
    ]
    there["members_group"] = "orders_db_b"
    there["standby_of"] = {
        "service": SOURCE,
        "members": members(HERE),
        "authority_file": f"{lab.state_dir}/pki/ca.crt",
    }
    a = inventory(base / "a", HERE, "orders_db", {SOURCE: here})
    b = inventory(base / "b", THERE, "orders_db_b", {SITE: there})
    own = b / "group_vars/all/lab.yml"
    text = own.read_text().replace('"{{ lab.state_dir }}"', '"{{ lab.state_dir }}/b"')
    own.write_text(text.replace("{{ lab.state_dir }}/secrets.yml", "{{ lab.state_dir }}/b/secrets.yml"))
    try:
        good(harness.run_playbook("create_lab.yml", inventory=both))
        # Each site's authority must be there before the other can trust it.
        prepare(a, b)
        good(harness.run_playbook("site.yml", "--tags", "etcd,postgres", inventory=a))
        good(harness.run_playbook("site.yml", "--tags", "etcd,postgres", inventory=b))
        config = request.config.option.ssh_config
        hosts = {name: testinfra.get_host(f"ssh://{name}", ssh_config=config, sudo=True) for name in {**HERE, **THERE}}
        yield Sites(a, b, hosts)
    finally:
        for name in THERE:
            Machine(lab, name).remove()
        shutil.rmtree(f"{lab.state_dir}/b", ignore_errors=True)
        good(harness.run_playbook("create_lab.yml"))
