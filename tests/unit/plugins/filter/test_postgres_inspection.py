# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

from ansible_collections.holdfast.stateful.plugins.filter.postgres_inspection import postgres_inspection
from ansible_collections.holdfast.stateful.plugins.module_utils.postgres_findings import THRESHOLDS

CONTRACTS = {
    "db": {"engine": "postgres", "members": [{"name": "a"}, {"name": "b"}]},
    "cache": {"engine": "redis", "members": [{"name": "c"}]},
}


def answer(*findings: str, unobserved: tuple[str, ...] = ()) -> dict[str, Any]:
    row = {"schema": "public", "table": "t", "index": "i", "bytes": 2**30}
    seen = {"statistics": [{"seconds": 10**9}], "unused_indexes": [row]}
    return {
        "cluster": {},
        "databases": {"d": seen},
        "findings": [{"kind": kind} for kind in findings],
        "unobserved": list(unobserved),
        "thresholds": THRESHOLDS,
    }


def test_findings_carry_service_and_member() -> None:
    found = postgres_inspection(CONTRACTS, {"a": answer("slot"), "b": answer()})
    assert found["unobserved"] == []
    assert [(item["kind"], item["service"], item["member"]) for item in found["findings"]] == [
        ("slot", "db", "a"),
        ("unused_index", "db", "all members"),
    ]


def test_a_silent_member_is_unobserved_and_no_index_is_unused() -> None:
    for silent in ({}, {"b": {}}, {"b": {"failed": True, "msg": "x"}}, {"b": None}):
        found = postgres_inspection(CONTRACTS, {"a": answer(unobserved=("slots: timeout",)), **silent})
        assert found["unobserved"] == ["db: b: no answer", "db: a: slots: timeout"]
        assert found["findings"] == []
