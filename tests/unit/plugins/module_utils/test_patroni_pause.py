# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import datetime
from typing import Any

import pytest
from ansible_collections.holdfast.stateful.plugins.module_utils import patroni_pause
from ansible_collections.holdfast.stateful.plugins.module_utils.patroni import config_patch

NOW = datetime.datetime(2026, 1, 31, 12, 0, 0, tzinfo=datetime.UTC)


@pytest.mark.parametrize(
    ("until", "said"),
    [
        ("", "expected a moment"),
        ("2026-01-31T13:00:00Z", "expected a moment"),
        ("2026-01-31 12:00:00", "in the future"),
        ("2026-01-31 11:59:59", "in the future"),
        ("2026-02-01 12:00:01", "within 24 hours"),
    ],
)
def test_a_pause_without_a_sensible_end_is_refused(until: str, said: str) -> None:
    with pytest.raises(patroni_pause.PauseError, match=said):
        patroni_pause.check_deadline(until, NOW)


def test_a_pause_and_its_deadline_are_one_write() -> None:
    patroni_pause.check_deadline("2026-02-01 12:00:00", NOW)
    patch = config_patch({"ttl": 30}, patroni_pause.patch_to_pause("2026-02-01 12:00:00", "why"))
    assert patch == {"pause": True, "holdfast": {"paused_until": "2026-02-01 12:00:00", "reason": "why"}}
    paused = {"ttl": 30, **patch}
    assert patroni_pause.deadline_of(paused) == "2026-02-01 12:00:00"
    assert config_patch(paused, patroni_pause.PATCH_TO_RESUME) == {"pause": None, "holdfast": None}
    assert config_patch({"ttl": 30}, patroni_pause.PATCH_TO_RESUME) == {}


@pytest.mark.parametrize("config", [{}, {"pause": True}, {"pause": True, "holdfast": {}}, {"holdfast": "text"}])
def test_somebody_elses_pause_has_no_deadline(config: dict[str, Any]) -> None:
    assert patroni_pause.deadline_of(config) is None
