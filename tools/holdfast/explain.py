"""``holdfast explain``: what a service stores, what was decided for it, and why."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from holdfast.exit_codes import InputError, MissingResultError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_WIDE = 110  # columns from which three columns side by side read better than lines below each other


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
        _render_decisions(contract.get("decisions") or (), console)
        for advisory in contract.get("advisories") or ():
            console.print(Text(f"Advice: {advisory}", style="yellow"))
        console.print()


def _render_decisions(decisions: Iterable[Mapping[str, Any]], console: Console) -> None:
    """A table where there is room for one; else the reason below its setting, so that no name is broken in two."""
    from rich.padding import Padding
    from rich.text import Text

    rows = [(str(d.get("setting")), _short(d.get("value")), str(d.get("because"))) for d in decisions]
    if console.width >= _WIDE and all(
        len(setting) + min(len(value), 24) <= _WIDE - 50 for setting, value, _why in rows
    ):
        table = _table("What was decided, and why", "setting", "value", "because")
        table.columns[0].no_wrap = True
        table.columns[1].max_width = 24
        for row in rows:
            table.add_row(*map(Text, row))
        console.print(table)
        return
    console.print(Text("What was decided, and why", style="bold"))
    for setting, value, because in rows:
        console.print(Padding(Text(f"{setting} = {value}"), (0, 0, 0, 2)))
        console.print(Padding(Text(because, style="dim"), (0, 0, 0, 6)))


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
