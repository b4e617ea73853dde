# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.holdfast.stateful.plugins.module_utils import host_state_packages as packages
from ansible_collections.holdfast.stateful.plugins.module_utils.host_state import HostStateError, Run

STATUS = b"""
Package: redis-server
Status: install ok installed
Architecture: amd64
Version: 5:8.0.2-3+deb13u3

Package: redis-tools
Status: install ok unpacked
Architecture: amd64
Version: 5:8.0.2-3

Package: libc6
Status: install ok installed
Architecture: amd64
Version: 2.41-12

Package: libc6
Status: deinstall ok config-files
Architecture: i386
Version: 2.41-12

Package: held
Status: hold ok installed
Architecture: all
Version: 1
"""


@pytest.mark.parametrize(
    ("name", "version", "installed"),
    [
        ("redis-server", None, True),
        ("redis-server", "5:8.0.2-3+deb13u3", True),
        ("redis-server", "5:8.*", True),
        ("redis-server", "5:7.*", False),
        ("redis-tools", None, False),
        ("redis", None, False),
        ("server", None, False),
        ("libc6", None, True),
        ("libc6:amd64", None, True),
        ("libc6:i386", None, False),
        ("held", None, True),
    ],
)
def test_installed(name: str, version: str | None, installed: bool) -> None:
    assert packages.is_installed(STATUS, name, version) is installed


def test_missing_is_spelled_for_apt() -> None:
    wanted = packages.normalise_packages(["redis-server", "nope", {"name": "libc6", "version": "2.99*"}])
    assert packages.missing(STATUS, wanted) == ["nope", "libc6=2.99*"]


@pytest.mark.parametrize("entry", [1, "", {"version": "1"}, {"name": "x", "state": "latest"}])
def test_entries_that_are_refused(entry: Any) -> None:
    with pytest.raises(HostStateError, match="packages: expected"):
        packages.normalise_packages([entry])


@pytest.mark.parametrize("state", ["unpacked", "half-configured", "half-installed"])
def test_interrupted_is_seen(state: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "UPDATES_DIRECTORY", str(tmp_path))
    assert packages.interrupted(f"\nPackage: x\nStatus: install ok {state}\n".encode())
    assert not packages.interrupted(b"\nPackage: x\nStatus: install ok installed\n")
    (tmp_path / "0001").touch()
    assert packages.interrupted(b"")


@pytest.fixture
def policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    file, marker = tmp_path / "policy-rc.d", tmp_path / "lib" / "marker"
    monkeypatch.setattr(packages, "POLICY_FILE", str(file))
    monkeypatch.setattr(packages, "POLICY_MARKER", str(marker))
    return file, marker


def test_a_left_over_policy_of_ours_is_removed(policy: tuple[Path, Path]) -> None:
    file, marker = policy
    packages.remember_policy()
    assert marker.exists()
    file.write_text(packages.POLICY_TEXT)
    assert packages.forget_policy()
    assert not file.exists()
    assert not marker.exists()


def test_a_policy_of_the_operator_stays(policy: tuple[Path, Path]) -> None:
    file, marker = policy
    file.write_text(packages.POLICY_TEXT)
    packages.remember_policy()
    assert not marker.exists()
    assert not packages.forget_policy()
    assert file.exists()


def test_a_policy_changed_meanwhile_stays(policy: tuple[Path, Path]) -> None:
    file, _marker = policy
    packages.remember_policy()
    file.write_text("#!/bin/sh\nexit 0\n")
    assert not packages.forget_policy()
    assert file.exists()


@pytest.mark.parametrize("check", [False, True])
def test_a_killed_dpkg_is_repaired_but_not_in_check_mode(
    check: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    status = tmp_path / "status"
    status.write_bytes(STATUS)
    monkeypatch.setattr(packages, "STATUS_FILE", str(status))
    monkeypatch.setattr(
        packages, "repair", lambda: status.write_bytes(STATUS.replace(b"install ok unpacked", b"install ok installed"))
    )
    run = Run(check=check)
    packages.check_packages(["redis-tools"], run)
    assert run.dpkg_repaired
    assert run.missing_packages == (["redis-tools"] if check else [])
    assert run.lenient is check


def test_another_systems_host_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "STATUS_FILE", str(tmp_path / "none"))
    with pytest.raises(HostStateError, match="Debian only"):
        packages.check_packages(["x"], Run())


def test_nothing_is_read_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "STATUS_FILE", "/does/not/exist")
    packages.check_packages([], Run())
