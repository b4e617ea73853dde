from __future__ import annotations

from typing import Any

import pytest
from holdfast.exit_codes import ExitCode, MissingResultError
from holdfast.status import judge, render, services_of
from rich.console import Console

GOOD: dict[str, Any] = {
    "service": "orders-db", "engine": "postgres", "healthy": True,
    "leader": "n1", "leader_since": "2026-01-01T00:00:00Z",
    "endpoint": "10.0.0.1:5432", "budget": {"kept": True}, "problems": [],
    "members": [
        {"host": "n1", "role": "leader", "state": "running", "version": "17.2", "lag_seconds": 0},
        {"host": "n2", "role": "replica", "state": "streaming", "version": "17.2", "lag_seconds": 0.2},
    ],
}  # fmt: skip


def published(*services: Any) -> dict[str, Any]:
    return {"status": {"services": list(services)}}


def with_member(**member: Any) -> dict[str, Any]:
    return {**GOOD, "members": [GOOD["members"][0], member]}


@pytest.mark.parametrize(
    ("services", "expected"),
    [
        ([GOOD], ExitCode.OK),
        ([GOOD, GOOD], ExitCode.OK),
        ([], ExitCode.UNHEALTHY),
        ([GOOD, {**GOOD, "healthy": False}], ExitCode.UNHEALTHY),
        ([{**GOOD, "healthy": None}], ExitCode.UNHEALTHY),
        ([{**GOOD, "healthy": "true"}], ExitCode.UNHEALTHY),
        ([{k: v for k, v in GOOD.items() if k != "healthy"}], ExitCode.UNHEALTHY),
        ([{**GOOD, "members": []}], ExitCode.UNHEALTHY),
        ([{**GOOD, "members": None}], ExitCode.UNHEALTHY),
        ([with_member(host="n2", state="unknown")], ExitCode.UNHEALTHY),
        ([with_member(host="n2", state=None)], ExitCode.UNHEALTHY),
        ([with_member(host="n2")], ExitCode.UNHEALTHY),
    ],
)
def test_only_what_was_seen_to_be_healthy_is(services: list[Any], expected: ExitCode) -> None:
    assert judge(published(*services)) is expected


@pytest.mark.parametrize(
    "data", [{}, {"status": None}, {"status": {}}, {"status": {"services": "x"}}, {"status": {"services": [1]}}]
)
def test_nothing_published_is_an_error_not_health(data: dict[str, Any]) -> None:
    with pytest.raises(MissingResultError, match="unknown"):
        services_of(data)


def test_a_doubt_becomes_a_problem_with_a_name() -> None:
    (service,) = services_of(published(with_member(host="n2")))
    assert service["problems"] == ["n2: its state is unknown"]
    assert service["members"][1]["state"] == "unknown"
    (service,) = services_of(published({**with_member(host="n2"), "problems": ["n2 is unreachable"]}))
    assert service["problems"] == ["n2 is unreachable"]


@pytest.mark.parametrize("width", [80, 120])
def test_the_table_fits_and_truncates_nothing(width: int) -> None:
    long = {**GOOD, "healthy": False, "problems": ["a problem with many words " * 8]}
    console = Console(width=width, force_terminal=False)
    with console.capture() as capture:
        render(services_of(published(long)), console)
    text = capture.get()
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    assert text.count("many words") == 8 or " ".join(text.split()).count("a problem with many words") == 8
    for part in (
        "orders-db (postgres): UNHEALTHY",
        "leader n1 since 2026-01-01T00:00:00Z",
        "streaming",
        "17.2",
        "0.2",
        "budget kept",
    ):
        assert part in text
