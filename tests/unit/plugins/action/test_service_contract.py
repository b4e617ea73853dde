# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action plugin resolves templates and hosts, and turns every bad input into one refusal."""

from __future__ import annotations

import copy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template
from ansible_collections.holdfast.stateful.plugins.action.service_contract import ActionModule, plain

ROOT = Path(__file__).resolve().parents[4]
LAB = yaml.safe_load((ROOT / "inventories/lab/group_vars/all/service_catalog.yml").read_text(encoding="utf-8"))


def trusted(node: Any) -> Any:
    """Return the structure with every text marked as a template, as Ansible does for inventory files."""
    if isinstance(node, dict):
        return {key: trusted(value) for key, value in node.items()}
    if isinstance(node, list):
        return [trusted(item) for item in node]
    return trust_as_template(node) if isinstance(node, str) else node


def task_vars(**more: Any) -> dict[str, Any]:
    names = ["lab1", "lab2", "lab3"]
    hostvars: dict[str, Any] = {
        name: {"ansible_host": f"10.99.0.1{at}", "ansible_facts": {"memtotal_mb": 2048}}
        for at, name in enumerate(names)
    }
    return {
        "groups": {"all": [*names, "broken"], "orders_db": names, "sessions": names, "events": names},
        "hostvars": hostvars,
        "lab_network": "10.99.0.0/24",
        "service_catalog": trusted(copy.deepcopy(LAB["service_catalog"])),
        **more,
    }


def run(variables: dict[str, Any], **args: Any) -> dict[str, Any]:
    task = SimpleNamespace(
        args=args, async_val=0, check_mode=False, diff=False, environment=None, action="service_contract"
    )
    templar = Templar(loader=DataLoader(), variables=variables)
    plugin = ActionModule(
        task, SimpleNamespace(_shell=SimpleNamespace(tmpdir="/nowhere")), SimpleNamespace(), DataLoader(), templar, None
    )
    result: dict[str, Any] = plugin.run(task_vars=variables)
    return result


def test_the_lab_catalog_is_resolved_with_its_templates() -> None:
    result = run(task_vars())
    assert not result.get("failed"), result.get("msg")
    assert set(result["contracts"]) == {"orders-db", "sessions", "events"}
    assert result["contracts"]["sessions"]["clients"] == ["10.99.0.0/24"]
    assert result["contracts"]["sessions"]["members"][0] == {"name": "lab1", "address": "10.99.0.10"}
    assert result["changed"] is False


def test_one_service_is_returned_when_it_is_asked_for() -> None:
    assert set(run(task_vars(), service_id="events")["contracts"]) == {"events"}


def test_addresses_and_memory_come_from_the_first_variable_that_is_set() -> None:
    variables = task_vars(private="172.16.0.1")
    variables["hostvars"]["lab1"] |= {
        "host_baseline_address": trust_as_template("{{ private }}"),
        "host_baseline_memory_mb": 900,
    }
    del variables["hostvars"]["lab2"]["ansible_host"]
    result = run(variables)
    assert result["refusal"] == "input"
    assert {item["rule"] for item in result["violations"]} == {"memory-too-small", "address-not-ipv4"}
    (named,) = [item["wrong"] for item in result["violations"] if item["rule"] == "address-not-ipv4"]
    assert "lab2 has address 'lab2'" in named
    variables["hostvars"]["lab1"]["host_baseline_memory_mb"] = "2048"
    variables["hostvars"]["lab2"]["ansible_host"] = "10.99.0.11"
    members = run(variables)["contracts"]["events"]["members"]
    assert [member["address"] for member in members] == ["172.16.0.1", "10.99.0.11", "10.99.0.12"]


def test_missing_facts_are_refused_only_where_they_are_required() -> None:
    variables = task_vars()
    for host in variables["hostvars"].values():
        del host["ansible_facts"]
    assert not run(variables).get("failed")
    result = run(variables, require_facts=True)
    assert [item["rule"] for item in result["violations"]] == ["memory-unknown"] * 3


@pytest.mark.parametrize(
    ("path", "value", "rule"),
    [
        (["sessions", "data", 0, "clas"], "durable", "schema-unknown-key"),
        (["sessions", "owner"], None, "schema-type"),
        (["sessions", "budget"], [], "schema-type"),
        (["sessions", "budget", "rpo_seconds"], float("nan"), "schema-type"),
        (["sessions", "budget", "rpo_seconds"], 10**5000, "schema-type"),
        (["sessions", "clients", 0], "{{ no_such_variable }}", "schema-template"),
        (["sessions", "owner"], "{{ 1 / 0 }}", "schema-template"),
        (["sessions", "owner"], "{{ broken", "schema-template"),
        (["sessions", "owner"], "\ud800", "schema-text"),
        (["sessions", "members_group"], "nowhere", "group-missing"),
        (["sessions", "budget", "rpo_seconds"], 0, "redis-rpo-zero"),
        (["Bad Id"], {}, "schema-service-id"),
    ],
    ids=lambda value: value if isinstance(value, str) and value.startswith(("schema", "group", "redis")) else "",
)
def test_bad_input_is_one_refusal(path: list[Any], value: Any, rule: str) -> None:
    variables = task_vars()
    node = variables["service_catalog"]
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = trusted(value)
    result = run(variables)
    assert result["failed"] is True
    assert result["refusal"] == "input"
    assert rule in [item["rule"] for item in result["violations"]]
    result["msg"].encode("utf-8")
    assert "nothing was changed" in result["msg"]


@pytest.mark.parametrize("catalog", [None, [], {}, "text", 7, [[]]])
def test_a_catalog_that_is_none_is_one_refusal(catalog: Any) -> None:
    for result in (run(task_vars(service_catalog=catalog)), run(task_vars(), catalog=catalog)):
        assert result["refusal"] == "input"
        assert [item["rule"] for item in result["violations"]] == ["schema-catalog"]


def test_a_catalog_that_contains_itself_is_one_refusal() -> None:
    variables = task_vars()
    variables["service_catalog"] = {"sessions": trust_as_template("{{ service_catalog }}")}
    assert run(variables)["refusal"] == "input"
    loop: dict[str, Any] = {}
    loop["a"] = loop
    assert run(task_vars(), catalog=loop)["refusal"] == "input"


def test_a_bad_host_variable_names_the_host() -> None:
    variables = task_vars()
    variables["hostvars"]["lab1"]["ansible_host"] = trust_as_template("{{ gone }}")
    variables["hostvars"]["lab2"]["host_baseline_memory_mb"] = "lots"
    paths = {item["path"] for item in run(variables)["violations"]}
    assert {"hostvars.lab1", "hostvars.lab2.host_baseline_memory_mb"} <= paths


def test_an_unknown_service_is_answered_with_the_nearest() -> None:
    result = run(task_vars(), service_id="event")
    assert result["violations"][0]["rule"] == "schema-service-unknown"
    assert "events" in result["violations"][0]["nearest"]


def test_only_the_first_host_of_a_play_gets_the_long_message() -> None:
    variables = task_vars(ansible_play_batch=["lab1", "lab2"], inventory_hostname="lab2", service_catalog={})
    assert "reasons given for lab1" in run(variables)["msg"]
    variables["inventory_hostname"] = "lab1"
    assert "schema-catalog" in run(variables)["msg"]


def test_plain_refuses_endless_nesting() -> None:
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(ValueError, match="nested"):
        plain(loop)
