from __future__ import annotations

from typing import Any

import pytest
from holdfast.events import EventLog, message_of


def event(kind: str, **data: Any) -> dict[str, Any]:
    return {"event": kind, "event_data": data}


def test_events_become_counts_results_and_what_is_running() -> None:
    log = EventLog()
    log.take(event("playbook_on_play_start", name="P"))
    log.take(event("playbook_on_task_start", name="T"))
    log.take(event("runner_on_start", host="a", task="T"))
    log.take(event("runner_on_start", host="b", task="T"))
    assert log.running == {"a": "T", "b": "T"}
    assert log.take(event("runner_on_ok", host="a", task="T", res={"changed": True}, duration=1.5)) is log.results[0]
    log.take(event("runner_on_unreachable", host="b", task="T", res={"msg": "gone"}))
    assert log.running == {}
    assert [(r.host, r.outcome, r.message) for r in log.results] == [("a", "changed", ""), ("b", "unreachable", "gone")]
    assert log.counts["a"]["changed"] == 1
    assert log.started


def test_a_rescued_or_ignored_failure_is_no_failure() -> None:
    log = EventLog()
    log.take(event("runner_on_failed", host="a", res={"msg": "x", "refusal": "gate"}))
    log.take(event("runner_on_failed", host="b", res={"msg": "y"}))
    log.take(event("runner_on_failed", host="c", res={"msg": "z"}, ignore_errors=True))
    log.take(event("playbook_on_stats", failures={"b": 1}, dark={}, rescued={"a": 1}, artifact_data={"status": 1}))
    assert [r.host for r in log.failures] == ["b"]
    assert log.published == {"status": 1}


@pytest.mark.parametrize(
    ("res", "refusal", "violations"),
    [
        ({"refusal": "gate"}, "gate", 0),
        ({"refusal": "input", "violations": [{"path": "a"}, "odd"]}, "input", 1),
        ({"results": [{"refusal": "gate"}, {"refusal": "input", "violations": [{"path": "b"}]}]}, "input", 1),
        ({"refusal": ""}, None, 0),
        ({}, None, 0),
    ],
)
def test_refusals_are_read_from_results_and_loops(res: dict[str, Any], refusal: str | None, violations: int) -> None:
    result = EventLog().take(event("runner_on_failed", host="a", res=res))
    assert result is not None
    assert (result.refusal, len(result.violations)) == (refusal, violations)


def test_message_takes_the_items_that_failed_and_stderr() -> None:
    res = {
        "msg": "One or more items failed",
        "results": [{"item": "x", "failed": True, "msg": "no x", "stderr": "why"}, {"item": "y"}],
    }
    assert message_of(res) == "One or more items failed\nx: no x\nwhy"
    assert message_of({"censored": "hidden"}) == "hidden"


def test_complaint_starts_at_the_error() -> None:
    log = EventLog()
    for line in ("[WARNING]: x", "", "\x1b[31m[ERROR]: bad\x1b[0m", "more"):
        log.take({"event": "verbose", "stdout": line})
    assert log.complaint() == "[ERROR]: bad\nmore"
    assert not log.started
