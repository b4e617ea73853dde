# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

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
    expected = task["holdfast.stateful.host_state"]["expect"]
    if role == "postgres":
        assert expected == "{{ __postgres_identity }}"
        expected = yaml.safe_load((folder / "vars" / "main.yml").read_text())["__postgres_identity"]
    path = "/" + template.removesuffix(".j2")
    assert expected == [{"path": path, "line": line.replace("scope |", "__postgres_settings.scope |")}]
    *_before, last = yaml.safe_load((folder / "tasks" / "retire.yml").read_text())
    assert path in last["holdfast.stateful.host_state"]["absent"]
