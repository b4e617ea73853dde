"""The lead of etcd leaves the host where Patroni leads, and goes only to a voter that can carry it."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).resolve().parents[5] / "roles/postgres/files/yield_etcd_lead.py"
spec = importlib.util.spec_from_file_location("yield_etcd_lead", SCRIPT)
assert spec
assert spec.loader
program = importlib.util.module_from_spec(spec)
sys.modules[spec.name] = program
spec.loader.exec_module(program)

LEADS = {"header": {"member_id": "1"}, "leader": "1", "raftIndex": "5000"}
MEMBERS = [{"ID": number, "name": f"m{number}", "clientURLs": [f"https://m{number}"]} for number in ("1", "2", "3")]
FOLLOWS = {"leader": "1", "raftAppliedIndex": "5000"}


def choose(
    status: Mapping[str, Any] = LEADS, members: list[dict[str, Any]] = MEMBERS, **answers: Mapping[str, Any] | None
) -> str | None:
    asked: list[str] = []

    def ask(url: str, body: Mapping[str, Any]) -> dict[str, Any]:
        name = url.removeprefix("https://").removesuffix("/v3/maintenance/status")
        asked.append(name)
        assert body == {}
        answer = answers.get(name, FOLLOWS)
        if answer is None:
            raise TimeoutError(name)
        return dict(answer)

    found = program.successor(status, members, ask)
    assert "m1" not in asked
    return found["name"] if found else None


def test_the_one_with_most_of_the_log_leads_next() -> None:
    assert choose() == "m2"
    assert choose(m2={**FOLLOWS, "raftAppliedIndex": "4990"}) == "m3"


@pytest.mark.parametrize(
    "status", [{**LEADS, "leader": "2"}, {**LEADS, "leader": "0"}, {**LEADS, "errors": ["NOSPACE"]}]
)
def test_who_does_not_lead_or_is_ill_hands_nothing_over(status: dict[str, Any]) -> None:
    assert choose(status) is None


@pytest.mark.parametrize(
    "bad",
    [
        None,
        {**FOLLOWS, "leader": "3"},
        {**FOLLOWS, "raftAppliedIndex": "4400"},
        {**FOLLOWS, "errors": ["CORRUPT"]},
        {"leader": "1"},
    ],
)
def test_one_that_could_not_carry_it_is_passed_over(bad: dict[str, Any] | None) -> None:
    assert choose(m2=bad) == "m3"
    assert choose(m2=bad, m3=bad) is None


def test_learners_and_members_that_were_never_started_have_no_vote_or_address() -> None:
    members = [MEMBERS[0], {**MEMBERS[1], "isLearner": True}, {**MEMBERS[2], "clientURLs": []}]
    assert choose(members=members) is None
