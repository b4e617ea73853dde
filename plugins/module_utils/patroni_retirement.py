# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The end of a member on its own host: Patroni is stopped for good, and the data is kept aside or wiped."""

from __future__ import annotations

import os
import re
import shutil
import time
from pathlib import Path

from ansible_collections.holdfast.stateful.plugins.module_utils.host_state_write import write_file
from ansible_collections.holdfast.stateful.plugins.module_utils.patroni import PatroniError
from ansible_collections.holdfast.stateful.plugins.module_utils.patroni_removal import (
    PAUSED,
    is_synchronous,
    judge_staying,
    removal_blocker,
)
from ansible_collections.holdfast.stateful.plugins.module_utils.patroni_watch import INTERVAL, Watch
from ansible_collections.holdfast.stateful.plugins.module_utils.postgres_host import UNIT
from ansible_collections.holdfast.stateful.plugins.module_utils.systemd_unit import show, systemctl

CONFIG = Path("/etc/patroni/config.yml")
PROC = Path("/proc")
# Seconds for the last process of a server that was told to stop.
GONE = 30.0
NOSYNC = re.compile(r"^(  nosync: )(true|false)$", re.MULTILINE)


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
    state = show(UNIT, "ActiveState", "UnitFileState", "LoadState")
    runs = state.get("LoadState") == "loaded" and (
        state.get("ActiveState") not in {"inactive", "failed"} or state.get("UnitFileState") == "enabled"
    )
    folder = Path(params["data_dir"])
    has_data = folder.is_dir() and any(folder.iterdir())
    if not runs and not has_data:
        # Asking nobody: once the others were converged without it, their firewall lets this host ask nothing.
        return []
    _require_scope(params["scope"])
    watch.look()
    name = params["name"]
    if watch.verdict.leader is None:
        raise PatroniError(f"expected the members that stay to agree on a leader, found: {watch.complaint()}")
    if watch.verdict.leader == name or name in {view.name for view in watch.views}:
        raise PatroniError(f"{name} leads or is declared: nothing is stopped here")
    if watch.verdict.paused:
        raise PatroniError(PAUSED)
    steps = []
    if state.get("ActiveState") == "active" and params["synchronous_nodes"]:
        steps += _step_back(watch, check)
    if runs:
        steps.append("stop and disable Patroni")
        if not check:
            systemctl("disable", "--now", "--", UNIT)
    if has_data:
        if not check:
            _require_no_process(folder)
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


def _step_back(watch: Watch, check: bool) -> list[str]:
    """Have the leader choose another synchronous standby while this one still runs: no commit shall wait for it."""
    params = watch.params
    name, timeout = params["name"], params["timeout"]
    text = CONFIG.read_text(encoding="utf-8")
    if len(NOSYNC.findall(text)) != 1:
        raise PatroniError(f"{CONFIG}: expected the tag nosync, found none: it was not written by Holdfast")
    marked = NOSYNC.sub(r"\1true", text)
    if check:
        return ["give up being a synchronous standby"] if marked != text else []
    if marked != text:
        owner = CONFIG.stat()
        write_file({"path": str(CONFIG), "mode": "0600", "validate": ""}, marked.encode(), owner.st_uid, owner.st_gid)
    systemctl("reload", "--", UNIT)

    def found() -> str:
        watch.look()
        verdict = judge_staying(watch.views, params["scope"], params["synchronous_nodes"], name)
        waits = f"commits still wait for {name}" if is_synchronous(watch.views, name) else ""
        return waits or removal_blocker(watch.views, verdict, name)

    deadline = time.monotonic() + timeout
    while blocker := found():
        if time.monotonic() >= deadline:
            raise PatroniError(f"expected the leader to do without {name} within {timeout:g} s, found: {blocker}")
        time.sleep(INTERVAL)
    return ["give up being a synchronous standby"] if marked != text else []


def _require_no_process(folder: Path) -> None:
    """Refuse while a process works in the data directory: every process of a server does, and some outlive Patroni."""
    deadline = time.monotonic() + GONE
    while found := processes_in(folder):
        if time.monotonic() >= deadline:
            raise PatroniError(
                f"{folder}: expected no process that works there within {GONE:g} s, found {', '.join(map(str, found))}:"
                " stop it (ps -fp), then run again; the data was left where it is"
            )
        time.sleep(INTERVAL)


def processes_in(folder: Path) -> list[int]:
    """Return the processes whose working directory is this folder or below it."""
    within, found = folder.resolve(), []
    for process in PROC.glob("[0-9]*"):
        try:
            where = Path(os.readlink(process / "cwd"))  # noqa: PTH115 - of a deleted folder the name is all there is
        except (FileNotFoundError, ProcessLookupError):
            continue
        if where == within or within in where.parents:
            found.append(int(process.name))
    return sorted(found)


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
