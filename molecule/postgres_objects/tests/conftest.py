"""What the tests of declared objects share: sessions as any login, and playbooks with the scenario's catalog."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import harness
import psycopg
import pytest
import yaml

SERVICE = "orders-db"
READ_WRITE = 5000
HERE = Path(__file__).resolve().parents[1]
CATALOG = harness.ROOT / harness.INVENTORY / "group_vars/all/service_catalog.yml"


class Cluster:
    """The service as its clients and its operators reach it."""

    def __init__(self, folder: Path) -> None:
        """Read where it is and make a catalog that declares the scenario's objects."""
        self.target = harness.target(SERVICE)
        self.folder = folder
        self.objects = yaml.safe_load((HERE / "group_vars/objects.yml").read_text())["declared_objects"]
        self.passwords: dict[str, str] = {}
        lab = os.environ.get("HOLDFAST_LAB", "default")
        self.ssh_config = harness.ROOT / ".holdfast/lab" / lab / "ssh/config"

    def password(self, login: str) -> str:
        """Return a login's generated password, as an operator looks it up."""
        if login not in self.passwords:
            done = subprocess.run(
                [
                    str(harness.BIN / "ansible"), "-i", harness.INVENTORY, "localhost", "-m", "ansible.builtin.debug",
                    "-a", f"msg={{{{ lookup('holdfast.stateful.secret', '{SERVICE}/{login}') }}}}",
                ],
                cwd=harness.ROOT, env=harness.environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True,
                check=True,
            )  # fmt: skip
            self.passwords[login] = json.loads(done.stdout[done.stdout.index("{") :])["msg"]
        return self.passwords[login]

    def connect(self, user: str, database: str = "reporting", **more: Any) -> psycopg.Connection[Any]:
        """Open a session on the leader through HAProxy; with `pooler`, as a program that goes through the pool."""
        addresses = [host for host, _port in self.target.hosts]
        entry = {
            "host": ",".join(f"{SERVICE}-rw" for _address in addresses),
            "hostaddr": ",".join(addresses),
            "port": READ_WRITE,
        }
        if more.pop("pooler", False):
            entry = {"host": addresses[0], "port": self.target.hosts[0][1]}
        options: dict[str, Any] = {
            **entry,
            "dbname": database,
            "user": user,
            "password": more.get("password") or self.password("app" if user == self.target.user else user),
            "sslmode": "verify-full",
            "sslrootcert": self.target.ca_file,
            "target_session_attrs": "read-write",
            "connect_timeout": 3,
            "autocommit": True,
            **more,
        }
        return psycopg.connect(**options)

    def playbook(self, name: str, *extra: str, objects: dict[str, Any] | None = None) -> harness.Playbook:
        """Run a playbook with the lab's catalog and the scenario's objects in it."""
        catalog = yaml.safe_load(CATALOG.read_text())
        catalog["service_catalog"][SERVICE] |= {"objects": objects or self.objects, "session_access": True}
        path = self.folder / "catalog.json"
        path.write_text(json.dumps(catalog))
        return harness.run_playbook(name, "-e", f"@{path}", *extra)

    def site(self, *extra: str, objects: dict[str, Any] | None = None) -> harness.Playbook:
        """Run the part of site.yml that is about PostgreSQL."""
        return self.playbook("site.yml", "--tags", "postgres", *extra, objects=objects)

    def lab(self, host: str, *words: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run a command on a host, as root, over the lab's own SSH configuration."""
        return subprocess.run(
            ["ssh", "-F", str(self.ssh_config), host, "sudo", *words],
            input=text or "", capture_output=True, text=True, check=False,
        )  # fmt: skip

    def leader(self) -> str:
        """Return the name of the member that leads, as the service says."""
        with self.connect(self.target.user, self.target.database) as session:
            row = session.execute("SELECT host(inet_server_addr())").fetchone()
            assert row is not None
            address = row[0]
        done = self.lab("lab1", "getent", "hosts", address)
        return done.stdout.split()[1]

    def sql(self, statements: str, database: str = "postgres") -> str:
        """Run statements as the superuser on the leader, through its socket."""
        words = ("-u", "postgres", "psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-d", database)
        done = self.lab(self.leader(), *words, text=statements)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Cluster:
    """Return the service."""
    return Cluster(tmp_path_factory.mktemp("catalog"))
