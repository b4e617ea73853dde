# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.holdfast.stateful.plugins.module_utils.redis_config import ConfigError
from ansible_collections.holdfast.stateful.plugins.module_utils.redis_sentinel import (
    from_file,
    health_problems,
    master_differences,
    removable_problems,
    split_settings,
)

DOWN = {"state": "down", "why": "nothing listens there"}


def up(**changes: Any) -> dict[str, Any]:
    others = [{"address": "x", "flags": ["sentinel"]}, {"address": "y", "flags": ["sentinel"]}]
    return {"state": "up", "master_address": "10.0.0.1", "quorum": 2, "quorum_error": "", "others": others, **changes}


def test_settings_are_split_by_whom_they_belong_to() -> None:
    settings = {"quorum": 2, "announce-ip": "10.0.0.1", "resolve-hostnames": False, "auth-pass": "x"}
    assert split_settings(settings) == (
        {"quorum": "2", "auth-pass": "x"},
        {"announce-ip": "10.0.0.1", "resolve-hostnames": "no"},
    )


@pytest.mark.parametrize("name", ["monitor", "myid", "config-epoch", "known-replica"])
def test_what_sentinel_owns_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=name):
        split_settings({name: "x"})


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("sentinel auth-pass s pw\nsentinel auth-user s me\n", {"auth-pass": "pw", "auth-user": "me"}),
        ('sentinel auth-pass "s" "p w"\n', {"auth-pass": "p w"}),
        ("sentinel auth-pass other pw\n", {}),
        ("# sentinel auth-pass s pw\n", {}),
    ],
)
def test_what_only_the_file_shows(text: str, found: dict[str, str]) -> None:
    assert from_file(text, "s") == found


def test_only_differences_are_set() -> None:
    assert master_differences({"quorum": "2", "auth-pass": "x"}, {"quorum": "2"}) == {"auth-pass": ("", "x")}


@pytest.mark.parametrize(
    ("seen", "count"),
    [
        ({"a": up(), "b": up(), "c": up()}, 0),
        ({"a": up(), "b": up(), "c": DOWN}, 1),
        ({"a": up(), "b": up(), "c": up(master_address="10.0.0.2")}, 1),
        ({"a": up(), "b": up(), "c": up(quorum_error="NOQUORUM")}, 1),
        ({"a": up(), "b": up(), "c": up(others=[])}, 1),
        ({"a": up(), "b": up(), "c": up(others=up()["others"] + [{"address": "z", "flags": ["s_down"]}])}, 1),
    ],
)
def test_health(seen: dict[str, Any], count: int) -> None:
    assert len(health_problems(seen)) == count


@pytest.mark.parametrize(
    ("seen", "may_stop"),
    [
        ({"a": up(), "b": up(), "c": up()}, True),
        ({"a": DOWN, "b": up(), "c": up()}, True),
        ({"a": up(), "b": DOWN, "c": up()}, False),
        ({"a": up(), "b": up(quorum=3), "c": up()}, False),
        ({"a": up(), "b": up(quorum_error="x"), "c": up()}, False),
    ],
)
def test_a_sentinel_may_stop_only_when_the_others_can_do_without(seen: dict[str, Any], may_stop: bool) -> None:
    assert (removable_problems(seen, "a") == []) is may_stop
