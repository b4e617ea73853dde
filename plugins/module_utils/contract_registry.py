# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of cross-field rules: every rule has an id, a reason, and a check that a test can call alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ansible_collections.holdfast.stateful.plugins.module_utils.contract_types import Problem, View, Violation

Check = Callable[[View], Iterator[Problem]]


@dataclass(frozen=True)
class Rule:
    """One cross-field rule; ``waivable`` rules may be broken with an accepted risk."""

    id: str
    why: str
    check: Check
    engines: tuple[str, ...]
    waivable: bool


RULES: dict[str, Rule] = {}


def rule(name: str, why: str, *, engine: str = "", waivable: bool = False) -> Callable[[Check], Check]:
    """Register the decorated check under an id; ``engine`` limits it to one engine."""

    def register(check: Check) -> Check:
        if name in RULES:
            raise ValueError(f"two rules are called {name}")
        RULES[name] = Rule(name, why, check, (engine,) if engine else (), waivable)
        return check

    return register


def run_rules(view: View, root: str = "service_catalog") -> list[Violation]:
    """Return every violation of one service, accepted risks not yet considered."""
    found: list[Violation] = []
    for entry in RULES.values():
        if entry.engines and view.entry.engine not in entry.engines:
            continue
        for problem in entry.check(view):
            path = ".".join(part for part in (root, view.entry.service, problem.key) if part)
            found.append(Violation(path, entry.id, problem.wrong, entry.why, problem.nearest))
    return found
