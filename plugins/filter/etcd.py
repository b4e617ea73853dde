# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter that decides on the controller, from what all members reported, whether an etcd cluster may begin."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.holdfast.stateful.plugins.module_utils.etcd import plan_start


def etcd_start_plan(hostvars: Mapping[str, Any], members: list[dict[str, Any]], variable: str) -> dict[str, Any]:
    """Return `begin` (names of members that start as a part of a new cluster) and `blocker` (a sentence, or "").

    `hostvars` holds, under the name `variable`, what holdfast.stateful.etcd_cluster_info returned for each member.
    """
    observed: dict[str, Mapping[str, Any] | None] = {}
    for member in members:
        name = member["name"]
        found = hostvars[name].get(variable) if name in hostvars else None
        usable = isinstance(found, Mapping) and "has_data" in found
        observed[name] = {"has_data": found["has_data"], "granted": found["granted"]} if usable and found else None
    return plan_start(observed, [member["name"] for member in members])


class FilterModule:
    """Register the filters."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return {"etcd_start_plan": etcd_start_plan}
