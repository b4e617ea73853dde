# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters for PostgreSQL and its poolers."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from ansible_collections.holdfast.stateful.plugins.module_utils.postgres_objects import scram_verifier


def stable_verifier(password: str, scope: str) -> str:
    """Return a SCRAM verifier that is the same on every run, so that a file that holds it does not change.

    The salt comes from the scope alone: one made from the password would let it be guessed without the iterations.
    """
    return scram_verifier(password, hashlib.sha256(f"holdfast salt {scope}".encode()).digest()[:16])


class FilterModule:
    """Register the filters."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return {"scram_verifier": stable_verifier}
