"""Three members and a fourth host in one lab, with an inventory that says who is a member."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import harness
import pytest
import yaml
from ansible_collections.holdfast.stateful.plugins.module_utils.lab.machine import Machine
from postgres_members import MEMBERS, SERVICE, on

CATALOG = "group_vars/all/service_catalog.yml"
SPARE = "lab4"
PKI = "/etc/holdfast/pki"
ASK = f"""python3 - <<'END'
import http.client, ssl
context = ssl.create_default_context(cafile="{PKI}/ca.crt")
context.load_cert_chain("{PKI}/host.crt", "{PKI}/host.key")
talk = http.client.HTTPSConnection(%r, 8008, context=context, timeout=60)
talk.request(%r, %r, body=%r)
print(talk.getresponse().read().decode())
END
"""


@dataclass
class Cluster:
    """The service by an inventory of its own."""

    folder: Path

    def declare(self, *names: str) -> None:
        """Write who is a member; the others are hosts of the inventory, outside the group."""
        hosts = {name: {"lab_address": 10 + int(name.removeprefix("lab"))} for name in (*MEMBERS, SPARE)}
        groups = {
            "lab": {"children": {"members": {"hosts": hosts}}},
            "orders_db": {"hosts": dict.fromkeys(names)},
        }
        (self.folder / "hosts.yml").write_text(yaml.safe_dump({"all": {"children": groups}}))

    def run(self, playbook: str, *words: str) -> harness.Playbook:
        """Run a playbook for the service."""
        return harness.run_playbook(playbook, "-e", f"holdfast_service={SERVICE}", *words, inventory=self.folder)

    def site(self) -> harness.Playbook:
        """Run what the service needs of site.yml."""
        return harness.run_playbook("site.yml", "--tags", "hosts,etcd,postgres", inventory=self.folder)

    def healthy(self) -> dict[str, Any]:
        """Wait until every declared member is healthy and return the status."""

        def seen() -> dict[str, Any] | None:
            done = harness.holdfast("-i", str(self.folder), "status", SERVICE, "--json")
            found = json.loads(done.stdout)["services"][0]
            return found if found["healthy"] else None

        return harness.wait_for(f"{SERVICE} healthy", seen, 120)

    def api(self, name: str, path: str, method: str = "GET", body: Any = None) -> Any:
        """Ask a member's REST API from the member itself."""
        address = f"{harness.lab().prefix}.{10 + int(name.removeprefix('lab'))}"
        said = on(name, ASK % (address, method, path, None if body is None else json.dumps(body)))
        return json.loads(said) if said.startswith("{") else said

    def roles(self, name: str) -> dict[str, str]:
        """Return the role of each member, as one of them sees it."""
        return {item["name"]: item["role"] for item in self.api(name, "/cluster")["members"]}


@pytest.fixture(scope="session")
def cluster(tmp_path_factory):
    """Boot the fourth host, converge the three members, and take the fourth away again at the end."""
    folder = tmp_path_factory.mktemp("members") / "inventory"
    shutil.copytree(harness.ROOT / "inventories" / "lab", folder)
    catalog = yaml.safe_load((folder / CATALOG).read_text())["service_catalog"]
    (folder / CATALOG).write_text(yaml.safe_dump({"service_catalog": {SERVICE: catalog[SERVICE]}}))
    made = Cluster(folder)
    made.declare(*MEMBERS)
    try:
        created = harness.run_playbook("create_lab.yml", inventory=folder)
        assert created.code == 0, created.said
        converged = made.site()
        assert converged.code == 0, converged.said
        yield made
    finally:
        Machine(harness.lab(), SPARE).remove()
        back = harness.run_playbook("create_lab.yml")
        assert back.code == 0, back.said
