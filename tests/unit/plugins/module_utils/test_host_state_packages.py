# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
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


def test_what_is_installed_is_asked_for_as_it_is() -> None:
    wanted = packages.normalise_packages(["redis-server", "redis-tools", "nope", "libc6", "held"])
    found = packages.as_they_are(STATUS, wanted)
    assert found == ["redis-server:amd64=5:8.0.2-3+deb13u3", "libc6:amd64=2.41-12", "held=1"]
    explicit = packages.normalise_packages([{"name": "redis-server", "version": "5:7.*"}])
    assert packages.as_they_are(STATUS, explicit) == [], "a version that is asked for is not the one that is kept"


def test_an_installation_keeps_what_is_installed_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, ...]] = []

    def refuse(*words: str, **_limits: float) -> subprocess.CompletedProcess[str]:
        asked.append(words)
        return subprocess.CompletedProcess(words, 100 if "install" in words else 0, "", "unmet dependencies")

    monkeypatch.setattr(packages, "call", refuse)
    monkeypatch.setattr(packages, "lists_age", lambda: 0.0)
    monkeypatch.setattr(packages.os, "utime", lambda _path: None)
    with pytest.raises(
        HostStateError, match=r"beside etcd-server:amd64=3\.4, which no installation upgrades, downgrades"
    ):
        packages.install(["etcd-client"], kept=["etcd-server:amd64=3.4"], sources_changed=False)
    assert [words[-2:] for words in asked if "install" in words] == [("etcd-client", "etcd-server:amd64=3.4")] * 2
    with pytest.raises(HostStateError, match="expected apt-get to install them, found"):
        packages.install(["etcd-client"], kept=[], sources_changed=False)


def test_units_of_packages_that_were_only_installed_ahead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "INFO_DIRECTORY", str(tmp_path))
    brought = {
        "own": "/usr/lib/systemd/system/own.service",
        "redis-server": "/usr/lib/systemd/system/redis-server.service\n/usr/lib/systemd/system/redis-server@.service",
        "erlang-base:amd64": "/lib/systemd/system/epmd.socket\n/usr/share/doc/systemd/system/x.service",
    }
    for name, files in brought.items():
        (tmp_path / f"{name}.list").write_text(f"/.\n{files}\n")
    installed = ["own", "redis-server=5:8.*", "erlang-base", "no-files"]
    assert packages.units_of_those_ahead(installed, ["own"]) == ["epmd.socket", "redis-server.service"]
    assert packages.units_of_those_ahead([], ["own"]) == []


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


@pytest.mark.parametrize("check", [False, True])
def test_a_killed_dpkg_is_repaired_but_not_in_check_mode(
    check: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    status = tmp_path / "status"
    status.write_bytes(STATUS)
    monkeypatch.setattr(packages, "STATUS_FILE", str(status))
    monkeypatch.setattr(packages, "LOCK_FILE", str(tmp_path / "lock"))
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


HOLDER = """
import fcntl, sys, time
with open(sys.argv[1], "a") as handle:
    fcntl.lockf(handle, fcntl.LOCK_EX)
    print("held", flush=True)
    time.sleep(float(sys.argv[2]))
"""


@pytest.fixture
def held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[float], None]]:
    """Hold dpkg's lock in another process, as an apt does whose controller was killed."""
    started: list[subprocess.Popen[str]] = []
    monkeypatch.setattr(packages, "LOCK_FILE", str(tmp_path / "lock"))

    def hold(seconds: float) -> None:
        argv = [sys.executable, "-c", HOLDER, str(tmp_path / "lock"), str(seconds)]
        process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout
        assert process.stdout.readline() == "held\n"

    yield hold
    for process in started:
        process.kill()
        process.communicate()


def test_an_apt_that_goes_on_by_itself_is_waited_for(held: Callable[[float], None]) -> None:
    held(1.0)
    begin = time.monotonic()
    packages.wait_for_dpkg()
    assert time.monotonic() - begin > 0.4


def test_an_apt_that_hangs_is_named(held: Callable[[float], None], monkeypatch: pytest.MonkeyPatch) -> None:
    held(60.0)
    monkeypatch.setattr(packages, "LOCK_TIMEOUT", 0.2)
    with pytest.raises(HostStateError, match="held by another apt or dpkg"):
        packages.wait_for_dpkg()


@pytest.mark.parametrize(
    ("changed", "older"),
    [("sources.list", True), ("sources.list.d", True), ("sources.list.d/x.sources", True), ("", False)],
)
def test_sources_that_apt_has_not_read_are_seen(
    changed: str, older: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, lists = tmp_path / "sources.list.d", tmp_path / "lists"
    for path in (folder, lists):
        path.mkdir()
    for path in (tmp_path / "sources.list", folder / "x.sources"):
        path.touch()
    for path in (tmp_path / "sources.list", folder / "x.sources", folder):
        os.utime(path, (100, 100))
    os.utime(lists, (200, 200))
    if changed:
        os.utime(tmp_path / changed, (300, 300))
    monkeypatch.setattr(packages, "SOURCES", (str(tmp_path / "sources.list"), str(folder), str(tmp_path / "none")))
    monkeypatch.setattr(packages, "LISTS_DIRECTORY", str(lists))
    assert packages.lists_are_older() is older


def test_apt_that_never_read_its_sources_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "LISTS_DIRECTORY", str(tmp_path / "none"))
    assert packages.lists_are_older()
