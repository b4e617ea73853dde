# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Any catalog is resolved or refused with reasons, never a traceback; what is resolved keeps its invariants."""

from __future__ import annotations

import copy
import datetime
import json
from typing import Any

from ansible_collections.holdfast.stateful.plugins.module_utils.contract import Catalog, Host, refusal, resolve_catalog
from ansible_collections.holdfast.stateful.plugins.module_utils.contract_data import SERIES
from ansible_collections.holdfast.stateful.plugins.module_utils.contract_placement import claims_on, place
from ansible_collections.holdfast.stateful.plugins.module_utils.contract_schema import entry_spec, validate_entry
from ansible_collections.holdfast.stateful.plugins.module_utils.contract_types import Placed, printable
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

TODAY = datetime.date(2026, 11, 23)
SLOW = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(min_value=10**400, max_value=10**401),
    st.floats(),
    st.text(st.characters(), max_size=20),
    st.dates(),
    st.datetimes(),
    st.binary(max_size=4),
    st.sampled_from(["postgres", "redis", "durable", "gold", "Sun 02:00-05:00 UTC", "0.0.0.0/0", "17", "latest"]),
)
KEYS = sorted(entry_spec())
keys = st.one_of(st.sampled_from(KEYS), st.text(max_size=5), st.integers(), st.none(), st.booleans())
anything = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(keys, inner, max_size=6)),
    max_leaves=20,
)


@st.composite
def groups(draw: st.DrawFn) -> dict[str, list[Host]]:
    """Return an inventory whose groups may overlap, be empty, even, poor or unasked."""
    memory = st.one_of(st.none(), st.integers(min_value=0, max_value=1 << 20))
    pool = [Host(f"h{n}", f"10.0.0.{n}", draw(memory)) for n in range(1, 8)]
    return {
        name: pool[draw(st.integers(0, 3)) :][: draw(st.sampled_from([0, 1, 2, 3, 3, 3, 4, 5, 5, 7]))]
        for name in ("g1", "g2", "g3", "etcd")
    }


@st.composite
def near_valid(draw: st.DrawFn) -> dict[str, Any]:
    """Return an entry whose types are right and whose values may contradict each other."""
    engine = draw(st.sampled_from(["postgres", "redis", "rabbitmq"]))
    classes = st.sampled_from(["cacheable", "replayable", "durable", "durable", *["retained"] * (engine == "postgres")])
    data = [
        {"name": f"d{n}", "class": kind, **({"retention_days": 30} if kind == "retained" else {})}
        for n, kind in enumerate(draw(st.lists(classes, min_size=1, max_size=2)))
    ]
    entry: dict[str, Any] = {
        "engine": engine,
        "version": {"series": draw(st.sampled_from([name for name, origin in SERIES[engine].items() if origin]))},
        "environment": draw(st.sampled_from(["production", "staging", "lab"])),
        "owner": draw(st.sampled_from(["team"] * 9 + ["tbd"])),
        "escalation": "pager:x",
        "members_group": draw(st.sampled_from(["g1", "g2", "g3"])),
        "data": data,
        "budget": {
            "rpo_seconds": draw(st.sampled_from([3, 10, 25, 600] if engine == "redis" else [0, 0, 3, 25])),
            "rto_seconds": draw(st.one_of(st.integers(21, 200), st.integers(5, 200))),
            "planned_outage_ms": draw(st.sampled_from([2000, 3000, 5000, 5000, 900])),
        },
        "backup_class": draw(st.sampled_from(["silver", "gold", "gold", "gold", "bronze", "none"])),
        "change_window": "daily 01:00-02:00 UTC",
        "clients": ["10.0.0.0/8"],
    }
    if draw(st.integers(0, 5)) == 0:
        entry["port"] = draw(st.integers(1, 65535))
    if engine == "postgres" and draw(st.booleans()):
        entry["dcs"] = {"members_group": "etcd"}
    if engine == "redis" and draw(st.booleans()):
        entry["maxmemory_mb"] = draw(st.integers(1, 20000))
    return entry


def places(node: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path] if path else []
    pairs = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in pairs:
        found += places(value, (*path, key))
    return found


@st.composite
def mutated(draw: st.DrawFn) -> dict[str, Any]:
    """Return a near-valid entry with some values replaced, removed or added."""
    entry = copy.deepcopy(draw(near_valid()))
    for _change in range(draw(st.integers(0, 3))):
        options = places(entry)
        if not options:
            break
        path = draw(st.sampled_from(options))
        node: Any = entry
        for key in path[:-1]:
            node = node[key]
        action = draw(st.sampled_from(["replace", "remove", "add"]))
        if action == "replace":
            node[path[-1]] = draw(anything)
        elif action == "remove":
            del node[path[-1]]
        elif isinstance(node, dict):
            node[draw(keys)] = draw(anything)
    return entry


def check_refusal(found: Catalog) -> None:
    for item in found.violations:
        assert item.path
        assert item.wrong
        assert item.why
        assert item.nearest
        assert len(item.wrong) < 3000
    if found.violations:
        "\n".join(printable(line) for line in refusal(found.violations).split("\n")).encode("utf-8")


def check_invariants(found: Catalog, catalog: dict[Any, Any], inventory: dict[str, list[Host]]) -> None:
    placed: list[Placed] = []
    for service in found.contracts:
        entry, _problems = validate_entry(service, catalog[service])
        assert entry is not None
        placed.append(place(entry, inventory))
    for here in placed:
        contract = found.contracts[here.entry.service].to_dict()
        json.dumps(contract)
        voters = here.dcs if here.entry.engine == "postgres" else here.members
        assert len(voters) >= 3
        assert len(voters) % 2 == 1
        ports = [point["port"] for point in contract["endpoints"]]
        assert len(ports) == len(set(ports))
        if here.entry.engine == "postgres":
            patroni = contract["settings"]["patroni"]
            assert patroni["loop_wait"] + 2 * patroni["retry_timeout"] <= patroni["ttl"]
            assert patroni["ttl"] < contract["budget"]["rto_seconds"]
            if contract["budget"]["rpo_seconds"] == 0:
                assert patroni["synchronous_mode_strict"] is True
                assert len(here.members) >= 3
        if here.entry.engine == "redis":
            config = contract["settings"]["config"]
            if here.entry.keeps_only_copy:
                assert config["maxmemory-policy"] == "noeviction"
                assert config["appendonly"] == "yes"
                assert 0 < config["min-replicas-to-write"] < len(here.members)
            if config["appendonly"] == "no":
                assert contract["settings"]["auto_restart"] is False
        for host in here.hosts:
            if host.memory_mb is not None:
                assert sum(claims_on(host, placed).values()) <= host.memory_mb


@SLOW
@given(
    catalog=st.one_of(anything, st.dictionaries(st.one_of(st.just("orders-db"), keys), anything, max_size=3)),
    inventory=groups(),
)
def test_any_value_is_refused_with_reasons(catalog: Any, inventory: dict[str, list[Host]]) -> None:
    found = resolve_catalog(catalog, inventory, today=TODAY)
    assert found.violations
    check_refusal(found)


@SLOW
@given(entries=st.lists(mutated(), min_size=1, max_size=3), inventory=groups(), facts=st.booleans())
def test_damaged_entries_are_resolved_or_refused(
    entries: list[Any], inventory: dict[str, list[Host]], facts: bool
) -> None:
    catalog: dict[Any, Any] = {f"service-{n}": entry for n, entry in enumerate(entries)}
    found = resolve_catalog(catalog, inventory, require_facts=facts, today=TODAY)
    check_refusal(found)
    if not found.violations:
        assert set(found.contracts) == set(catalog)
        check_invariants(found, catalog, inventory)


@SLOW
@given(entries=st.lists(near_valid(), min_size=1, max_size=3), memory=st.integers(600, 40000))
def test_resolved_contracts_keep_the_invariants(entries: list[Any], memory: int) -> None:
    shared = [Host(f"h{n}", f"10.0.0.{n}", memory) for n in (1, 2, 3)]
    five = [Host(f"f{n}", f"10.0.1.{n}", memory) for n in (1, 2, 3, 4, 5)]
    inventory = {
        "g1": shared,
        "g2": shared,
        "g3": five,
        "etcd": [Host(f"e{n}", f"10.0.2.{n}", memory) for n in (1, 2, 3)],
    }
    catalog: dict[Any, Any] = {f"service-{n}": entry for n, entry in enumerate(entries)}
    found = resolve_catalog(catalog, inventory, today=TODAY)
    check_refusal(found)
    if not found.violations:
        check_invariants(found, catalog, inventory)
