"""A planned move behind paused poolers: they are resumed however it ends, and the mark for Patroni's hook goes too."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.holdfast.stateful.plugins.module_utils.patroni import PatroniError
from ansible_collections.holdfast.stateful.plugins.module_utils.pooler_console import PoolerError
from ansible_collections.holdfast.stateful.plugins.modules import patroni_switchover


class Poolers:
    """Notes what was asked for, and fails where it is told to."""

    def __init__(self, fail: str = "", late: list[str] | None = None, stuck: list[str] | None = None) -> None:
        self.fail, self.late, self.stuck = fail, late or [], stuck or []
        self.calls: list[str] = []
        self.resumed = {"b": time.monotonic() + 1.5}

    def pause(self, _seconds: float) -> None:
        self.calls.append("pause")
        assert patroni_switchover.MARK.exists()
        if self.fail:
            raise PoolerError(self.fail)

    def await_leader(self, address: str, deadline: float, _stop: Any) -> list[str]:
        self.calls.append(f"await {address}")
        assert 0 < deadline - time.monotonic() <= 17
        return self.late

    def resume(self) -> list[str]:
        self.calls.append("resume")
        return self.stuck


class Api:
    where = "https://a"

    def __init__(self, status: int) -> None:
        self.status = status

    def ask(self, _method: str, _path: str, body: dict[str, str]) -> tuple[int, str]:
        assert body == {"leader": "a", "candidate": "b"}
        if not self.status:
            raise PatroniError("https://a/switchover: TimeoutError")
        return self.status, "said"


class Watch:
    """A cluster whose leader, in the end, is the one given."""

    def __init__(self, status: int = 200, leader: str = "b") -> None:
        self.params = {
            "timeout": 1.0,
            "port": 5432,
            "pooler": {"pause_ms": 2000, "deadman_seconds": 20},
            "synchronous_nodes": 0,
            "etcd_members": [],
        }
        self.verdict = type("Verdict", (), {"leader": leader})()
        self.status = status

    def api(self, _name: str, _timeout: float) -> Api:
        return Api(self.status)

    def wait(self, _timeout: float, good: Any) -> bool:
        return bool(good(self.verdict))

    def complaint(self) -> str:
        return "no leader"


@pytest.fixture(autouse=True)
def _host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patroni_switchover, "MARK", tmp_path / "mark")
    monkeypatch.setattr(patroni_switchover, "checkpoint", lambda _port: "/nowhere")


def run(poolers: Poolers, watch: Watch) -> Any:
    move = patroni_switchover.Move(watch, "a", "b")  # type: ignore[arg-type]
    return patroni_switchover.move_paused(move, poolers, "192.0.2.2")  # type: ignore[arg-type]


@pytest.mark.parametrize("status", [200, 503, 0])
def test_what_patroni_answers_decides_nothing_where_the_candidate_leads(status: int) -> None:
    poolers = Poolers()
    assert 1400 <= run(poolers, Watch(status))["stall_ms"]["b"] <= 1600
    assert poolers.calls == ["pause", "await 192.0.2.2", "resume"]
    assert not patroni_switchover.MARK.exists()


@pytest.mark.parametrize(
    ("poolers", "watch", "error", "said"),
    [
        (Poolers(fail="a long transaction"), Watch(), PoolerError, "a long transaction"),
        (
            Poolers(late=["c: refused"]),
            Watch(412, "a"),
            PatroniError,
            "Patroni refused to move the lead to b: HTTP 412",
        ),
        (Poolers(late=["c: late"]), Watch(503, "a"), PatroniError, "expected b to lead within 1 s, found a"),
        (Poolers(late=["c: late"]), Watch(), PoolerError, "b leads, but not all poolers followed: c: late"),
        (Poolers(stuck=["c: stuck"]), Watch(), PoolerError, "b leads, but not all poolers followed: c: stuck"),
    ],
)
def test_every_failure_resumes(poolers: Poolers, watch: Watch, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        run(poolers, watch)
    assert poolers.calls[-1] == "resume"
    assert not patroni_switchover.MARK.exists()


def test_a_signal_resumes_too(monkeypatch: pytest.MonkeyPatch) -> None:
    poolers = Poolers()

    def interrupted(*_arguments: Any) -> list[str]:
        raise KeyboardInterrupt

    monkeypatch.setattr(poolers, "await_leader", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(poolers, Watch())
    assert poolers.calls == ["pause", "resume"]
