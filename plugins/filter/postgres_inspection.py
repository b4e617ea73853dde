# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter that puts the inspections of all members of a PostgreSQL service together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.holdfast.stateful.plugins.module_utils.postgres_findings import unused


def postgres_inspection(contracts: Mapping[str, Mapping[str, Any]], answers: Mapping[str, Any]) -> dict[str, Any]:
    """Return the findings of all postgres services, from the result of `postgres_inspect_info` by host.

    A member without a result is unobserved, and without all members nothing is said about unused indexes.
    """
    findings: list[dict[str, str]] = []
    unobserved: list[str] = []
    for service, contract in sorted(contracts.items()):
        if contract["engine"] != "postgres":
            continue
        names = [str(member["name"]) for member in contract["members"]]
        there = {name: answers[name] for name in names if "cluster" in (answers.get(name) or {})}
        unobserved += [f"{service}: {name}: no answer" for name in names if name not in there]
        for name, seen in there.items():
            findings += [{**item, "service": service, "member": name} for item in seen["findings"]]
            unobserved += [f"{service}: {name}: {what}" for what in seen["unobserved"]]
        if len(there) == len(names):
            found = unused(list(there.values()), there[names[0]]["thresholds"])
            findings += [{**item, "service": service, "member": "all members"} for item in found]
    return {"findings": findings, "unobserved": unobserved}


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return {"postgres_inspection": postgres_inspection}
