"""``holdfast prove``: what was measured from a client's side, and whether each promise held."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from holdfast.exit_codes import ExitCode, MissingResultError

if TYPE_CHECKING:
    from rich.console import Console


def proofs_of(published: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What ``prove_services.yml`` published; a check's ``ok`` becomes a boolean, true only when it said true.

    Raises:
        MissingResultError: nothing was published.
    """
    proof = published.get("proof")
    if not isinstance(proof, list):
        raise MissingResultError("prove_services.yml ended without publishing proof: nothing is proven")
    result = []
    for item in proof:
        checks = [{**c, "ok": c.get("ok") is True} for c in item.get("checks") or () if isinstance(c, Mapping)]
        result.append({**item, "checks": checks})
    return result


def judge(published: Mapping[str, Any]) -> ExitCode:
    """Proven only when there are services, each has checks, and all of them held."""
    proofs = proofs_of(published)
    proven = bool(proofs) and all(p["checks"] and all(c["ok"] for c in p["checks"]) for p in proofs)
    return ExitCode.OK if proven else ExitCode.NOT_PROVEN


def render(proofs: list[dict[str, Any]], console: Console) -> None:
    """Each check with what was seen."""
    from rich.table import Table
    from rich.text import Text

    if not proofs:
        console.print("Nothing was proven: no service was measured.")
    for proof in proofs:
        held = sum(c["ok"] for c in proof["checks"])
        good = bool(proof["checks"]) and held == len(proof["checks"])
        head = Text(f"{proof.get('service')} ({proof.get('engine')}): ", style="bold")
        head.append(f"{held} of {len(proof['checks'])} promises held", style="green" if good else "red")
        console.print(head)
        table = Table.grid(padding=(0, 2))
        for ratio in (None, 2, 3):
            table.add_column(overflow="fold", ratio=ratio)
        table.expand = True
        for check in proof["checks"]:
            mark = Text("  held", style="green") if check["ok"] else Text("  NOT HELD", style="red")
            table.add_row(mark, Text(str(check.get("name"))), Text(str(check.get("detail") or "")))
        console.print(table)
        console.print()
