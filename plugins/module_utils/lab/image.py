# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The root file system that lab hosts share: built once per suite, cached by its recipe, never written again."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .identity import IMAGE_ROOT
from .process import LabError, run

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
OPERATOR = "ops"
#: What a freshly installed Debian server brings; the services' packages are the roles' business.
PACKAGES = (
    "ca-certificates", "dbus", "iproute2", "libpam-systemd", "nftables", "openssh-server", "procps", "python3",
    "python3-apt", "sudo", "systemd", "systemd-sysv", "systemd-timesyncd",
)  # fmt: skip
#: Built by hand in the image, so that a lab host starts like a machine that an operator has just been given.
CUSTOMIZE = (
    'chroot "$1" useradd --create-home --shell /bin/bash ops',
    'echo "ops ALL=(ALL) NOPASSWD: ALL" >"$1/etc/sudoers.d/ops"; chmod 0440 "$1/etc/sudoers.d/ops"',
    'install -d -m 0700 -o 1000 -g 1000 "$1/home/ops/.ssh"',
    'rm -f "$1"/etc/ssh/ssh_host_*; : >"$1/etc/machine-id"; : >"$1/etc/resolv.conf"',
    'printf "PasswordAuthentication no\\nPermitRootLogin no\\nUseDNS no\\n" >"$1/etc/ssh/sshd_config.d/10-lab.conf"',
    'chroot "$1" systemctl enable systemd-networkd.service ssh.service',
    'chroot "$1" systemctl mask systemd-timesyncd.service systemd-networkd-wait-online.service getty.target'
    " console-getty.service systemd-udevd.service apt-daily.timer apt-daily-upgrade.timer",
)
PATH_EXCLUDES = ("/usr/share/man/*", "/usr/share/doc/*", "/usr/share/locale/*", "/usr/share/info/*")


@dataclass(frozen=True)
class AptSource:
    """One archive of a suite: its address, as the controlling machine's own apt configuration names it."""

    uri: str
    suite: str
    components: str


def own_sources(targets: str, codename: str, suite: str) -> list[AptSource]:
    """Derive the sources of `suite` from this machine's `apt-get indextargets` output.

    `targets` has lines `uri|release|component`. A mirror is recognised by carrying this machine's `codename`, its
    -updates or its -security. Raises LabError when the main archive isn't among them.
    """
    by_role: dict[str, tuple[str, set[str]]] = {}
    for line in targets.splitlines():
        uri, release, component = [*line.split("|"), "", ""][:3]
        if release in (codename, f"{codename}-updates", f"{codename}-security"):
            by_role.setdefault(release.removeprefix(codename), (uri, set()))[1].add(component)
    if "" not in by_role:
        raise LabError(
            f"this machine's apt configuration names no archive for its own release {codename!r}: lab hosts take their "
            "mirror from it; add one to /etc/apt/sources.list.d and run `apt-get update`"
        )
    return [
        AptSource(uri, suite + role, "main")
        for role, (uri, _components) in by_role.items()
        if role == "" or suite != "sid"
    ]


def os_release(text: str) -> dict[str, str]:
    """Parse /etc/os-release."""
    pairs = (line.partition("=")[::2] for line in text.splitlines() if "=" in line)
    return {key: value.strip('"') for key, value in pairs}


class Image:
    """The cached image of one Debian suite."""

    def __init__(self, suite: str, root: Path = IMAGE_ROOT) -> None:
        """Take the suite's codename; `root` is the cache."""
        self.suite = suite
        self.root = root

    def _recipe(self) -> tuple[list[AptSource], list[str]]:
        codename = os_release(Path("/etc/os-release").read_text(encoding="utf-8")).get("VERSION_CODENAME", "")
        targets = run(
            ["apt-get", "indextargets", "--format", "$(REPO_URI)|$(RELEASE)|$(COMPONENT)", "Created-By: Packages"]
        ).stdout
        options = [
            line
            for line in run(["apt-config", "dump", "Acquire"]).stdout.splitlines()
            if "Proxy" in line or line.startswith(("Acquire::Check-Valid-Until ", "Acquire::Check-Date "))
        ]
        return own_sources(targets, codename, self.suite), options

    def path(self) -> Path:
        """Return where the image is or will be: the name carries a hash of everything it is built from."""
        sources, options = self._recipe()
        recipe = json.dumps([[str(source) for source in sources], options, PACKAGES, CUSTOMIZE, PATH_EXCLUDES])
        return self.root / f"{self.suite}-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}"

    def ensure(self, *, check_mode: bool = False) -> tuple[bool, Path]:
        """Build the image unless it is cached; return (changed, path). Two builders wait for each other."""
        path = self.path()
        if path.is_dir() or check_mode:
            return not path.is_dir(), path
        self.root.mkdir(parents=True, exist_ok=True)
        with self._lock():
            if path.is_dir():
                return False, path
            self._build(path)
        return True, path

    @contextlib.contextmanager
    def _lock(self) -> Iterator[None]:
        with (self.root / ".lock").open("w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield

    def _build(self, path: Path) -> None:
        for stale in self.root.glob(".build-*"):
            shutil.rmtree(stale)
        work = Path(tempfile.mkdtemp(prefix=".build-", dir=self.root))
        work.chmod(0o755)
        sources, options = self._recipe()
        lines = "".join(f"deb [signed-by={KEYRING}] {s.uri} {s.suite} {s.components}\n" for s in sources)
        argv = ["mmdebstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", "--skip=cleanup/apt/lists"]
        argv += [f"--aptopt={option}" for option in ['APT::Install-Recommends "false";', *options]]
        argv += [f"--dpkgopt=path-exclude={pattern}" for pattern in PATH_EXCLUDES]
        argv += [f"--customize-hook={hook}" for hook in CUSTOMIZE]
        tree = work / "tree"
        run([*argv, self.suite, str(tree), "-"], stdin=lines, timeout=1200)
        os.sync()
        tree.rename(path)
        work.rmdir()
