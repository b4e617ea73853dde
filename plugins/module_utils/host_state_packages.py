# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# ruff: noqa: PTH110, PTH112, PTH116, PTH123, PTH207, PTH208
# Strings from the task go straight to system calls: pathlib would only add import time to every call.

"""Debian packages: their state, read from dpkg's own file in milliseconds, installation, repair of a killed dpkg."""

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
from ansible_collections.holdfast.stateful.plugins.module_utils.host_state_policy import hold, release

STATUS_FILE = "/var/lib/dpkg/status"
UPDATES_DIRECTORY = "/var/lib/dpkg/updates"
INFO_DIRECTORY = "/var/lib/dpkg/info"
LOCK_FILE = "/var/lib/dpkg/lock-frontend"
# Where apt's sources are declared, Holdfast's mirror included, and where it keeps what it read from them.
SOURCES = ("/etc/apt/sources.list", "/etc/apt/sources.list.d", "/etc/apt/holdfast.sources.d")
LISTS_DIRECTORY = "/var/lib/apt/lists"
LOCK_TIMEOUT = 300
REPAIR_TIMEOUT = 900
# Less than the policy holds that keeps services from starting (host_state_policy.HOLD_MINUTES).
INSTALL_TIMEOUT = 1500
# Lists of packages younger than this are not fetched anew.
LISTS_SECONDS = 3600
APT_OPTIONS = (
    *("-o", "Dpkg::Options::=--force-confdef", "-o", "Dpkg::Options::=--force-confold"),
    *("-o", f"DPkg::Lock::Timeout={LOCK_TIMEOUT}", "-o", "Dpkg::Use-Pty=0"),
    # Without it a list that can't be fetched is a warning, and an old version is installed.
    *("-o", "APT::Update::Error-Mode=any"),
)

_BROKEN = re.compile(rb"^Status: \S+ \S+ (?:half-installed|unpacked|half-configured)$", re.MULTILINE)
_CREDENTIALS = re.compile(r"://[^/@\s]+@")
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


def as_they_are(status: bytes, wanted: list[tuple[str, str | None]]) -> list[str]:
    """Return wanted packages that are installed, as apt spells them with their versions: asked for so, they stay."""
    found: list[str] = []
    for name, version in wanted:
        for fields in stanzas(status, name) if is_installed(status, name, version) else ():
            if fields.get("Status", "").split()[2:] == ["installed"]:
                base, architecture = name.partition(":")[0], fields.get("Architecture", "all")
                found.append(f"{base}{'' if architecture == 'all' else ':' + architecture}={fields.get('Version', '')}")
    return list(dict.fromkeys(found))


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
    return not os.path.isdir(LISTS_DIRECTORY) or os.stat(LISTS_DIRECTORY).st_mtime < newest


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
    hold()
    done = call("dpkg", "--force-confdef", "--force-confold", "--configure", "-a", timeout=REPAIR_TIMEOUT)
    if done.returncode != 0:
        raise HostStateError(
            f"dpkg --configure -a: expected exit code 0, found {done.returncode}: repair the package on the host,"
            f" then run again. Last lines:\n{tail(done)}"
        )


def call(*words: str, timeout: float) -> subprocess.CompletedProcess[str]:
    """Run apt-get or dpkg, which ask nobody anything and restart nothing by themselves."""
    environment = {
        **os.environ,
        "DEBIAN_FRONTEND": "noninteractive",
        "APT_LISTCHANGES_FRONTEND": "none",
        "NEEDRESTART_SUSPEND": "1",
        "LC_ALL": "C.UTF-8",
    }
    try:
        return subprocess.run(
            words,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
        )
    except FileNotFoundError as error:
        raise HostStateError(
            f"{words[0]}: expected a Debian host, found no such program: host_state manages packages on Debian only"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise HostStateError(
            f"{words[0]}: expected to finish in {timeout:.0f} s, still running: look for a hanging maintainer script on"
            " the host, then run again"
        ) from error


def tail(done: subprocess.CompletedProcess[str]) -> str:
    """Return the last lines of what a command said, without the credentials of package sources."""
    return _CREDENTIALS.sub("://********@", "\n".join((done.stdout + done.stderr).strip().splitlines()[-15:]))


def lists_age() -> float:
    """Return the seconds since the lists of packages were fetched."""
    try:
        return time.time() - os.stat(LISTS_DIRECTORY).st_mtime
    except OSError:
        return float("inf")


def fetch_lists() -> None:
    """Fetch the lists of packages, when another apt is done with them."""
    deadline = time.monotonic() + LOCK_TIMEOUT
    while True:
        done = call("apt-get", "update", "--quiet", *APT_OPTIONS, timeout=INSTALL_TIMEOUT)
        if done.returncode == 0:
            os.utime(LISTS_DIRECTORY)
            return
        if "lists/lock" not in done.stderr or time.monotonic() > deadline:
            raise HostStateError(
                f"apt-get update: expected exit code 0, found {done.returncode}: check the package sources and the"
                f" network of the host, then run again. Last lines:\n{tail(done)}"
            )
        time.sleep(0.5)


def install(names: list[str], *, kept: list[str], sources_changed: bool) -> None:
    """Install packages, given in apt's spelling, in one transaction that changes none of those that are kept."""
    fresh = sources_changed or lists_age() > LISTS_SECONDS
    if fresh:
        fetch_lists()
    words = ("apt-get", "install", "--yes", "--quiet", "--no-install-recommends", *APT_OPTIONS, "--", *names, *kept)
    done = call(*words, timeout=INSTALL_TIMEOUT)
    if done.returncode != 0 and not fresh:
        # A list that is an hour old may name files that the archive no longer has.
        fetch_lists()
        done = call(*words, timeout=INSTALL_TIMEOUT)
    if done.returncode != 0:
        raise HostStateError(
            f"packages {', '.join(names)}: expected apt-get to install them{beside(kept)}, found exit code"
            f" {done.returncode}: check the package sources, the network and the names, then run again."
            f" Last lines:\n{tail(done)}"
        )


def beside(kept: list[str]) -> str:
    """Return the condition of an installation as a message names it."""
    return f" beside {', '.join(kept)}, which no installation upgrades, downgrades or removes" if kept else ""


def install_missing(entries: list[Any], run: Run) -> list[str]:
    """Install what is missing and return it; no service of it starts before the policy is released."""
    names = run.missing_packages
    if not names or run.check:
        return []
    run.changed = True
    hold()
    # Also when it was another run that changed them, and was killed before apt read them.
    changed = any(path.startswith("/etc/apt/") for path in run.changed_files) or lists_are_older()
    wanted = normalise_packages(entries)
    # Another source may offer another version of a program that has data here, and apt would take it as a dependency.
    install(names, kept=as_they_are(read_status(), wanted), sources_changed=changed)
    release()
    if lacking := missing(read_status(), wanted):
        raise HostStateError(
            f"packages {', '.join(lacking)}: expected apt-get to install them, found them still missing: give the names"
            " of real packages, virtual ones are not supported"
        )
    return names


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
    run.lenient = run.check and bool(lacking)
