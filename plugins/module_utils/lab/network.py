# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's network: a private bridge, address translation for package downloads, and a route that swallows strays."""

from __future__ import annotations

import contextlib
import fcntl
import json
from collections.abc import Iterator
from pathlib import Path

from .identity import MACHINE_ROOT, Lab
from .process import LabError, run

IP_FORWARD = Path("/proc/sys/net/ipv4/ip_forward")
#: Higher than the bridge's own route, so it acts once the bridge is gone: nothing for a dead host leaves the machine.
BLACKHOLE_METRIC = "4096"


@contextlib.contextmanager
def machine_lock() -> Iterator[None]:
    """Serialise changes to what all labs of a machine share."""
    MACHINE_ROOT.mkdir(parents=True, exist_ok=True)
    with (MACHINE_ROOT / ".lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


class LabNetwork:
    """The network of one lab."""

    def __init__(self, lab: Lab) -> None:
        """Take the lab's identity."""
        self.lab = lab
        self._previous = MACHINE_ROOT / "ip_forward.before"

    def foreign_owner(self) -> str | None:
        """Return who else routes the lab's subnet (an `ip route` line), or None when it is free or ours."""
        for route in json.loads(run(["ip", "-json", "route", "show", "root", self.lab.network]).stdout or "[]"):
            if route.get("dev") != self.lab.bridge and route.get("type") != "blackhole":
                return f"{route['dst']} dev {route.get('dev', '?')}"
        for link in json.loads(run(["ip", "-json", "-4", "address", "show"]).stdout or "[]"):
            for address in link.get("addr_info", []):
                if link["ifname"] != self.lab.bridge and address["local"].startswith(self.lab.prefix + "."):
                    return f"{address['local']} dev {link['ifname']}"
        return None

    def _ruleset(self) -> str:
        net = self.lab.network
        return (
            f"table ip {self.lab.nft_table} {{\n"
            "  chain postrouting {\n    type nat hook postrouting priority 100; policy accept;\n"
            f"    ip saddr {net} ip daddr != {net} masquerade\n  }}\n}}\n"
        )

    def _nft_present(self) -> bool:
        return run(["nft", "list", "table", "ip", self.lab.nft_table], check=False).returncode == 0

    def _bridge(self) -> dict[str, object] | None:
        done = run(["ip", "-json", "address", "show", "dev", self.lab.bridge], check=False)
        return json.loads(done.stdout)[0] if done.returncode == 0 and done.stdout.strip() else None

    def _blackholes(self) -> bool:
        return bool(run(["ip", "route", "show", "type", "blackhole", self.lab.network]).stdout.strip())

    def missing(self) -> list[str]:
        """Return which parts don't exist, in the order of their creation."""
        bridge = self._bridge()
        parts = []
        if IP_FORWARD.read_text().strip() != "1":
            parts.append("ip_forward")
        if not self._blackholes():
            parts.append("blackhole route")
        if bridge is None:
            parts.append("bridge")
        elif self.lab.gateway not in json.dumps(bridge["addr_info"]) or "UP" not in str(bridge["flags"]):
            parts.append("bridge address")
        if not self._nft_present():
            parts.append("address translation")
        return parts

    def create(self, *, check_mode: bool = False) -> list[str]:
        """Create what is missing and return its names. Raises LabError when the subnet belongs to somebody else."""
        if owner := self.foreign_owner():
            raise LabError(
                f"the lab's subnet {self.lab.network} is in use on this machine ({owner}); nothing was changed; name "
                "another lab, which gets another subnet: HOLDFAST_LAB=<name>"
            )
        with machine_lock():
            parts = self.missing()
            if check_mode:
                return parts
            for part in parts:
                self._create(part)
        return parts

    def _create(self, part: str) -> None:
        bridge, gateway = self.lab.bridge, f"{self.lab.gateway}/24"
        if part == "ip_forward":
            self._previous.write_text(IP_FORWARD.read_text())
            IP_FORWARD.write_text("1")
        elif part == "blackhole route":
            run(["ip", "route", "add", "blackhole", self.lab.network, "metric", BLACKHOLE_METRIC])
        elif part in ("bridge", "bridge address"):
            if part == "bridge":
                run(["ip", "link", "add", bridge, "type", "bridge", "forward_delay", "0"])
            run(["ip", "address", "replace", gateway, "dev", bridge])
            run(["ip", "link", "set", bridge, "up"])
        elif part == "address translation":
            run(["nft", "-f", "-"], stdin=self._ruleset())

    def remove(self, *, check_mode: bool = False) -> list[str]:
        """Remove what exists and return its names; forwarding is put back when this was the machine's last lab."""
        with machine_lock():
            present = {
                "address translation": (self._nft_present, ["nft", "delete", "table", "ip", self.lab.nft_table]),
                "bridge": (lambda: self._bridge() is not None, ["ip", "link", "delete", self.lab.bridge]),
                "blackhole route": (self._blackholes, ["ip", "route", "del", "blackhole", self.lab.network]),
            }
            parts = [part for part, (exists, _argv) in present.items() if exists()]
            if check_mode:
                return parts
            for part in parts:
                run(present[part][1])
            others = [path for path in MACHINE_ROOT.iterdir() if path.is_dir() and path != Path(self.lab.machine_dir)]
            if self._previous.exists() and not others:
                IP_FORWARD.write_text(self._previous.read_text())
                self._previous.unlink()
                parts.append("ip_forward")
        return parts
