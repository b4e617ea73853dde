# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import datetime
from typing import Any

import pytest
from ansible_collections.holdfast.stateful.plugins.module_utils import patroni
from ansible_collections.holdfast.stateful.plugins.module_utils import postgres_status as status

CONTRACT: dict[str, Any] = {
    "service": "db",
    "members": [{"name": "a", "address": "192.0.2.1"}, {"name": "b", "address": "192.0.2.2"}],
    "settings": {"restapi_port": 8008},
    "budget": {"max_replica_lag_seconds": 5},
}
HISTORY = [[1, 100, "no recovery target specified", "2026-11-23T05:26:33+00:00", "b"]]


def describe(
    name: str, own: dict[str, Any], members: list[dict[str, Any]], contract: dict[str, Any] = CONTRACT, **cluster: Any
) -> dict[str, Any]:
    found: dict[str, Any] = {"problems": [], "lag_seconds": None}
    base = {"state": "running", "timeline": 2, "server_version": 170012}
    view = patroni.MemberView(name, None, {**base, **own}, {"members": members, **cluster})
    status.describe(view, HISTORY, contract, found)
    return found


LISTED = [
    {"name": "a", "role": "leader", "state": "running", "timeline": 2},
    {"name": "b", "role": "sync_standby", "state": "streaming", "timeline": 2, "lag": 0},
]


def test_a_leader() -> None:
    found = describe("a", {"role": "primary"}, LISTED)
    assert found["host_role"] == "leader"
    assert (found["version"], found["leader"], found["problems"]) == ("17.12", "a", [])
    assert found["leader_since"] == "2026-11-23T05:26:33+00:00"


def test_a_standby() -> None:
    found = describe("b", {"role": "replica", "xlog": {"received_location": 5, "replayed_location": 5}}, LISTED)
    assert (found["host_role"], found["lag_seconds"], found["problems"]) == ("sync_standby", 0.0, [])


@pytest.mark.parametrize(
    ("senders", "problems"),
    [
        ([{"application_name": "b", "state": "streaming"}], []),
        ([], ["does not stream from the leader: running"]),
        (None, ["does not stream from the leader: running"]),
    ],
)
def test_a_standby_of_an_old_patroni(
    senders: list[dict[str, Any]] | None, problems: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = [LISTED[0], {**LISTED[1], "state": "running"}]
    base = {"state": "running", "timeline": 2, "patroni": {"version": "3.0.2"}}
    answers: dict[str, Any] = {
        "/patroni": {**base, "role": "replica", "xlog": {"received_location": 5, "replayed_location": 5}},
        "/cluster": {"members": listed},
        "/history": HISTORY,
    }

    class Api:
        def __init__(self, address: str, *_more: Any) -> None:
            self.leads, self.connection = address == "192.0.2.1", self

        def get(self, path: str) -> dict[str, Any]:
            if self.leads and senders is None:
                raise status.PatroniError("no answer")
            return {**base, "role": "master", "replication": senders} if self.leads else answers[path]

        def ask(self, _method: str, path: str) -> tuple[int, Any]:
            return 200, answers[path]

        def close(self) -> None: ...

    monkeypatch.setattr(status, "Api", Api)
    monkeypatch.setattr(status.Tls, "context", lambda _self: None)
    found: dict[str, Any] = {"problems": [], "lag_seconds": None}
    status.describe(*status.ask(CONTRACT, {"name": "b"}, 1.0), CONTRACT, found)
    assert (found["host_role"], found["problems"]) == ("sync_standby", problems)


@pytest.mark.parametrize(("role", "shown"), [("primary", "leader"), ("replica", "replica")])
def test_a_member_whose_view_of_the_cluster_does_not_come_is_shown_with_what_it_says_of_itself(
    role: str, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Api:
        def __init__(self, *_all: Any) -> None:
            self.connection = self

        def get(self, path: str) -> dict[str, Any]:
            if path != "/patroni":
                raise status.PatroniError(f"https://192.0.2.1:8008{path}: TimeoutError: timed out")
            return {"state": "running", "role": role, "server_version": 170012}

        def close(self) -> None: ...

    monkeypatch.setattr(status, "Api", Api)
    monkeypatch.setattr(status.Tls, "context", lambda _self: None)
    found = status.observe_local(CONTRACT, {"name": "a"}, 1.0)
    assert (found["state"], found["host_role"], found["version"], found["leader"]) == ("running", shown, "17.12", None)
    assert len(found["problems"]) == 1
    assert "/cluster: TimeoutError" in found["problems"][0]


def test_a_standby_that_is_cut_off_and_a_pause() -> None:
    listed = [LISTED[0], {**LISTED[1], "role": "replica", "state": "running"}]
    old = (datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=60)).isoformat()
    own = {"role": "replica", "xlog": {"received_location": 9, "replayed_location": 5, "replayed_timestamp": old}}
    found = describe("b", {**own, "pending_restart": True}, listed, pause=True)
    text = " ".join(found["problems"])
    for part in ("does not stream", "paused", "wait for a restart", "the budget is 5 s"):
        assert part in text


FOLLOWER = {**CONTRACT, "settings": {**CONTRACT["settings"], "standby_of": {"service": "far"}}}
STANDBY_LEADER = {
    "role": "standby_leader",
    "replication_state": "streaming",
    "xlog": {"received_location": 5, "replayed_location": 5},
}


def test_the_leader_of_a_standby_cluster_leads_and_has_a_lag() -> None:
    listed = [{**LISTED[0], "role": "standby_leader", "state": "streaming"}, {**LISTED[1], "role": "replica"}]
    found = describe("a", STANDBY_LEADER, listed, FOLLOWER)
    assert (found["host_role"], found["lag_seconds"], found["problems"]) == ("leader", 0.0, [])


@pytest.mark.parametrize(
    ("own", "contract", "says"),
    [
        ({**STANDBY_LEADER, "replication_state": None}, FOLLOWER, "does not stream from far"),
        ({**STANDBY_LEADER, "replication_state": "in archive recovery"}, FOLLOWER, "does not stream from far"),
        ({"role": "primary"}, FOLLOWER, "takes writes, and the catalog says that it follows far"),
        (STANDBY_LEADER, CONTRACT, "leads a standby cluster, and the catalog says that it takes writes"),
    ],
)
def test_a_standby_cluster_that_is_cut_off_or_not_declared_so_is_a_problem(
    own: dict[str, Any], contract: dict[str, Any], says: str
) -> None:
    assert any(says in text for text in describe("a", own, LISTED, contract)["problems"])


def test_a_pause_is_shown_with_its_end() -> None:
    found = describe("a", {"role": "primary"}, LISTED, pause=True)
    assert found["problems"] == ["automatic failover is paused, with no end"]
    found = describe("a", {"role": "primary"}, LISTED, pause=True, paused_until="2026-01-31 23:59:00")
    assert found["problems"] == ["automatic failover is paused until 2026-01-31 23:59:00 UTC"]


@pytest.mark.parametrize("credentials", [{}, {"name": "z"}, {"name": "a", "ca": "/nonexistent"}])
def test_it_never_raises(credentials: dict[str, Any]) -> None:
    found = status.observe_local(CONTRACT, credentials, 0.2)
    assert found["state"] == "unknown"
    assert len(found["problems"]) == 1


def test_a_broken_contract_is_unknown_too() -> None:
    assert status.observe_local({}, {}, 0.2)["problems"]
