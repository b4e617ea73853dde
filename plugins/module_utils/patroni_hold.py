# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The hold on Patroni while the consensus store is restored, and who led last, from what every member reported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible_collections.holdfast.stateful.plugins.module_utils.patroni import MemberView
from ansible_collections.holdfast.stateful.plugins.module_utils.postgres_host import HostError

# A drop-in of the unit that forbids its start for as long as it exists (docs/adr/0091).
HOLD = "/etc/systemd/system/patroni.service.d/hold.conf"
# systemd ignores options that begin with "X-".
LEADER = "X-Holdfast-Leader="
RUNBOOK = "docs/runbooks/replace_etcd_member.md"
STOPPED = {"inactive", "failed"}


def read_hold(path: str) -> str:
    """Return who led when this host's Patroni was held back, "" where it is not. Raises HostError."""
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return ""
    except (OSError, ValueError) as error:
        raise HostError(f"{path}: expected to read who led, found: {error}") from error
    found = [line[len(LEADER) :].strip() for line in lines if line.startswith(LEADER)]
    if len(found) != 1 or not found[0]:
        raise HostError(f"{path}: expected one line {LEADER}<member>, found {len(found)}: see {RUNBOOK}")
    return found[0]


def report_of(view: MemberView, hold: str, active_state: str) -> dict[str, Any]:
    """Return what one member contributes to the question who led last."""
    xlog = view.own.get("xlog") or {}
    places = [xlog.get(name) for name in ("location", "received_location", "replayed_location")]
    return {
        "leads": view.leads,
        "takes_writes": view.takes_writes,
        "hold": hold,
        "runs": active_state not in STOPPED,
        "timeline": view.own.get("timeline") if isinstance(view.own.get("timeline"), int) else None,
        "position": max((place for place in places if isinstance(place, int)), default=None),
    }


def last_leader(
    reports: Mapping[str, Mapping[str, Any] | None], members: Sequence[str], named: str, standby: bool
) -> dict[str, Any]:
    """Return `leader` and `blocker`: who led last, and why nothing may be stopped.

    One that leads by its own word is believed; then what an earlier run wrote, where all others were stopped under it;
    then an operator who names one, unless another member is seen to hold more WAL.
    """

    def no(why: str) -> dict[str, Any]:
        return {"leader": None, "blocker": f"{why}; nothing was stopped"}

    seen = {name: report for name in members if (report := reports.get(name))}
    unseen = [name for name in members if name not in seen]
    if unseen:
        return no(f"{', '.join(unseen)}: expected every member's own word, found none: bring them back, run again")
    if named and named not in seen:
        return no(f"expected -e led=<name> with one of {', '.join(members)}, found {named}")
    leading = [name for name, report in seen.items() if report["leads"]]
    if len(leading) > 1:
        return no(f"expected one member that says that it leads, found {', '.join(leading)}")
    held = sorted({report["hold"] for report in seen.values() if report["hold"]})
    written = [name for name in held if _others_stopped(seen, name)]
    found = leading[0] if leading else written[0] if len(held) == 1 and written else ""
    if found and named and found != named:
        return no(f"expected {found}, which {'leads' if leading else 'led last'}, found -e led={named}")
    if leading and seen[found]["takes_writes"] == standby:
        is_one, declared = ("takes writes", "a standby cluster") if standby else ("is a standby cluster", "none")
        return no(f"{found} {is_one}, and the catalog declares {declared}: correct standby_of, then run again")
    if found:
        return {"leader": found, "blocker": ""}
    places = ", ".join(f"{name} {_place(report)}" for name, report in seen.items())
    holds = f"the members hold (timeline/WAL): {places}"
    if not named:
        return no(
            f"expected one member that says that it leads, found none; {holds}. Name the one that led last with"
            f" -e led=<name>, see {RUNBOOK}"
        )
    more = [name for name in seen if _is_ahead(seen[name], seen[named])]
    if more:
        return no(f"-e led={named}: {', '.join(more)} holds more; {holds}")
    return {"leader": named, "blocker": ""}


def _others_stopped(seen: Mapping[str, Mapping[str, Any]], name: str) -> bool:
    """Say whether nobody else can have led since: every other member was stopped under this name."""
    others = [report for other, report in seen.items() if other != name]
    return name in seen and all(report["hold"] == name and not report["runs"] for report in others)


def _is_ahead(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Compare two members by timeline, then by WAL; what is not known is not ahead."""
    values = [one["timeline"], one["position"], other["timeline"], other["position"]]
    return None not in values and (values[0], values[1]) > (values[2], values[3])


def _place(report: Mapping[str, Any]) -> str:
    """Return a member's timeline and WAL position as PostgreSQL writes them."""
    timeline, position = report["timeline"], report["position"]
    if timeline is None or position is None:
        return "unknown"
    return f"{timeline}/{position >> 32:X}/{position & 0xFFFFFFFF:X}"
