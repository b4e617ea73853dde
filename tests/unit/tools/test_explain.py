from __future__ import annotations

from typing import Any

import pytest
from holdfast.exit_codes import InputError, MissingResultError
from holdfast.explain import contracts_of, render
from rich.console import Console

CONTRACT: dict[str, Any] = {
    "service": "orders-db", "engine": "postgres", "environment": "production", "owner": "team-orders",
    "version": {"series": "17"},
    "members": [{"name": f"orders-db-node-{n}", "address": f"10.11.12.{n}"} for n in range(1, 6)],
    "matrix": [{"name": "orders", "class": "durable"}, {"name": "ledger", "class": "retained", "retention_days": 2555}],
    "budget": {"rpo_seconds": 0, "rto_seconds": 30, "planned_outage_ms": 2000, "max_replica_lag_seconds": 5},
    "topology": {"members": 3, "quorum": 2, "synchronous": True, "synchronous_nodes": 1},
    "endpoints": [{"name": "postgres", "port": 5432, "source": "clients"}],
    "clients": ["10.0.0.0/8"],
    "decisions": [
        {"setting": "patroni.synchronous_mode_strict", "value": True,
         "because": "rpo_seconds is 0, so a write nobody else has must not be confirmed. " * 3},
        {"setting": "parameters.shared_preload_libraries_and_more", "value": ["pg_stat_statements", "auto_explain"],
         "because": "measured"},
    ],
    "advisories": ["Two of three members share a rack: losing it costs the quorum. " * 2],
}  # fmt: skip


@pytest.mark.parametrize("width", [80, 120])
def test_everything_is_there_and_nothing_cut_off(width: int) -> None:
    console = Console(width=width, force_terminal=False)
    with console.capture() as capture:
        render({"orders-db": CONTRACT}, console)
    text = capture.get()
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    squeezed = "".join(text.split())
    for part in (
        "2555 days",
        "ledger",
        "retained",
        "patroni.synchronous_mode_strict",
        "auto_explain",
        "measured",
        "rto_seconds 30",
    ):
        assert part.replace(" ", "") in squeezed, part
    words = text.split()
    assert words.count("confirmed.") == 3
    assert "Advice:" in words


def test_one_service_is_picked_and_a_typo_answered() -> None:
    data = {"explain": {"orders-db": CONTRACT, "cache": {}}}
    assert list(contracts_of(data, None)) == ["orders-db", "cache"]
    assert list(contracts_of(data, "cache")) == ["cache"]
    with pytest.raises(InputError, match="Did you mean orders-db"):
        contracts_of(data, "order-db")
    with pytest.raises(MissingResultError):
        contracts_of({}, None)


def test_a_bare_contract_can_be_shown() -> None:
    console = Console(width=80)
    with console.capture() as capture:
        render({"x": {}}, console)
    assert "x:" in capture.get()
