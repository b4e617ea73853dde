# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names and addresses of a lab, derived from its checkout so that two checkouts never collide."""

from __future__ import annotations

import hashlib
import ipaddress
import os
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

MACHINE_ROOT = Path("/var/lib/holdfast-lab")
IMAGE_ROOT = Path(os.environ.get("HOLDFAST_LAB_CACHE", "/var/cache/holdfast-lab"))
#: Where ssh keeps its masters: short, because a socket's path has 108 bytes at most.
CONTROL_FOLDER = "~/.ssh"
DEFAULT_NAME = "default"
NAME_PATTERN = re.compile(r"[a-z][a-z0-9-]{0,19}")


@dataclass(frozen=True)
class Lab:
    """Everything that belongs to one lab carries its id; nothing else on the machine does."""

    name: str
    checkout: str
    id: str
    bridge: str
    nft_table: str
    network: str
    prefix: str
    gateway: str
    state_dir: str
    machine_dir: str
    control_path: str

    def to_dict(self) -> dict[str, Any]:
        """Return the lab as plain data, for templates."""
        return asdict(self)


def identify(checkout: str, name: str = DEFAULT_NAME) -> Lab:
    """Derive the lab called `name` of the checkout at path `checkout`.

    The id is a hash of both; the /24 comes from the same hash, inside 10.128.0.0/9, where home and office
    networks are rare. Whether the subnet is free is checked before anything is created.

    Raises ValueError when the name can't be part of a machine name.
    """
    if not NAME_PATTERN.fullmatch(name):
        raise ValueError(
            f"lab name {name!r}: expected 1 to 20 of a-z, 0-9 and '-', starting with a letter; "
            "set HOLDFAST_LAB to such a name"
        )
    root = str(Path(checkout).resolve())
    digest = hashlib.sha256(f"{root}:{name}".encode()).digest()
    lab_id = digest.hex()[:5]
    prefix = f"10.{128 + digest[8] % 128}.{digest[9]}"
    return Lab(
        name=name,
        checkout=root,
        id=lab_id,
        bridge=f"hfbr-{lab_id}",
        nft_table=f"holdfast_lab_{lab_id}",
        network=str(ipaddress.ip_network(f"{prefix}.0/24")),
        prefix=prefix,
        gateway=f"{prefix}.1",
        state_dir=str(Path(root) / ".holdfast" / "lab" / name),
        machine_dir=str(MACHINE_ROOT / lab_id),
        control_path=f"{CONTROL_FOLDER}/holdfast-{lab_id}-%h",
    )
