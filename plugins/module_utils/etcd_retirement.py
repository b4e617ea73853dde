# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The end of an etcd member on its own host, once it has no vote any more."""

from __future__ import annotations

import re
from pathlib import Path

from ansible_collections.holdfast.stateful.plugins.module_utils.etcd import EtcdError
from ansible_collections.holdfast.stateful.plugins.module_utils.etcd_watch import UNIT
from ansible_collections.holdfast.stateful.plugins.module_utils.systemd_unit import show, systemctl

ENVIRONMENT = Path("/etc/etcd/etcd.env")


def retire(data_dir: str, check: bool) -> list[str]:
    """Stop and disable etcd, where it is the member with this data directory; the data stays."""
    state = show(UNIT, "ActiveState", "UnitFileState", "LoadState")
    if state.get("LoadState") != "loaded" or (
        state.get("ActiveState") in {"inactive", "failed"} and state.get("UnitFileState") != "enabled"
    ):
        return []
    text = ENVIRONMENT.read_text(encoding="utf-8") if ENVIRONMENT.exists() else ""
    found = re.findall(r"^ETCD_DATA_DIR=(.*)$", text, re.MULTILINE)
    if found != [data_dir]:
        raise EtcdError(
            f"{ENVIRONMENT}: expected ETCD_DATA_DIR={data_dir}, found {', '.join(found) or 'none'}: the etcd here"
            " belongs to another store, and is not stopped"
        )
    if not check:
        systemctl("disable", "--now", "--", UNIT)
    return ["stop and disable etcd"]
