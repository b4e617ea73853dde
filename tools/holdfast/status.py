"""``holdfast status``: is each service healthy, who leads, since when, how far is everyone behind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from holdfast.exit_codes import ExitCode, MissingResultError

if TYPE_CHECKING:
    from rich.console import Console

_NO_STATE = (None, "", "unknown")


def services_of(published: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The services in what ``show_status.yml`` published, with every doubt counted against them.

    ``healthy`` becomes a boolean that is true only when the playbook said so, there are members, and the state of each
    is known. Order and further keys are kept.

    Raises:
        MissingResultError: nothing was published, or not in the agreed shape.
    """
    status = published.get("status")
    services = status.get("services") if isinstance(status, Mapping) else None
    if not isinstance(services, list) or not all(isinstance(s, Mapping) for s in services):
        raise MissingResultError("show_status.yml ended without publishing status.services: its health is unknown")
    return [_strict(service) for service in services]


def _strict(service: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(service)
    members = [dict(m) for m in service.get("members") or () if isinstance(m, Mapping)]
    problems = [str(p) for p in service.get("problems") or ()]
    doubts = [] if members else ["no member was observed"]
    for member in members:
        if member.get("state") in _NO_STATE:
            member["state"] = "unknown"
            doubts.append(f"{member.get('host', 'a member')}: its state is unknown")
    if service.get("healthy") not in (True, False):
        doubts.append("its health was not observed")
    result["healthy"] = service.get("healthy") is True and not doubts
    result["members"] = members
    result["problems"] = problems + [d for d in doubts if not any(d.split(":", maxsplit=1)[0] in p for p in problems)]
    return result


def judge(published: Mapping[str, Any]) -> ExitCode:
    """Healthy only when there are services and all of them are."""
    services = services_of(published)
    return ExitCode.OK if services and all(s["healthy"] for s in services) else ExitCode.UNHEALTHY


def render(services: list[dict[str, Any]], console: Console) -> None:
    """A headline, the members and the problems of each service."""
    from rich.table import Table
    from rich.text import Text

    if not services:
        console.print("No service is declared, or none was observed.")
    for service in services:
        good = service["healthy"]
        head = Text(f"{service.get('service')} ({service.get('engine')}): ", style="bold")
        head.append("healthy" if good else "UNHEALTHY", style="green" if good else "red")
        console.print(head)
        leader, since = service.get("leader"), service.get("leader_since")
        facts = [f"leader {leader or 'none'}" + (f" since {since}" if since else "")]
        if service.get("endpoint"):
            facts.append(f"endpoint {service['endpoint']}")
        if (kept := _budget(service.get("budget"))) is not None:
            facts.append(kept)
        console.print(Text("  " + "; ".join(facts)))
        table = Table(box=None, padding=(0, 2, 0, 2), header_style="dim")
        for title in ("host", "role", "state", "version"):
            table.add_column(title, overflow="fold")
        table.add_column("lag (s)", justify="right")
        for member in service["members"]:
            row = [_plain(member.get(key)) for key in ("host", "role", "state", "version", "lag_seconds")]
            table.add_row(*map(Text, row), style="red" if member["state"] == "unknown" else "")
        console.print(table)
        for problem in service["problems"]:
            console.print(Text(f"  ! {problem}", style="red"))
        console.print()


def _budget(budget: object) -> str | None:
    if not isinstance(budget, Mapping) or "kept" not in budget:
        return None
    kept = budget["kept"]
    return "budget " + ("kept" if kept is True else "NOT kept" if kept is False else "not measured")


def _plain(value: object) -> str:
    return "-" if value is None or value == "" else str(value)
