# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# ruff: noqa: PTH110, PTH112, PTH116, PTH123, PTH207, PTH208
# Strings from the task go straight to system calls: pathlib would only add import time to every call.

"""The state of Debian packages, read from dpkg's own file in milliseconds, and the repair of a killed dpkg."""

from __future__ import annotations

import fcntl
import fnmatch
import glob
import os
import re
import subprocess
import time
from typing import Any

from ansible_collections.holdfast.stateful.plugins.module_utils.host_state import HostStateError, Run
from ansible_collections.holdfast.stateful.plugins.module_utils.host_state_policy import hold

STATUS_FILE = "/var/lib/dpkg/status"
UPDATES_DIRECTORY = "/var/lib/dpkg/updates"
INFO_DIRECTORY = "/var/lib/dpkg/info"
LOCK_FILE = "/var/lib/dpkg/lock-frontend"
# Where apt's sources are declared, Holdfast's mirror included, and where it keeps what it read from them.
SOURCES = ("/etc/apt/sources.list", "/etc/apt/sources.list.d", "/etc/apt/holdfast.sources.d")
LISTS = "/var/lib/apt/lists"
LOCK_TIMEOUT = 300
REPAIR_TIMEOUT = 900

_BROKEN = re.compile(rb"^Status: \S+ \S+ (?:half-installed|unpacked|half-configured)$", re.MULTILINE)
_UNIT = re.compile(r"^(?:/usr)?/lib/systemd/system/([^/@]+\.(?:service|socket))$", re.MULTILINE)


def normalise_packages(entries: list[Any]) -> list[tuple[str, str | None]]:
    """Return (name, version pattern) for every entry of C(packages)."""
    wanted: list[tuple[str, str | None]] = []
    for entry in entries:
        if isinstance(entry, str) and entry:
            wanted.append((entry, None))
        elif isinstance(entry, dict) and isinstance(entry.get("name"), str) and set(entry) <= {"name", "version"}:
            version = entry.get("version")
            wanted.append((entry["name"], str(version) if version else None))
        else:
            raise HostStateError(f"packages: expected a name or {{name, version}}, found {entry!r}")
    return wanted


def stanzas(status: bytes, name: str) -> list[dict[str, str]]:
    """Return Status, Version and Architecture of every stanza of a package (one per architecture)."""
    found: list[dict[str, str]] = []
    base, _colon, architecture = name.partition(":")
    needle = b"\nPackage: " + base.encode() + b"\n"
    at = status.find(needle)
    while at >= 0:
        end = status.find(b"\n\n", at + 1)
        text = status[at : end if end >= 0 else len(status)].decode("utf-8", "replace")
        fields = dict(
            line.split(": ", 1)
            for line in text.split("\n")
            if line.startswith(("Status: ", "Version: ", "Architecture: "))
        )
        if not architecture or fields.get("Architecture") == architecture:
            found.append(fields)
        at = status.find(needle, at + 1)
    return found


def is_installed(status: bytes, name: str, version: str | None) -> bool:
    """Say whether a package is fully installed, in a version that matches."""
    return any(
        fields.get("Status", "").split()[1:] == ["ok", "installed"]
        and (version is None or fnmatch.fnmatchcase(fields.get("Version", ""), version))
        for fields in stanzas(status, name)
    )


def spelled(wanted: list[tuple[str, str | None]]) -> list[str]:
    """Return packages in apt's spelling."""
    return [name if version is None else f"{name}={version}" for name, version in wanted]


def missing(status: bytes, wanted: list[tuple[str, str | None]]) -> list[str]:
    """Return what apt has to install, in apt's spelling, each once."""
    lacking = [(name, version) for name, version in wanted if not is_installed(status, name, version)]
    return list(dict.fromkeys(spelled(lacking)))


def units_of_those_ahead(installed: list[str], entries: list[Any]) -> list[str]:
    """Return the services and sockets of packages that apt has installed although C(packages) did not ask for them."""
    own = spelled(normalise_packages(entries))
    units: set[str] = set()
    for package in installed:
        if package not in own:
            units.update(packaged_units(package.partition("=")[0]))
    return sorted(units)


def packaged_units(package: str) -> list[str]:
    """Return the services and sockets that a package has brought, templates left out."""
    text = ""
    for path in glob.glob(f"{INFO_DIRECTORY}/{package}.list") + glob.glob(f"{INFO_DIRECTORY}/{package}:*.list"):
        with open(path, encoding="utf-8") as handle:
            text += handle.read()
    return _UNIT.findall(text)


def read_status() -> bytes:
    """Read dpkg's status file, with a newline in front so that the first stanza is found like the others."""
    try:
        with open(STATUS_FILE, "rb") as handle:
            return b"\n" + handle.read()
    except OSError as error:
        raise HostStateError(
            f"{STATUS_FILE}: expected dpkg's status, found {error.strerror}: host_state manages packages on Debian only"
        ) from error


def lists_are_older() -> bool:
    """Say whether apt has not read its sources since they were changed, by whomever."""
    newest = 0.0
    for place in SOURCES:
        for path in (place, *glob.glob(f"{place}/*")):
            if os.path.exists(path):
                newest = max(newest, os.stat(path).st_mtime)
    return not os.path.isdir(LISTS) or os.stat(LISTS).st_mtime < newest


def interrupted(status: bytes) -> bool:
    """Say whether a dpkg was killed: a package half-way, or unmerged notes in its updates directory."""
    if _BROKEN.search(status):
        return True
    try:
        return any(name.isdigit() for name in os.listdir(UPDATES_DIRECTORY))
    except OSError:
        return False


def repair() -> None:
    """Finish what a killed dpkg left, without starting any service with its default configuration."""
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
    hold()
    try:
        done = subprocess.run(
            ["dpkg", "--force-confdef", "--force-confold", "--configure", "-a"],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=REPAIR_TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise HostStateError(
            f"dpkg --configure -a: expected to finish in {REPAIR_TIMEOUT} s, still running: look for a hanging"
            " maintainer script on the host, then run again"
        ) from error
    if done.returncode != 0:
        tail = "\n".join((done.stdout + done.stderr).strip().splitlines()[-15:])
        raise HostStateError(
            f"dpkg --configure -a: expected exit code 0, found {done.returncode}: repair the package on the host,"
            f" then run again. Last lines:\n{tail}"
        )


def wait_for_dpkg() -> None:
    """Wait until nobody works with dpkg: an apt whose controller was killed goes on by itself."""
    deadline = time.monotonic() + LOCK_TIMEOUT
    with open(LOCK_FILE, "a", encoding="ascii") as handle:
        while True:
            try:
                fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if time.monotonic() > deadline:
                    raise HostStateError(
                        f"{LOCK_FILE}: expected it free within {LOCK_TIMEOUT} s, found it held by another apt or dpkg:"
                        " look for one that hangs on the host, then run again"
                    ) from error
                time.sleep(0.5)
            else:
                return


def check_packages(entries: list[Any], run: Run) -> None:
    """Fill C(run.missing_packages), after repairing a killed dpkg if one of the wanted packages suffers from it."""
    wanted = normalise_packages(entries)
    if not wanted:
        return
    status = read_status()
    lacking = missing(status, wanted)
    if lacking and interrupted(status) and not run.check:
        wait_for_dpkg()
        status = read_status()
        lacking = missing(status, wanted)
    if lacking and interrupted(status):
        run.changed = True
        run.dpkg_repaired = True
        if not run.check:
            repair()
            lacking = missing(read_status(), wanted)
    run.missing_packages = lacking
    run.lists_older = bool(lacking) and lists_are_older()
    run.lenient = run.check and bool(lacking)
