"""``holdfast explain``: what a service stores, what was decided for it, and why."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from holdfast.exit_codes import InputError, MissingResultError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


def contracts_of(published: Mapping[str, Any], service: str | None) -> dict[str, Any]:
    """The contracts that ``explain_service.yml`` published, or the one asked for.

    Raises:
        MissingResultError: nothing was published.
        InputError: there is no such service in the catalog.
    """
    contracts = published.get("explain")
    if not isinstance(contracts, Mapping):
        raise MissingResultError("explain_service.yml ended without publishing explain")
    if service is None:
        return dict(contracts)
    if service not in contracts:
        near = difflib.get_close_matches(service, list(contracts), n=1)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise InputError(f"no service {service!r} in the catalog; it has: {', '.join(contracts) or 'none'}.{hint}")
    return {service: contracts[service]}


def render(contracts: Mapping[str, Any], console: Console) -> None:
    """Every contract: matrix, budget, topology, endpoints, each decision with its reason, advisories."""
    from rich.text import Text

    for name, contract in contracts.items():
        version = contract.get("version") or {}
        head = Text(f"{name}: {contract.get('engine')} {version.get('series', '')}", style="bold")
        head.append(f", {contract.get('environment')}, owned by {contract.get('owner')}", style="not bold")
        console.print(head)
        for label, text in _facts(contract):
            console.print(_pair(label, text))
        matrix = _table("What it keeps", "data", "class", "kept for")
        for row in contract.get("matrix") or ():
            days = row.get("retention_days")
            matrix.add_row(*map(Text, (str(row.get("name")), str(row.get("class")), f"{days} days" if days else "-")))
        console.print(matrix)
        decisions = _table("What was decided, and why", "setting", "value", "because")
        decisions.columns[0].ratio, decisions.columns[1].ratio, decisions.columns[2].ratio = 3, 2, 5
        decisions.expand = True
        for row in contract.get("decisions") or ():
            cells = (str(row.get("setting")), _short(row.get("value")), str(row.get("because")))
            decisions.add_row(*map(Text, cells))
        console.print(decisions)
        for advisory in contract.get("advisories") or ():
            console.print(Text(f"Advice: {advisory}", style="yellow"))
        console.print()


def _facts(contract: Mapping[str, Any]) -> list[tuple[str, str]]:
    budget = contract.get("budget") or {}
    topology = contract.get("topology") or {}
    members = ", ".join(f"{m.get('name')} ({m.get('address')})" for m in contract.get("members") or ())
    endpoints = ", ".join(
        f"{e.get('name')} {e.get('port')} from {e.get('source')}" for e in contract.get("endpoints") or ()
    )
    facts = [
        ("members", members),
        ("budget", _words(budget)),
        ("topology", _words(topology)),
        ("endpoints", endpoints),
        ("clients", ", ".join(map(str, contract.get("clients") or ()))),
        ("backup", _words(contract.get("backup") or {})),
    ]
    return [(label, text) for label, text in facts if text]


def _words(mapping: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {_short(value)}" for key, value in mapping.items() if value is not None)


def _short(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _pair(label: str, text: str) -> Table:
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 1))
    grid.add_column(width=11, style="dim")
    grid.add_column(overflow="fold")
    grid.add_row(f"  {label}", Text(text))
    return grid


def _table(title: str, *columns: str) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, header_style="dim")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table
