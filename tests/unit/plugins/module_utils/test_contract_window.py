# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Change windows."""

from __future__ import annotations

import datetime

import pytest
from ansible_collections.holdfast.stateful.plugins.module_utils.contract_window import WindowError, parse_window


@pytest.mark.parametrize(
    ("text", "days", "start", "minutes"),
    [
        ("Sun 02:00-05:00 UTC", {6}, 120, 180),
        ("sat,SUN 01:00-04:00 UTC", {5, 6}, 60, 180),
        ("Mon-Fri 22:00-01:00 Europe/Berlin", {0, 1, 2, 3, 4}, 1320, 180),
        ("Sat-Mon 00:00-24:00 UTC", {5, 6, 0}, 0, 1440),
        ("daily 03:00-04:00 UTC", set(range(7)), 180, 60),
    ],
)
def test_a_window_is_read(text: str, days: set[int], start: int, minutes: int) -> None:
    window = parse_window(text)
    assert window is not None
    assert (set(window.days), window.start_minute, window.minutes) == (days, start, minutes)


def test_any_is_no_window() -> None:
    assert parse_window("any") is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Sun",
        "Sun 2-5 UTC",
        "Sun 02:00-05:00",
        "Sonntag 02:00-05:00 UTC",
        "Sun 25:00-26:00 UTC",
        "Sun 02:60-03:00 UTC",
        "Sun 02:00-02:00 UTC",
        "Sun 02:00-05:00 Nowhere/City",
        "Sun 02:00-05:00 ../../etc/passwd",
        "Mon- 02:00-05:00 UTC",
        ",Mon 02:00-05:00 UTC",
        "Sun ٠٢:00-05:00 UTC",
        "Sun 02:00-05:00 UTC extra",
        "x" * 200,
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(WindowError):
        parse_window(text)


def test_a_window_over_midnight_belongs_to_the_day_it_starts() -> None:
    window = parse_window("Fri 22:00-02:00 UTC")
    assert window is not None
    friday = datetime.datetime(2026, 11, 20, 23, 0, tzinfo=datetime.UTC)
    assert window.contains(friday)
    assert window.contains(friday + datetime.timedelta(hours=2, minutes=59))
    assert not window.contains(friday + datetime.timedelta(hours=3))
    assert not window.contains(friday - datetime.timedelta(hours=1, minutes=1))
    assert not window.contains(friday - datetime.timedelta(days=1))
