# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Change windows, such as ``Sun 02:00-05:00 UTC`` and ``Mon-Fri 22:00-01:00 Europe/Berlin``."""

from __future__ import annotations

import datetime
import re
import zoneinfo
from dataclasses import dataclass

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_SHAPE = re.compile(
    r"^(?P<days>\S+) +(?P<h1>\d{2}):(?P<m1>\d{2})-(?P<h2>\d{2}):(?P<m2>\d{2}) +(?P<zone>\S+)$", re.ASCII
)
_ZONE = re.compile(r"^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+){0,2}$", re.ASCII)
EXAMPLE = '"Sun 02:00-05:00 UTC"'


class WindowError(ValueError):
    """The text is no change window; the message says which part."""


@dataclass(frozen=True)
class Window:
    """A weekly window; ``end`` may lie after midnight (then it is above 24 hours)."""

    days: frozenset[int]
    start_minute: int
    minutes: int
    zone: str

    def contains(self, moment: datetime.datetime) -> bool:
        """Say whether an aware moment lies inside the window."""
        local = moment.astimezone(_zone(self.zone))
        minute = local.hour * 60 + local.minute
        today = local.weekday() in self.days and self.start_minute <= minute < self.start_minute + self.minutes
        late = (local.weekday() - 1) % 7 in self.days and minute + 1440 < self.start_minute + self.minutes
        return today or late


def _zone(name: str) -> datetime.tzinfo:
    if name.upper() in {"UTC", "Z"}:
        return datetime.UTC
    if not _ZONE.match(name):
        raise WindowError(f"'{name[:40]}' is no time zone")
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise WindowError(f"the time zone '{name[:40]}' is not known on this controller") from error


def _days(text: str) -> frozenset[int]:
    if text.lower() == "daily":
        return frozenset(range(7))
    names = {day.lower(): number for number, day in enumerate(DAYS)}
    found: set[int] = set()
    for part in text.lower().split(","):
        first, dash, last = part.partition("-")
        if first not in names or (dash and last not in names):
            raise WindowError(f"'{part[:20]}' is no day; days are {', '.join(DAYS)}, ranges like Mon-Fri, or daily")
        stop = names[last] if dash else names[first]
        found.update((names[first] + step) % 7 for step in range((stop - names[first]) % 7 + 1))
    return frozenset(found)


def parse_window(text: str) -> Window | None:
    """Return the window, or None for ``any``; raise WindowError with the part that is wrong."""
    if text.strip().lower() == "any":
        return None
    match = _SHAPE.match(text.strip())
    if not match:
        raise WindowError("expected '<days> HH:MM-HH:MM <time zone>'")
    numbers = [int(match[name]) for name in ("h1", "m1", "h2", "m2")]
    start, end = numbers[0] * 60 + numbers[1], numbers[2] * 60 + numbers[3]
    if numbers[1] > 59 or numbers[3] > 59 or start >= 1440 or end > 1440:
        raise WindowError("hours go from 00:00 to 24:00 and minutes to 59")
    if start == end:
        raise WindowError("it starts and ends at the same minute; a whole day is 00:00-24:00")
    days = _days(match["days"])
    _zone(match["zone"])
    return Window(days, start, end - start if end > start else end + 1440 - start, match["zone"])
