# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a YAML file can hold is either a typed entry or refused with the path of the key."""

from __future__ import annotations

import copy
import datetime
from typing import Any

import pytest
import yaml
from ansible_collections.holdfast.stateful.plugins.module_utils.contract import resolve_catalog
from ansible_collections.holdfast.stateful.plugins.module_utils.contract_data import BOUNDS, DEFAULT_PORTS, ENGINES
from ansible_collections.holdfast.stateful.plugins.module_utils.contract_schema import entry_spec, validate_entry
from ansible_collections.holdfast.stateful.plugins.module_utils.contract_types import printable, show

VALID: dict[str, Any] = yaml.safe_load("""
engine: postgres
version: {series: "17"}
environment: lab
owner: team
escalation: pager:team
members_group: db
data: [{name: orders, class: durable}, {name: ledger, class: retained, retention_days: 30}]
budget: {rpo_seconds: 0, rto_seconds: 30, planned_outage_ms: 1000}
backup_class: gold
""")


def patched(path: list[Any], value: Any) -> dict[str, Any]:
    entry = copy.deepcopy(VALID)
    node: Any = entry
    for part in path[:-1]:
        node = node.setdefault(part, {}) if isinstance(node, dict) else node[part]
    node[path[-1]] = value
    return entry


def test_a_valid_entry_is_typed_and_has_its_defaults() -> None:
    entry, problems = validate_entry("orders-db", VALID)
    assert problems == []
    assert entry is not None
    assert (entry.port, entry.database, entry.app_user, entry.vhost) == (
        5432,
        "orders_db",
        "orders_db_app",
        "orders-db",
    )
    assert entry.version.target == "latest"
    assert entry.dcs_group == "db"
    assert (entry.dcs_client_port, entry.dcs_peer_port) == (2379, 2380)
    assert entry.ports == {
        "restapi": 8008,
        "pooler": 6432,
        "read_write": 5000,
        "read_only": 5001,
        "synchronous": 5002,
    }
    assert entry.session_access is False


HUGE = 10**5000
LOOP: list[Any] = []
LOOP.append(LOOP)
BAD: list[tuple[list[Any], Any, str, str]] = [
    (["ownr"], "x", "schema-unknown-key", "ownr"),
    ([1], "x", "schema-unknown-key", "<1>"),
    ([None], "x", "schema-unknown-key", "<no value>"),
    ([("a", "b")], "x", "schema-unknown-key", "<a list of 2 items>"),
    (["data", 1, "clas"], "x", "schema-unknown-key", "data[1].clas"),
    (["budget", "rto"], 3, "schema-unknown-key", "budget.rto"),
    (["owner"], None, "schema-type", "owner"),
    (["owner"], ["a"], "schema-type", "owner"),
    (["owner"], {"a": 1}, "schema-type", "owner"),
    (["owner"], True, "schema-type", "owner"),
    (["owner"], "   ", "schema-text", "owner"),
    (["owner"], "a\nb", "schema-text", "owner"),
    (["owner"], "\ud800", "schema-text", "owner"),
    (["owner"], "a\u202eb", "schema-text", "owner"),
    (["owner"], "x" * 201, "schema-text", "owner"),
    (["owner"], "{{ owner }}", "schema-text", "owner"),
    (["owner"], HUGE, "schema-type", "owner"),
    (["version", "series"], 4.10, "schema-type", "version.series"),
    (["version"], "17", "schema-type", "version"),
    (["version"], [], "schema-type", "version"),
    (["version", "allow_major"], "maybe", "schema-type", "version.allow_major"),
    (["version", "allow_major"], 1, "schema-type", "version.allow_major"),
    (["engine"], "postgresql", "schema-choice", "engine"),
    (["engine"], ["postgres"], "schema-type", "engine"),
    (["data"], "orders", "schema-type", "data"),
    (["data"], {"orders": "durable"}, "schema-type", "data"),
    (["data"], [[]], "schema-type", "data[0]"),
    (["data"], [None], "schema-type", "data[0]"),
    (["data"], LOOP, "schema-type", "data[0]"),
    (["data"], [{}] * 501, "schema-bounds", "data"),
    (["data", 0, "class"], "durabel", "schema-choice", "data[0].class"),
    (["data", 0, "retention_days"], 0, "schema-bounds", "data[0].retention_days"),
    (["budget", "rto_seconds"], "30s", "schema-type", "budget.rto_seconds"),
    (["budget", "rto_seconds"], 1.5, "schema-type", "budget.rto_seconds"),
    (["budget", "rto_seconds"], float("nan"), "schema-type", "budget.rto_seconds"),
    (["budget", "rto_seconds"], float("inf"), "schema-type", "budget.rto_seconds"),
    (["budget", "rto_seconds"], True, "schema-type", "budget.rto_seconds"),
    (["budget", "rto_seconds"], -1, "schema-bounds", "budget.rto_seconds"),
    (["budget", "rto_seconds"], HUGE, "schema-type", "budget.rto_seconds"),
    (["budget", "rto_seconds"], "٣", "schema-type", "budget.rto_seconds"),
    (["budget", "rto_seconds"], datetime.date(2026, 1, 1), "schema-type", "budget.rto_seconds"),
    (["owner"], datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC), "schema-type", "owner"),
    (["owner"], b"bytes", "schema-type", "owner"),
    (["owner"], {"a", "b"}, "schema-type", "owner"),
    (["port"], 70000, "schema-bounds", "port"),
    (["ports", "restapi"], 0, "schema-bounds", "ports.restapi"),
    (["clients"], "10.0.0.0/8", "schema-type", "clients"),
    (["clients"], [7.5], "schema-type", "clients[0]"),
    (["persistence"], False, "schema-type", "persistence"),
    (["accepted_risks"], [{"rule": "x"}], "schema-required", "accepted_risks[0].reason"),
]


@pytest.mark.parametrize(("path", "value", "rule", "key"), BAD, ids=lambda value: show(value)[:40])
def test_bad_input_is_refused_with_the_path_of_the_key(path: list[Any], value: Any, rule: str, key: str) -> None:
    entry, problems = validate_entry("orders-db", patched(path, value))
    assert entry is None
    assert (f"service_catalog.orders-db.{key}", rule) in [(item.path, item.rule) for item in problems]
    for item in problems:
        assert item.wrong
        assert item.why
        assert item.nearest
        printable(item.text()).encode("utf-8")


def test_a_misspelt_key_is_answered_with_the_right_one() -> None:
    _entry, problems = validate_entry("orders-db", patched(["data", 1, "clas"], "durable"))
    assert problems[0].nearest == "did you mean 'class'?" or "one of" in problems[0].nearest
    _entry, problems = validate_entry("orders-db", patched(["bugdet"], {}))
    _entry, problems = validate_entry("orders-db", patched(["tuning_profil"], "oltp"))
    assert problems[0].nearest == "did you mean 'tuning_profile'?"


@pytest.mark.parametrize(
    "key", ["engine", "version", "environment", "owner", "escalation", "members_group", "data", "budget"]
)
def test_a_missing_key_is_named(key: str) -> None:
    entry = copy.deepcopy(VALID)
    del entry[key]
    _entry, problems = validate_entry("orders-db", entry)
    assert [(item.path, item.rule) for item in problems] == [(f"service_catalog.orders-db.{key}", "schema-required")]


@pytest.mark.parametrize("raw", [None, [], "x", 5, float("nan"), True, datetime.date(2026, 1, 1), b"x"], ids=show)
def test_an_entry_that_is_no_dictionary_is_refused(raw: Any) -> None:
    _entry, problems = validate_entry("orders-db", raw)
    assert [item.rule for item in problems] == ["schema-type"]


@pytest.mark.parametrize("catalog", [None, [], {}, "x", 5, float("inf")], ids=show)
def test_a_catalog_that_is_no_catalog_is_refused(catalog: Any) -> None:
    assert [item.rule for item in resolve_catalog(catalog, {}).violations] == ["schema-catalog"]


@pytest.mark.parametrize(
    "service",
    [
        "",
        "a",
        "A",
        "orders_db",
        "-x",
        "x-",
        "x" * 41,
        "../x",
        "a b",
        "ä-b",
        "x\ny",
        "\ud800x",
        5,
        None,
        True,
        1.5,
        (1, 2),
        HUGE,
    ],
    ids=show,
)
def test_a_service_id_with_other_characters_is_refused(service: Any) -> None:
    found = resolve_catalog({service: VALID}, {})
    assert [item.rule for item in found.violations] == ["schema-service-id"]
    printable(found.violations[0].text()).encode("utf-8")


def test_strings_of_digits_count_as_numbers_and_dates_as_text_where_a_date_is_meant() -> None:
    entry, problems = validate_entry("orders-db", patched(["budget", "rto_seconds"], "45"))
    assert problems == []
    assert entry is not None
    assert entry.budget.rto_seconds == 45
    risk = {"rule": "x", "reason": "y", "approved_by": "z", "expires": datetime.date(2027, 1, 31)}
    entry, problems = validate_entry("orders-db", patched(["accepted_risks"], [risk]))
    assert problems == []
    assert entry is not None
    assert entry.accepted_risks[0].expires == "2027-01-31"


def test_the_schema_and_the_tables_beside_it_agree() -> None:
    spec = entry_spec()
    assert tuple(spec["engine"]["choices"]) == ENGINES
    assert set(spec["ports"]["options"]) == {name for ports in DEFAULT_PORTS.values() for name in ports}

    def numbers(options: Any, prefix: str = "") -> set[str]:
        found: set[str] = set()
        for name, option in options.items():
            found |= {prefix + name} if option["type"] == "int" else set()
            found |= numbers(option.get("options", {}), f"{prefix}{name}.")
        return found

    assert numbers(spec) == set(BOUNDS)
