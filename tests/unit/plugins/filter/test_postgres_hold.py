"""Who led last is decided from every declared member's report, and from nothing where one is missing."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.holdfast.stateful.plugins.filter.postgres_hold import FilterModule

LAST = FilterModule().filters()["postgres_last_leader"]
MEMBERS = [{"name": "a", "address": "192.0.2.1"}, {"name": "b", "address": "192.0.2.2"}]


def seen(leads: bool) -> dict[str, Any]:
    report = {"leads": leads, "takes_writes": leads, "hold": "", "runs": True, "timeline": 1, "position": 1}
    return {"x": {"changed": False, "report": report}}


def test_the_one_that_leads_is_found() -> None:
    assert LAST({"a": seen(False), "b": seen(True)}, MEMBERS, "x", "", False) == {"leader": "b", "blocker": ""}


@pytest.mark.parametrize("other", [None, {}, {"x": {"failed": True}}, {"x": {"report": {}}}, {"x": "text"}])
def test_a_member_that_did_not_report_stops(other: dict[str, Any] | None) -> None:
    hosts = {"b": seen(True), **({} if other is None else {"a": other})}
    found = LAST(hosts, MEMBERS, "x", "", False)
    assert found["leader"] is None
    assert found["blocker"].startswith("a: expected every member's own word")
