from __future__ import annotations

from typing import Any

import pytest
from holdfast.exit_codes import ExitCode, MissingResultError
from holdfast.prove import judge, proofs_of, render
from rich.console import Console


def proof(*oks: Any) -> dict[str, Any]:
    checks = [{"name": f"promise {n}", "ok": ok, "detail": "4 writes lost " * 9} for n, ok in enumerate(oks)]
    return {"service": "orders-db", "engine": "postgres", "checks": checks}


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        ([proof(True, True)], ExitCode.OK),
        ([proof(True), proof(True, False)], ExitCode.NOT_PROVEN),
        ([proof(None)], ExitCode.NOT_PROVEN),
        ([proof("true")], ExitCode.NOT_PROVEN),
        ([proof()], ExitCode.NOT_PROVEN),
        ([{"service": "x", "checks": [{"name": "no answer"}]}], ExitCode.NOT_PROVEN),
        ([], ExitCode.NOT_PROVEN),
    ],
)
def test_only_what_was_measured_is_proven(items: list[Any], expected: ExitCode) -> None:
    assert judge({"proof": items}) is expected


def test_nothing_published_proves_nothing() -> None:
    with pytest.raises(MissingResultError, match="nothing is proven"):
        proofs_of({})


@pytest.mark.parametrize("width", [80, 120])
def test_each_check_is_shown_whole(width: int) -> None:
    console = Console(width=width)
    with console.capture() as capture:
        render(proofs_of({"proof": [proof(True, False)]}), console)
    text = capture.get()
    assert "1 of 2 promises held" in text
    assert "NOT HELD" in text
    assert "…" not in text
    assert " ".join(text.split()).count("lost") == 18
