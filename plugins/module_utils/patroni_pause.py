# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A pause of automatic failover that ends: the deadline lives beside the pause, in the dynamic configuration."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any

# Patroni keeps keys it does not know and does nothing with them.
KEY = "holdfast"
FORMAT = "%Y-%m-%d %H:%M:%S"
LONGEST = datetime.timedelta(hours=24)


class PauseError(Exception):
    """The deadline can't be accepted: a sentence."""


def parse(text: str) -> datetime.datetime:
    """Read a moment in UTC, written as systemd's calendar and people read it."""
    try:
        return datetime.datetime.strptime(text, FORMAT).replace(tzinfo=datetime.UTC)
    except ValueError as error:
        raise PauseError(f"expected a moment such as 2026-01-31 23:59:00 (UTC), found {text!r}") from error


def check_deadline(until: str, now: datetime.datetime) -> None:
    """Refuse a deadline that is over, or so far away that nobody will remember."""
    moment = parse(until)
    if moment <= now:
        raise PauseError(f"expected a deadline in the future, found {until} UTC; this host says it is {now:{FORMAT}}")
    if moment > now + LONGEST:
        raise PauseError(f"expected a deadline within {LONGEST.total_seconds() / 3600:g} hours, found {until} UTC")


def deadline_of(config: Mapping[str, Any]) -> str | None:
    """Return until when the cluster is paused; nothing where somebody paused it without saying."""
    found = config.get(KEY)
    until = found.get("paused_until") if isinstance(found, Mapping) else None
    return str(until) if until else None


def patch_to_pause(until: str, reason: str) -> dict[str, Any]:
    """Return what pauses: the deadline travels in the same write."""
    return {"pause": True, KEY: {"paused_until": until, "reason": reason}}


PATCH_TO_RESUME: dict[str, Any] = {"pause": None, KEY: None}
