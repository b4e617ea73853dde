"""The request for a move is taken back only when the old leader stops, and only if it still is that request."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.holdfast.stateful.plugins.module_utils.etcd import EtcdError
from ansible_collections.holdfast.stateful.plugins.module_utils.patroni_handover import Hastener, stopping, take_back

PID = "4711\n/data\n1700000000\n5432\n/run\n*\n  1 2\n{state}\n"


class Store:
    """An etcd with one key, or without it, or away."""

    def __init__(self, request: Any, away: tuple[str, ...] = (), succeeded: bool = True) -> None:
        self.request, self.away, self.succeeded = request, away, succeeded
        self.logins: list[str] = []
        self.sent: list[dict[str, Any]] = []

    def login(self, base: str) -> bool:
        self.logins.append(base)
        return True

    def post(self, base: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
        if base in self.away:
            raise EtcdError(f"{base}: away")
        if path == "/v3/kv/range":
            assert base64.b64decode(body["key"]) == b"/service/orders/failover"
            value = base64.b64encode(json.dumps(self.request).encode()).decode()
            return {} if self.request is None else {"kvs": [{"value": value, "mod_revision": "42"}]}
        self.sent.append(body)
        return {"succeeded": self.succeeded}


def take(store: Store) -> bool:
    return take_back(store, ["s1", "s2"], "orders", "a", "b")  # type: ignore[arg-type]


def test_the_request_of_this_move_is_deleted_if_it_is_unchanged() -> None:
    store = Store({"leader": "a", "member": "b"}, away=("s1",))
    assert take(store)
    assert store.logins == ["s1", "s2"]
    assert [item["mod_revision"] for item in store.sent[0]["compare"]] == ["42"]
    assert "request_delete_range" in store.sent[0]["success"][0]


@pytest.mark.parametrize(
    "request_",
    [
        None,
        {"leader": "a", "member": "c"},
        {"leader": "c", "member": "b"},
        {"member": "b"},
        {"leader": "a", "member": "b", "scheduled_at": "2026-11-23T10:00:00"},
    ],
)
def test_the_request_of_somebody_else_stays(request_: Any) -> None:
    store = Store(request_)
    assert not take(store)
    assert store.sent == []


def test_a_request_that_changed_meanwhile_stays() -> None:
    assert not take(Store({"leader": "a", "member": "b"}, succeeded=False))


@pytest.mark.parametrize("request_", [["a"], "text", 1])
def test_a_key_that_holds_something_else_is_an_error(request_: Any) -> None:
    with pytest.raises(EtcdError, match="expected a request"):
        take(Store(request_))


def test_no_store_is_an_error() -> None:
    with pytest.raises(EtcdError, match="s1: away; s2: away"):
        take(Store({}, away=("s1", "s2")))


@pytest.mark.parametrize(
    ("state", "found"), [("ready", False), ("starting", False), ("standby", False), ("stopping", True), ("", False)]
)
def test_the_state_of_the_server(state: str, found: bool, tmp_path: Path) -> None:
    (tmp_path / "postmaster.pid").write_text(PID.format(state=state))
    assert stopping(tmp_path / "postmaster.pid") is found


def test_a_server_that_is_gone_has_stopped(tmp_path: Path) -> None:
    assert stopping(tmp_path / "postmaster.pid")
    (tmp_path / "other.pid").write_text("4711\n")
    assert not stopping(tmp_path / "other.pid")


def test_the_request_is_taken_back_when_the_server_stops_and_not_before(tmp_path: Path) -> None:
    calls: list[int] = []
    pid = tmp_path / "postmaster.pid"
    pid.write_text(PID.format(state="ready"))
    haste = Hastener(str(tmp_path), lambda: not calls.append(1))
    haste.start()
    assert not calls
    pid.write_text(PID.format(state="stopping"))
    haste._thread.join(2)
    assert haste.end() == "taken back"
    assert calls == [1]


def test_a_move_that_never_stops_the_server_takes_nothing_back(tmp_path: Path) -> None:
    (tmp_path / "postmaster.pid").write_text(PID.format(state="ready"))
    haste = Hastener(str(tmp_path), lambda: True)
    haste.start()
    assert haste.end() == "the server did not stop"


def test_an_etcd_that_does_not_answer_is_told_and_no_failure(tmp_path: Path) -> None:
    def away() -> bool:
        raise EtcdError("no etcd member answers")

    haste = Hastener(str(tmp_path), away)
    haste.start()
    haste._thread.join(2)
    assert haste.end() == "no etcd member answers"
