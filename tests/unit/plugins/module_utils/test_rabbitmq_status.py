# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The status never raises, and says what it could not see."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.holdfast.stateful.plugins.module_utils import rabbitmq_status
from ansible_collections.holdfast.stateful.plugins.module_utils.rabbitmq import Cluster, Node, Queue
from ansible_collections.holdfast.stateful.plugins.module_utils.rabbitmq_api import UnreachableError
from ansible_collections.holdfast.stateful.plugins.module_utils.rabbitmq_status import observe_local, summarise

A, B = "rabbit@a", "rabbit@b"


def queue(leader: str) -> Queue:
    return Queue("v", "q", leader, (A, B), (A, B))


@pytest.mark.parametrize("contract", [{}, {"members": 3}, {"service": "events", "members": [], "settings": {}}])
def test_errors_become_a_state(contract: dict[str, Any]) -> None:
    seen = observe_local(contract, {}, 0.2)
    assert seen["state"] == "unknown"
    assert seen["problems"]


@pytest.mark.parametrize(("leaders", "shown"), [([A, A, B], "a"), ([A, B], None), ([], None), ([B], "b")])
def test_the_leader_is_the_member_with_most_queue_leaders(leaders: list[str], shown: str | None) -> None:
    nodes = (Node(A, running=True), Node(B, running=True))
    seen = Cluster(A, "events", "4.0.5", "27", nodes, tuple(map(queue, leaders)), {A: "4.0.5", B: "4.0.5"})
    assert summarise(seen, ["a", "b"], "a")["leader"] == shown


def test_a_member_in_maintenance_is_described_by_another() -> None:
    nodes = (Node(A, running=True, draining=True), Node(B, running=True))
    found = summarise(Cluster(B, "events", "4.0.5", "27", nodes, (), {A: "4.0.5", B: "4.0.5"}), ["a", "b"], "a")
    assert found["state"] == "maintenance"
    assert len(found["problems"]) == 1


@pytest.mark.parametrize(("answers", "state"), [(True, "running"), (False, "unknown")])
def test_a_member_that_has_no_view_of_its_cluster_is_not_taken_for_a_lost_one(
    monkeypatch: pytest.MonkeyPatch, answers: bool, state: str
) -> None:
    me = rabbitmq_status.os.uname().nodename.split(".")[0]

    class Api:
        timeout = 0.1

        def __init__(self, address: str, *_given: Any, **_named: Any) -> None:
            self.address = address

        def get(self, _path: str) -> Any:
            raise UnreachableError("no answer in time")

        def request(self, _method: str, path: str) -> tuple[int, Any]:
            assert "local-alarms" in path
            if not answers or self.address != "192.0.2.1":
                raise UnreachableError("no answer in time")
            return 200, {"status": "ok"}

        def close(self) -> None: ...

    monkeypatch.setattr(rabbitmq_status, "Api", Api)
    members = [{"name": me, "address": "192.0.2.1"}, {"name": "other", "address": "192.0.2.2"}]
    contract = {"service": "events", "members": members, "settings": {"management_port": 15671}}
    seen = observe_local(contract, {"password": "x"}, 0.3)
    assert seen["state"] == state
    assert seen["problems"]
