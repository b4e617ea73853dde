# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters for RabbitMQ's bootstrap file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.holdfast.stateful.plugins.module_utils.rabbitmq_definitions import stable_hash


class FilterModule:
    """Register the filters."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return {"rabbitmq_password_hash": stable_hash}
