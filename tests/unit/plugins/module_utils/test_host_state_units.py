# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.holdfast.stateful.plugins.module_utils import host_state_units as units

OFFSET = 1000.0


def entry(**options: Any) -> dict[str, Any]:
    return {
        "name": "x.service",
        "enabled": None,
        "state": None,
        "masked": None,
        "no_block": False,
        "reload_on": [],
        "restart_on": [],
        "pending_restart_on": [],
        **options,
    }


def shown(**properties: str) -> dict[str, str]:
    """A unit whose process started at 1100, was active at 1110 and changed its state last at 1200."""
    return {
        "LoadState": "loaded",
        "ActiveState": "active",
        "SubState": "running",
        "UnitFileState": "enabled",
        "ActiveEnterTimestampMonotonic": "110000000",
        "ExecMainStartTimestampMonotonic": "100000000",
        "StateChangeTimestampMonotonic": "200000000",
        **properties,
    }


def decide(
    wanted: dict[str, Any], found: dict[str, str], newest: float = 0, changed: list[str] | None = None
) -> units.Need:
    def newest_of(_paths: Iterable[str]) -> float:
        return newest

    return units.decide(wanted, found, changed or [], OFFSET, newest_of)


INACTIVE = {"ActiveState": "inactive", "SubState": "dead"}
FAILED = {"ActiveState": "failed", "SubState": "failed"}
RETRYING = {"ActiveState": "activating", "SubState": "auto-restart"}
STARTING = {"ActiveState": "activating", "SubState": "start"}


@pytest.mark.parametrize(
    ("state", "found", "action", "reset"),
    [
        ("started", {}, None, False),
        ("started", INACTIVE, "start", False),
        ("started", FAILED, "start", True),
        ("started", RETRYING, "start", False),
        ("started", {"ActiveState": "deactivating"}, "start", False),
        ("started", {"ActiveState": "reloading"}, None, False),
        ("stopped", {}, "stop", False),
        ("stopped", INACTIVE, None, False),
        ("stopped", FAILED, None, False),
        ("stopped", RETRYING, "stop", False),
        (None, INACTIVE, None, False),
    ],
)
def test_state(state: str | None, found: dict[str, str], action: str | None, reset: bool) -> None:
    need = decide(entry(state=state), shown(**found))
    assert (need.action, need.reset_failed) == (action, reset)


def test_a_unit_that_is_starting_is_waited_for_unless_told_not_to() -> None:
    assert decide(entry(state="started"), shown(**STARTING)).wait
    assert not decide(entry(state="started"), shown(**STARTING)).changes
    assert not decide(entry(state="started", no_block=True), shown(**STARTING)).wait


@pytest.mark.parametrize(
    ("wanted", "found", "enable", "mask"),
    [
        ({"enabled": True}, {"UnitFileState": "disabled"}, True, None),
        ({"enabled": True}, {"UnitFileState": "enabled-runtime"}, True, None),
        ({"enabled": True}, {"UnitFileState": "static"}, None, None),
        ({"enabled": True}, {}, None, None),
        ({"enabled": False}, {}, False, None),
        ({"enabled": False}, {"UnitFileState": "disabled"}, None, None),
        ({"enabled": False}, {"UnitFileState": "static"}, None, None),
        ({"masked": True}, {}, None, True),
        ({"masked": True}, {"LoadState": "masked", "UnitFileState": "masked"}, None, None),
        ({"masked": False}, {"LoadState": "masked", "UnitFileState": "masked"}, None, False),
        ({"masked": False}, {}, None, None),
        ({}, {"LoadState": "masked"}, None, None),
    ],
)
def test_enabled_and_masked(
    wanted: dict[str, Any], found: dict[str, str], enable: bool | None, mask: bool | None
) -> None:
    need = decide(entry(**wanted), shown(**found))
    assert (need.enable, need.mask) == (enable, mask)


@pytest.mark.parametrize(
    ("watch", "newest", "action", "pending"),
    [
        ("restart_on", 1099, None, False),
        ("restart_on", 1101, "restart", False),  # after the process started, though before the unit was active
        ("pending_restart_on", 1101, None, True),
        ("pending_restart_on", 1099, None, False),
        ("reload_on", 1199, None, False),
        ("reload_on", 1201, "reload", False),
    ],
)
def test_newer_files(watch: str, newest: float, action: str | None, pending: bool) -> None:
    need = decide(entry(state="started", **{watch: ["/etc/x"]}), shown(), newest)
    assert (need.action, need.pending_restart) == (action, pending)


def test_pending_restart_never_acts() -> None:
    assert not decide(entry(state="started", pending_restart_on=["/etc/x"]), shown(), 5000).changes


@pytest.mark.parametrize("watch", ["restart_on", "reload_on", "pending_restart_on"])
@pytest.mark.parametrize("found", [INACTIVE, FAILED])
def test_a_unit_that_does_not_run_reads_its_files_when_it_starts(watch: str, found: dict[str, str]) -> None:
    need = decide(entry(**{watch: ["/etc/x"]}), shown(**found), 5000)
    assert (need.action, need.pending_restart) == (None, False)


def test_a_restart_includes_the_reload() -> None:
    assert decide(entry(restart_on=["/etc/x"], reload_on=["/etc/y"]), shown(), 5000).action == "restart"


def test_a_failed_reload_is_repeated() -> None:
    assert decide(entry(reload_on=["/etc/x"]), shown(ReloadResult="exit-code")).action == "reload"
    assert decide(entry(), shown(ReloadResult="exit-code")).action is None


@pytest.mark.parametrize(
    ("changed", "hit"),
    [("/etc/x", True), ("/etc/x/y", True), ("/etc/xy", False), ("/etc", False)],
)
def test_a_change_of_this_run_counts_whatever_the_clock_says(changed: str, hit: bool) -> None:
    assert (decide(entry(restart_on=["/etc/x"]), shown(), 0, [changed]).action == "restart") is hit


def test_a_unit_without_a_process_uses_its_activation() -> None:
    found = shown(SubState="exited", ExecMainStartTimestampMonotonic="0")
    assert decide(entry(restart_on=["/etc/x"]), found, 1105).action is None
    assert decide(entry(restart_on=["/etc/x"]), found, 1111).action == "restart"


def test_times_that_never_happened_decide_nothing() -> None:
    found = shown(
        ActiveEnterTimestampMonotonic="0", ExecMainStartTimestampMonotonic="", StateChangeTimestampMonotonic="0"
    )
    assert not decide(entry(restart_on=["/etc/x"], reload_on=["/etc/x"]), found, 5000).changes


def test_parse_show() -> None:
    text = "Id=a.service\nLoadState=loaded\nDropInPaths=/x=y.conf\n\nId=b.service\nLoadState=not-found\n"
    assert units.parse_show(text) == [
        {"Id": "a.service", "LoadState": "loaded", "DropInPaths": "/x=y.conf"},
        {"Id": "b.service", "LoadState": "not-found"},
    ]


@pytest.mark.parametrize(
    ("tables", "changed", "needed"),
    [
        ([{"NeedDaemonReload": "no"}], [], False),
        ([{"NeedDaemonReload": "yes"}], [], True),
        ([], ["/etc/systemd/system/x.service.d/y.conf"], True),
        ([], ["/etc/systemd/journald.conf"], False),
    ],
)
def test_daemon_reload(tables: list[dict[str, str]], changed: list[str], needed: bool) -> None:
    assert units.needs_daemon_reload(tables, changed) is needed


def test_newest_looks_through_links_and_into_directories(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "inner").touch()
    (tmp_path / "target").touch()
    (tmp_path / "link").symlink_to(tmp_path / "target")
    for path, moment in (("d/inner", 500), ("d", 400), ("target", 700)):
        os.utime(tmp_path / path, (moment, moment))
    os.utime(tmp_path / "link", (600, 600), follow_symlinks=False)
    assert units.newest([str(tmp_path / "d")]) == 500
    assert units.newest([str(tmp_path / "link")]) == 700
    assert units.newest([str(tmp_path / "none")]) == 0
    (tmp_path / "d" / ".x.holdfast-1").touch()
    os.utime(tmp_path / "d", (400, 400))
    assert units.newest([str(tmp_path / "d")]) == 500


def test_a_file_from_the_future_is_stamped_now(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.touch()
    now = time.time()
    os.utime(path, (now + 7200, now + 7200))
    units.touch_future([str(tmp_path)], now)
    assert units.newest([str(path)]) == pytest.approx(now, abs=0.01)
    os.utime(path, (5, 5))
    units.touch_future([str(tmp_path)], now)
    assert units.newest([str(path)]) == 5


def test_secrets_leave_no_excerpt() -> None:
    words = units.secret_words([b'requirepass "tops3cretvalue"\nport 1\n'])
    assert "tops3cretvalue" in words
    assert "port" not in words
    text = units.redact("bad tops3cretvalue; PASSWORD=hunter2 token: abc", words)
    for secret in ("tops3cretvalue", "hunter2", "abc"):
        assert secret not in text
