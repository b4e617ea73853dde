# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One lab host: an overlay of the suite's image, booted by systemd-nspawn in cgroups of its own."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from .cgroups import HostCgroups
from .identity import Lab
from .process import LabError, run

BOOT_DEADLINE_SECONDS = 60.0
STOP_DEADLINE_SECONDS = 45.0
OPERATOR_UID = 1000


@dataclass(frozen=True)
class Spec:
    """What a lab host is: anything but the limits can't change without building it anew."""

    name: str
    image: str
    address: str
    memory_mb: int
    cpus: float
    authorized_key: str
    host_key: str


class Machine:
    """One host of a lab."""

    def __init__(self, lab: Lab, name: str) -> None:
        """Take the lab and the host's short name."""
        self.lab = lab
        self.name = name
        self.machine = f"{lab.id}-{name}"
        self.folder = Path(lab.machine_dir) / name
        self.root = self.folder / "root"
        self.cgroups = HostCgroups(self.machine)

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Keep two runs from working on one host at once."""
        Path(self.lab.machine_dir).mkdir(parents=True, exist_ok=True)
        with (Path(self.lab.machine_dir) / f".{self.name}.lock").open("w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield

    def spec(self) -> Spec | None:
        """Return what the host was made as; None when there is none or its making never finished."""
        try:
            return Spec(**json.loads((self.folder / "spec.json").read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    def running(self) -> bool:
        """Return whether the host's first process is alive: processes without nspawn are leftovers."""
        return self._supervisor() is not None

    def exists(self) -> bool:
        """Return whether anything of the host is left: files, mount, processes, cgroup or network device."""
        cgroup = any(path.is_dir() for path, _controllers in self.cgroups.paths())
        return self.folder.exists() or cgroup or Path("/sys/class/net", self._veth()).exists()

    def _veth(self) -> str:
        return f"vb-{self.machine}"

    def _supervisor(self) -> int | None:
        for pid in sorted(self.cgroups.processes()):
            with contextlib.suppress(OSError):
                if Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].endswith(b"systemd-nspawn"):
                    return pid
        return None

    # -- files ---------------------------------------------------------------------------------------------------------

    def mounted(self) -> bool:
        """Return whether the overlay is mounted."""
        return os.path.ismount(self.root)

    def _mount(self, image: str) -> None:
        if self.mounted():
            return
        for part in ("upper", "work", "root"):
            (self.folder / part).mkdir(parents=True, exist_ok=True)
        layers = f"lowerdir={image},upperdir={self.folder / 'upper'},workdir={self.folder / 'work'}"
        run(["mount", "-t", "overlay", "overlay", "-o", layers, str(self.root)])

    def _unmount(self) -> bool:
        if not self.mounted():
            return False
        for _attempt in range(100):
            if run(["umount", str(self.root)], check=False).returncode == 0:
                return True
            time.sleep(0.05)
        run(["umount", "--lazy", str(self.root)])
        return True

    def create(self, spec: Spec) -> None:
        """Lay out the host's files. A half-made host (killed before the last line here) is thrown away first."""
        if self.folder.exists():
            self.remove()
        self.folder.mkdir(parents=True)
        self._mount(spec.image)
        self._seed(spec)
        self._write_spec(spec)

    def _write_spec(self, spec: Spec) -> None:
        part = self.folder / "spec.json.part"
        part.write_text(json.dumps(asdict(spec)), encoding="utf-8")
        part.chmod(0o600)
        part.rename(self.folder / "spec.json")

    def _seed(self, spec: Spec) -> None:
        self._put("etc/hostname", f"{self.name}\n")
        self._put("etc/hosts", f"127.0.0.1 localhost\n::1 localhost\n{spec.address} {self.name}\n")
        self._put(
            "etc/systemd/network/10-host0.network",
            f"[Match]\nName=host0\n[Network]\nAddress={spec.address}/24\nGateway={self.lab.gateway}\n"
            "LinkLocalAddressing=no\nIPv6AcceptRA=no\n",
        )
        self._put("etc/ssh/ssh_host_ed25519_key", Path(spec.host_key).read_text(encoding="utf-8"), 0o600)
        self._put("etc/ssh/ssh_host_ed25519_key.pub", Path(f"{spec.host_key}.pub").read_text(encoding="utf-8"))
        self._put("home/ops/.ssh/authorized_keys", spec.authorized_key + "\n", 0o600, OPERATOR_UID)
        options = run(["apt-config", "dump", "Acquire"]).stdout.splitlines()
        keep = [line for line in options if "Proxy" in line or "Check-Valid-Until" in line or "Check-Date" in line]
        self._put("etc/apt/apt.conf.d/10lab", "\n".join(keep) + "\n")
        if spec.memory_mb:
            self._put(
                "etc/systemd/system/lab-memory.service",
                "[Unit]\nDescription=Show the memory that this lab host was given\nDefaultDependencies=no\n"
                "Before=sysinit.target\n[Service]\nType=oneshot\nRemainAfterExit=yes\n"
                "ExecStart=/usr/bin/mount --bind /etc/lab-meminfo /proc/meminfo\n[Install]\nWantedBy=sysinit.target\n",
            )
            wants = self.root / "etc/systemd/system/sysinit.target.wants"
            wants.mkdir(parents=True, exist_ok=True)
            (wants / "lab-memory.service").symlink_to("../lab-memory.service")

    def _put(self, path: str, text: str, mode: int = 0o644, owner: int = 0) -> None:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
        target.chmod(mode)
        os.chown(target, owner, owner)

    # -- running -------------------------------------------------------------------------------------------------------

    def start(self, spec: Spec) -> None:
        """Boot the host and wait until its SSH server greets. Raises LabError with the console's end otherwise."""
        self.cgroups.kill()
        self.cgroups.create(spec.memory_mb, spec.cpus)
        self._mount(spec.image)
        if Path("/sys/class/net", self._veth()).exists():
            # A host that was killed hard leaves its network device behind for a moment.
            run(["ip", "link", "delete", self._veth()], check=False)
        if spec.memory_mb:
            self._put("etc/lab-meminfo", meminfo(spec.memory_mb))
        self._put("etc/resolv.conf", resolv_conf())
        self._spawn()
        self._await_ssh(spec.address)

    def _spawn(self) -> None:
        argv = [
            "systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--boot", "--console=read-only",
            f"--machine={self.machine}", f"--directory={self.root}", f"--network-bridge={self.lab.bridge}",
            f"--hostname={self.name}", "--resolv-conf=off", "--timezone=off", "--link-journal=no",
        ]  # fmt: skip
        environment = {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1",
            "LANG": "C.UTF-8",
        }
        with (self.folder / "console.log").open("wb") as console:
            subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                env=environment,
                cwd="/",
                start_new_session=True,
                preexec_fn=self.cgroups.join,
            )

    def _await_ssh(self, address: str) -> None:
        end = time.monotonic() + BOOT_DEADLINE_SECONDS
        while time.monotonic() < end:
            with contextlib.suppress(OSError), socket.create_connection((address, 22), timeout=1.0) as connection:
                if connection.recv(4) == b"SSH-":
                    return
            time.sleep(0.1)
        console = (self.folder / "console.log").read_bytes()[-600:].decode(errors="replace")
        raise LabError(
            f"{self.name}: no SSH server on {address} after {BOOT_DEADLINE_SECONDS:.0f} s; its console ends: {console}"
        )

    def stop(self, *, hard: bool = False) -> bool:
        """Shut the host down, or with `hard` cut its power; return whether anything ran."""
        supervisor = self._supervisor()
        if supervisor is not None and not hard:
            os.kill(supervisor, signal.SIGTERM)
            end = time.monotonic() + STOP_DEADLINE_SECONDS
            while self._supervisor() is not None and time.monotonic() < end:
                time.sleep(0.1)
        killed = self.cgroups.kill()
        if Path("/sys/class/net", self._veth()).exists():
            run(["ip", "link", "delete", self._veth()], check=False)
        return killed or supervisor is not None

    def resize(self, spec: Spec) -> None:
        """Give a host other memory and CPU limits, without a restart."""
        self._write_spec(spec)
        if self.running():
            self.cgroups.create(spec.memory_mb, spec.cpus)
            if spec.memory_mb:
                # Written in place: the running host has this file bound over /proc/meminfo.
                (self.root / "etc/lab-meminfo").write_text(meminfo(spec.memory_mb), encoding="utf-8")

    def remove(self) -> bool:
        """Remove every trace of the host; return whether there was any."""
        present = self.exists()
        self.stop(hard=True)
        self._unmount()
        self.cgroups.remove()
        shutil.rmtree(self.folder, ignore_errors=False) if self.folder.exists() else None
        return present


def meminfo(memory_mb: int) -> str:
    """Return the /proc/meminfo that a host of this size would show when idle (kB, as the kernel writes it)."""
    total = memory_mb * 1024
    rows = {
        "MemTotal": total,
        "MemFree": total * 6 // 10,
        "MemAvailable": total * 8 // 10,
        "Buffers": 0,
        "Cached": total // 5,
    }
    rows |= {
        "SwapCached": 0,
        "SwapTotal": 0,
        "SwapFree": 0,
        "Shmem": 0,
        "SReclaimable": 0,
        "HugePages_Total": 0,
        "Hugepagesize": 2048,
    }
    return "".join(f"{name}:{value:>14}{'' if name == 'HugePages_Total' else ' kB'}\n" for name, value in rows.items())


def resolv_conf() -> str:
    """Return this machine's name servers as a host on the bridge can use them (never a loopback stub)."""
    for path in ("/run/systemd/resolve/resolv.conf", "/etc/resolv.conf"):
        with contextlib.suppress(OSError):
            lines = Path(path).read_text(encoding="utf-8").splitlines()
            kept = [
                line
                for line in lines
                if line.strip() and not line.startswith(("#", "nameserver 127.", "nameserver ::1"))
            ]
            if any(line.startswith("nameserver") for line in kept):
                return "\n".join(kept) + "\n"
    return ""
