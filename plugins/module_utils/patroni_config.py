# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The dynamic configuration of a Patroni cluster: compared, judged by a live server, and sent as a difference."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.holdfast.stateful.plugins.module_utils.patroni import Api, PatroniError, config_patch, pick
from ansible_collections.holdfast.stateful.plugins.module_utils.postgres_objects import session
from ansible_collections.holdfast.stateful.plugins.module_utils.postgres_restart_order import SHARED, wanted_shared
from ansible_collections.holdfast.stateful.plugins.module_utils.postgres_settings import Setting, problems, read

Known = Callable[[], Mapping[str, Setting]]
#: The longest that a member's copy of the configuration may be behind the store's.
KEPT_SECONDS = 10.0


def local_settings(port: int) -> dict[str, Setting]:
    """Ask this host's server for its parameters."""
    with session(port) as cursor:
        return read(cursor)


def parameters_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the PostgreSQL parameters of a dynamic configuration, or of a part of it."""
    return dict((config.get("postgresql") or {}).get("parameters") or {})


def refuse_bad(config: Mapping[str, Any], known: Known) -> None:
    """Refuse parameters that a live server does not know or would not take: Patroni drops those in silence."""
    parameters = parameters_of(config)
    wrong = problems(parameters, known()) if parameters else []
    if wrong:
        raise PatroniError("nothing was changed: " + "; ".join(wrong) + ". Correct the declared parameters")


def refuse_role_change(scope: str, current: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Refuse what would promote a standby cluster, or give up the data of a promoted one: neither is a setting."""
    follows, declared = current.get("standby_cluster"), wanted.get("standby_cluster")
    if declared and not follows:
        raise PatroniError(
            f"nothing was changed: the catalog declares {scope} a standby cluster, and the live one takes writes."
            " Was it promoted? Then remove standby_of from its entry. It is never made a standby again in place"
        )
    if follows and not declared:
        raise PatroniError(
            f"nothing was changed: {scope} is a live standby cluster of {follows.get('host')}, and the catalog declares"
            " none. Promote it with playbooks/promote_standby_cluster.yml, or declare standby_of again"
        )


def send_difference(
    api: Api, scope: str, wanted: Mapping[str, Any], known: Known, result: dict[str, Any], check: bool
) -> float:
    """Compare, judge and send; return how many seconds the members need to take note, 0 where nothing was sent."""
    current = api.get("/config")
    refuse_role_change(scope, current, wanted)
    # All that is declared, not the difference: Patroni keeps a bad value that it was given before, and drops it.
    refuse_bad(wanted, known)
    patch = config_patch(current, wanted)
    result["config_changes"] = patch
    if not patch:
        return 0.0
    result["changed"] = True
    result["diff"].append(
        {
            "header": f"dynamic configuration of {scope}",
            "before": json.dumps(pick(current, patch), indent=2, sort_keys=True) + "\n",
            "after": json.dumps(patch, indent=2, sort_keys=True) + "\n",
        }
    )
    if check:
        return 0.0
    status, said = api.ask("PATCH", "/config", patch)
    if status != 200:
        raise PatroniError(f"{api.where}/config: expected HTTP 200, found {status}: {str(said)[:300]}")
    wait_until_kept(api, wanted)
    # Members look every loop_wait: one round later they know which settings wait for a restart.
    return float(wanted.get("loop_wait", current.get("loop_wait", 10))) + 0.5


def wait_until_kept(api: Api, wanted: Mapping[str, Any]) -> None:
    """Wait until a member shows the configuration that was sent: it answers from a copy that its watch renews."""
    deadline = time.monotonic() + KEPT_SECONDS
    while left := config_patch(api.get("/config"), wanted):
        if time.monotonic() >= deadline:
            raise PatroniError(
                f"{api.where}/config: expected the change to be kept within {KEPT_SECONDS:g} s, still different:"
                f" {json.dumps(left)[:300]}: does somebody else change it? Look at {api.where}/config, then run again"
            )
        time.sleep(0.2)


def wait_for_notice(seconds: float) -> None:
    """Wait until every member has looked at the configuration."""
    time.sleep(seconds)


def shared_values(api: Api, settings: Mapping[str, Setting]) -> dict[str, dict[str, int]]:
    """Return the shared-memory values that this host's server runs with, and those that are declared."""
    missing = sorted(set(SHARED) - set(settings))
    if missing:
        raise PatroniError(f"expected the server to name {', '.join(missing)}, found nothing")
    return {
        "running": {name: int(settings[name].setting) for name in SHARED},
        "wanted": wanted_shared(parameters_of(api.get("/config"))),
    }
