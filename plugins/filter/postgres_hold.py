# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter that decides on the controller, from what all members reported, who led a PostgreSQL cluster last."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.holdfast.stateful.plugins.module_utils.patroni_hold import last_leader


def postgres_last_leader(
    hostvars: Mapping[str, Any], members: list[dict[str, Any]], variable: str, named: str, standby: bool
) -> dict[str, Any]:
    """Return `leader` and `blocker` (a sentence, or "").

    `hostvars` holds, under the name `variable`, what holdfast.stateful.patroni_member returned for V(located).
    """
    reports: dict[str, Mapping[str, Any] | None] = {}
    for member in members:
        name = member["name"]
        found = hostvars[name].get(variable) if name in hostvars else None
        report = found.get("report") if isinstance(found, Mapping) else None
        reports[name] = report if isinstance(report, Mapping) and "leads" in report else None
    return last_leader(reports, [member["name"] for member in members], named, standby)


class FilterModule:
    """Register the filters."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return {"postgres_last_leader": postgres_last_leader}
