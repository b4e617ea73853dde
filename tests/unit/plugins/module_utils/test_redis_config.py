# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.holdfast.stateful.plugins.module_utils.redis_config import (
    ConfigError,
    as_text,
    desired_settings,
    differences,
    edit_file,
    equal,
    refused_directive,
    shown,
)


@pytest.mark.parametrize(
    ("name", "wanted", "running", "same"),
    [
        ("maxmemory", "512mb", "536870912", True),
        ("maxmemory", "512m", "512000000", True),
        ("maxmemory", "1GB", "1073741824", True),
        ("maxmemory", "512mb", "512000000", False),
        ("save", "", "", True),
        ("save", "", "3600 1", False),
        ("save", "3600 1 300 100", "3600  1 300 100", True),
        ("appendonly", "yes", "YES", True),
        ("appendonly", "yes", "no", False),
        (
            "client-output-buffer-limit",
            "replica 16mb 8mb 60",
            "normal 0 0 0 slave 16777216 8388608 60 pubsub 1 2 3",
            True,
        ),
        (
            "client-output-buffer-limit",
            "replica 16mb 8mb 60",
            "normal 0 0 0 slave 16777216 8388608 61 pubsub 1 2 3",
            False,
        ),
        ("notify-keyspace-events", "KEA", "AKE", True),
        ("notify-keyspace-events", "Kg$lshzxetd", "AK", True),
        ("notify-keyspace-events", "Kg", "AK", False),
        ("masterauth", "1kb", "1024", False),
        ("maxmemory-clients", "5%", "5%", True),
        ("bind", "10.0.0.1 127.0.0.1", "127.0.0.1 10.0.0.1", False),
    ],
)
def test_equal(name: str, wanted: str, running: str, same: bool) -> None:
    assert equal(name, wanted, running) is same


@pytest.mark.parametrize(
    ("value", "text"),
    [(True, "yes"), (False, "no"), (10, "10"), ([1, "2 3"], "1 2 3"), ('""', ""), ("  x ", "x")],
)
def test_as_text(value: object, text: str) -> None:
    assert as_text("x", value) == text


@pytest.mark.parametrize("name", ["replicaof", "SLAVEOF", "user", "requirepass", "include", "rename-command"])
def test_what_belongs_to_the_live_system_or_the_acl_file_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=name.lower()):
        desired_settings({name: "x"})


def test_a_line_break_cannot_smuggle_in_a_directive() -> None:
    with pytest.raises(ConfigError, match="line break"):
        desired_settings({"save": "60 1\nrequirepass x"})


def test_unknown_directives_are_named() -> None:
    with pytest.raises(ConfigError, match="slave-serve-stale-date"):
        differences({"slave-serve-stale-date": "no", "hz": "10"}, {"hz": "10"})


def test_differences_give_running_and_wanted() -> None:
    assert differences({"hz": "20", "save": ""}, {"hz": "10", "save": ""}) == {"hz": ("10", "20")}


@pytest.mark.parametrize(
    ("message", "name"),
    [
        (
            "ERR CONFIG SET failed (possibly related to argument 'io-threads') - can't set immutable config",
            "io-threads",
        ),
        ("ERR CONFIG SET failed (possibly related to argument 'dir') - can't set protected config", "dir"),
        ("ERR CONFIG SET failed (possibly related to argument 'maxmemory') - argument must be a memory value", None),
    ],
)
def test_what_only_a_restart_can_change(message: str, name: str | None) -> None:
    assert refused_directive(message) == name


@pytest.mark.parametrize(
    ("before", "wanted", "after"),
    [
        ("io-threads 1\nhz 10\n", {"io-threads": "4"}, "io-threads 4\nhz 10\n"),
        ("# io-threads 2\nhz 10\n", {"io-threads": "4"}, "# io-threads 2\nhz 10\nio-threads 4\n"),
        ("IO-THREADS 1\nio-threads 2\n", {"io-threads": "4"}, "io-threads 4\n"),
        ("hz 10\n", {"save": ""}, 'hz 10\nsave ""\n'),
        ("hz 10\n", {"x": 'a"b'}, 'hz 10\nx "a\\"b"\n'),
    ],
)
def test_edit_file(before: str, wanted: dict[str, str], after: str) -> None:
    assert edit_file(before, wanted) == after
    assert edit_file(after, wanted) == after


def test_a_secret_is_never_shown() -> None:
    assert shown("masterauth", "swordfish") == "(secret)"
