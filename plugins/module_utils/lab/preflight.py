# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a machine must offer before a lab is made on it: every problem at once, before anything is changed."""

from __future__ import annotations

import os
import platform
import shutil
from dataclasses import dataclass
from pathlib import Path

from .identity import IMAGE_ROOT, MACHINE_ROOT, Lab
from .image import KEYRING, os_release
from .network import LabNetwork
from .process import LabError

PROGRAMS = {
    "systemd-nspawn": "systemd-container",
    "mmdebstrap": "mmdebstrap",
    "nft": "nftables",
    "ip": "iproute2",
    "ssh-keygen": "openssh-client",
    "mount": "mount",
}
CAP_NET_ADMIN, CAP_SYS_ADMIN = 12, 21
DISK_PER_IMAGE_MB = 1200
DISK_PER_HOST_MB = 1500


@dataclass(frozen=True)
class Observed:
    """The facts that decide; gathered by `observe`, judged by `problems`."""

    system: str
    architecture: str
    distribution: str
    effective_uid: int
    capabilities: int
    missing_programs: tuple[str, ...]
    keyring: bool
    overlay: bool
    free_mb: int
    subnet_owner: str | None


def observe(lab: Lab) -> Observed:
    """Look at this machine; never changes it."""
    status = Path("/proc/self/status").read_text(encoding="utf-8") if Path("/proc/self/status").exists() else ""
    caps = next((line.split()[1] for line in status.splitlines() if line.startswith("CapEff:")), "0")
    release = Path("/etc/os-release")
    missing = tuple(
        program for program in PROGRAMS if shutil.which(program, path="/usr/sbin:/usr/bin:/sbin:/bin") is None
    )
    owner: str | None = None
    if "ip" not in missing:
        try:
            owner = LabNetwork(lab).foreign_owner()
        except (LabError, ValueError) as error:
            owner = f"could not be observed: {error}"
    return Observed(
        system=platform.system(),
        architecture=platform.machine(),
        distribution=os_release(release.read_text(encoding="utf-8")).get("ID", "") if release.exists() else "",
        effective_uid=os.geteuid(),
        capabilities=int(caps, 16),
        missing_programs=missing,
        keyring=Path(KEYRING).exists(),
        overlay="overlay" in Path("/proc/filesystems").read_text(encoding="utf-8"),
        free_mb=min(_free_mb(MACHINE_ROOT), _free_mb(IMAGE_ROOT)),
        subnet_owner=owner,
    )


def _free_mb(path: Path) -> int:
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free // 2**20


def problems(seen: Observed, lab: Lab, hosts_to_create: int, *, image_cached: bool) -> list[str]:
    """Return everything that stands in the way of `hosts_to_create` new hosts, each with its remedy."""
    found: list[str] = []
    if seen.system != "Linux" or seen.distribution != "debian":
        found.append(
            f"platform: lab hosts need Debian 12 or newer on the controlling machine, found {seen.system} "
            f"{seen.distribution or 'unknown'}; run the lab on a Debian machine, or point Holdfast at hosts of your "
            "own with -i"
        )
    if (
        seen.effective_uid != 0
        or not seen.capabilities >> CAP_SYS_ADMIN & 1
        or not seen.capabilities >> CAP_NET_ADMIN & 1
    ):
        found.append(
            f"privilege: mounts, network devices and cgroups need root with CAP_SYS_ADMIN and CAP_NET_ADMIN, found uid "
            f"{seen.effective_uid} with capabilities {seen.capabilities:x}; run as root (sudo), outside an "
            "unprivileged container"
        )
    if seen.missing_programs:
        packages = sorted({PROGRAMS[program] for program in seen.missing_programs})
        found.append(
            f"programs: {', '.join(seen.missing_programs)} not found; run `apt-get install {' '.join(packages)}`"
        )
    if not seen.keyring:
        found.append(f"keyring: {KEYRING} not found; run `apt-get install debian-archive-keyring`")
    if not seen.overlay:
        found.append("kernel: no overlay file system in /proc/filesystems; run `modprobe overlay`")
    needed = hosts_to_create * DISK_PER_HOST_MB + (0 if image_cached or not hosts_to_create else DISK_PER_IMAGE_MB)
    if seen.free_mb < needed:
        found.append(
            f"space: {needed} MB needed under {MACHINE_ROOT} and {IMAGE_ROOT}, found {seen.free_mb} MB free; free "
            "some, or destroy labs that you no longer need (`holdfast lab down`)"
        )
    if seen.subnet_owner:
        found.append(
            f"subnet: {lab.network} of lab {lab.name!r} is taken by {seen.subnet_owner}; name another lab, which "
            "gets another subnet: HOLDFAST_LAB=<name>"
        )
    return found
