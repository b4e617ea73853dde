# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters that judge declared package sources and write them as apt reads them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible_collections.holdfast.stateful.plugins.module_utils import package_sources as logic


def package_sources(sources: Sequence[Mapping[str, Any]], kind: str) -> dict[str, Any]:
    """Return `problems`, and where there are none the contents of apt's `sources` and `preferences`."""
    whole = [{**source, "key": source.get("key") or _read(source.get("key_file"))} for source in sources]
    problems = logic.problems(kind, whole)
    if problems or kind == "distro":
        return {"problems": problems, "sources": "", "preferences": ""}
    return {"problems": [], "sources": logic.deb822(whole), "preferences": logic.preferences(whole)}


def _read(path: Any) -> str:
    """Return the text of a file on the controller, nothing where there is none: that is a problem by itself."""
    try:
        return Path(str(path)).expanduser().read_text(encoding="utf-8") if path else ""
    except (OSError, UnicodeDecodeError):
        return ""


def package_policy_problems(policy: str, sources: Sequence[Mapping[str, Any]], kind: str) -> list[str]:
    """Return how what apt says of its sources differs from what was declared."""
    return logic.policy_problems(kind, sources, policy)


class FilterModule:
    """Register the filters."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return {"package_sources": package_sources, "package_policy_problems": package_policy_problems}
