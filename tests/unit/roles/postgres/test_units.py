# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from ansible_collections.holdfast.stateful.plugins.filter.contract import cluster_lines

MEMBERS = [{"name": "db1", "address": "10.0.0.1"}]
CONTRACTS = {
    "orders-db": {
        "engine": "postgres",
        "members": MEMBERS,
        "endpoints": [],
        "clients": [],
        "settings": {"scope": "orders-db", "etcd": {"members": MEMBERS}},
    }
}
ROLE = Path(__file__).parents[4] / "roles" / "postgres"


def test_what_was_not_looked_at_starts_at_no_boot() -> None:
    """Patroni is enabled by the tasks that start it, after the data directory was judged."""
    units = yaml.safe_load((ROLE / "vars" / "main.yml").read_text())["__postgres_units"]
    assert [unit["name"] for unit in units if unit.get("enabled")] == []
    for name in ("begin.yml", "follow.yml"):
        tasks = yaml.safe_load((ROLE / "tasks" / name).read_text())
        started = [unit for task in tasks for unit in task.get("holdfast.stateful.host_state", {}).get("units", [])]
        assert started == [{"name": "patroni.service", "enabled": True, "state": "started"}], name


def test_data_without_a_configuration_is_looked_at_first() -> None:
    (task,) = yaml.safe_load((ROLE / "tasks" / "converge.yml").read_text())
    claims = [item.get("claimed_by") for item in task["holdfast.stateful.host_state"]["directories"]]
    assert any(claim and "/etc/patroni/config.yml" in claim for claim in claims)


@pytest.mark.parametrize(
    ("role", "template", "line"),
    [
        ("postgres", "etc/patroni/config.yml.j2", "scope: {{ scope | to_json }}"),
        ("etcd", "etc/etcd/etcd.env.j2", "ETCD_DATA_DIR={{ __etcd_data_dir }}"),
    ],
)
def test_another_clusters_configuration_is_not_written_over(role: str, template: str, line: str) -> None:
    """The line that is expected is the line that is written; a retired host has none."""
    folder = ROLE.parent / role
    assert line in (folder / "templates" / template).read_text().splitlines()
    (task,) = yaml.safe_load((folder / "tasks" / "converge.yml").read_text())
    assert task["holdfast.stateful.host_state"]["expect"] == f"{{{{ __{role}_identity }}}}"
    variables = yaml.safe_load((folder / "vars" / "main.yml").read_text())
    path = "/" + template.removesuffix(".j2")
    assert "cluster_lines" in variables[f"__{role}_identity"]
    assert path in variables[f"__{role}_identity"]
    written = line.replace("{{ scope | to_json }}", '"orders-db"')
    if role == "etcd":
        written = written.replace("{{ __etcd_data_dir }}", variables["__etcd_data_dir"])
        written = written.replace("{{ __etcd_service }}", "orders-db")
    assert {"path": path, "line": written} in cluster_lines(CONTRACTS, "db1")
    *_before, last = yaml.safe_load((folder / "tasks" / "retire.yml").read_text())
    assert path in last["holdfast.stateful.host_state"]["absent"]
