# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The end of a member on its own host: Patroni is stopped for good, and the data is kept aside or wiped."""

from __future__ import annotations

import re
import shutil
import time
from pathlib import Path

from ansible_collections.holdfast.stateful.plugins.module_utils.patroni import PatroniError
from ansible_collections.holdfast.stateful.plugins.module_utils.patroni_watch import Watch
from ansible_collections.holdfast.stateful.plugins.module_utils.postgres_host import UNIT
from ansible_collections.holdfast.stateful.plugins.module_utils.systemd_unit import show, systemctl

CONFIG = Path("/etc/patroni/config.yml")


def configured_scope(config: Path) -> str | None:
    """Return the scope that Patroni on this host is configured for; nothing where it is not configured."""
    try:
        text = config.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    found = re.findall(r"^scope:[ \t]*[\"']?([^\"'\s]+)[\"']?[ \t]*$", text, re.MULTILINE)
    if len(found) != 1:
        raise PatroniError(f"{config}: expected one scope, found {', '.join(found) or 'none'}: look at it")
    return str(found[0])


def retire(watch: Watch, check: bool) -> list[str]:
    """Stop Patroni for good on this host, then rename, or wipe, its data directory."""
    params = watch.params
    watch.look()
    name = params["name"]
    if watch.verdict.leader is None:
        raise PatroniError(f"expected the members that stay to agree on a leader, found: {watch.complaint()}")
    if watch.verdict.leader == name or name in {view.name for view in watch.views}:
        raise PatroniError(f"{name} leads or is declared: nothing is stopped here")
    state = show(UNIT, "ActiveState", "UnitFileState", "LoadState")
    runs = state.get("LoadState") == "loaded" and (
        state.get("ActiveState") not in {"inactive", "failed"} or state.get("UnitFileState") == "enabled"
    )
    folder = Path(params["data_dir"])
    has_data = folder.is_dir() and any(folder.iterdir())
    if runs or has_data:
        _require_scope(params["scope"])
    steps = []
    if runs:
        steps.append("stop and disable Patroni")
        if not check:
            systemctl("disable", "--now", "--", UNIT)
    if has_data:
        steps.append(_put_away(folder, params["wipe"], check))
    return steps


def _require_scope(scope: str) -> None:
    """Refuse a host whose Patroni serves another cluster, or nobody knows which."""
    found = configured_scope(CONFIG)
    if found != scope:
        raise PatroniError(
            f"{CONFIG}: expected scope {scope}, found {found or 'no configuration'}: this host is no former member of"
            " the cluster, and nothing is stopped here. Name the member that left"
        )


def _put_away(folder: Path, wipe: bool, check: bool) -> str:
    """Delete or rename the data directory; return the step."""
    if wipe:
        if not check:
            shutil.rmtree(folder)
        return f"delete {folder}"
    kept = folder.with_name(f"{folder.name}.removed-{int(time.time())}")
    if not check:
        folder.rename(kept)
    return f"rename {folder} to {kept}"
