# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from pathlib import Path

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
