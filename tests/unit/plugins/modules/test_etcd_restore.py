# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.holdfast.stateful.plugins.module_utils.etcd import EtcdError, Verdict
from ansible_collections.holdfast.stateful.plugins.modules import etcd_restore

PLACE = "/service/db"
CONFIG = {"ttl": 20, "postgresql": {"parameters": {"work_mem": "4MB"}}}
PAUSED = {**CONFIG, "pause": True, "holdfast": {"paused_until": "2026-01-31 23:59:00"}}
SOURCE = {"host": "192.0.2.9", "port": 5432}
PARAMS: dict[str, Any] = {
    "members": [{"name": name, "address": f"192.0.2.{at}"} for at, name in enumerate("abc", 1)],
    "client_port": 2379,
    "scope": "db",
    "timeout": 0.0,
    "standby_cluster": None,
}


class FakeClient:
    def __init__(self, keys: dict[str, str]) -> None:
        self.keys = keys
        self.order: list[str] = []

    def get_from_any(self, _bases: list[str], key: str) -> str | None:
        return self.keys.get(key)

    def put_through_any(self, _bases: list[str], key: str, value: str) -> None:
        self.order.append(f"put {key}")
        self.keys[key] = value

    def delete_through_any(self, _bases: list[str], key: str) -> bool:
        self.order.append(f"delete {key}")
        return self.keys.pop(key, None) is not None


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> FakeClient:
    client = FakeClient({f"{PLACE}/{key}": "a" for key in ("leader", "sync", "status", "initialize", "history")})

    class FakeWatch:
        verdict = Verdict(True, False, "a", ["c: no answer"], [])

        def __init__(self, _params: dict[str, Any]) -> None:
            self.client = client

        def wait(self, require: str, _timeout: float) -> bool:
            return require == "quorum"

    monkeypatch.setattr(etcd_restore, "Watch", FakeWatch)
    return client


@pytest.mark.parametrize(
    ("config", "declared", "left", "removed", "added"),
    [
        (CONFIG, None, CONFIG, [], []),
        (PAUSED, None, CONFIG, ["holdfast", "pause"], []),
        ({**PAUSED, "standby_cluster": SOURCE}, None, CONFIG, ["holdfast", "pause", "standby_cluster"], []),
        ({**CONFIG, "standby_cluster": SOURCE}, {"host": "new"}, {**CONFIG, "standby_cluster": SOURCE}, [], []),
        (CONFIG, SOURCE, {**CONFIG, "standby_cluster": SOURCE}, [], ["standby_cluster"]),
    ],
)
def test_a_snapshot_brings_back_no_pause_and_no_source_that_is_over(
    config: Any, declared: Any, left: Any, removed: list[str], added: list[str], store: FakeClient
) -> None:
    store.keys[f"{PLACE}/config"] = json.dumps(config)
    params = {**PARAMS, "standby_cluster": declared}
    before = dict(store.keys)
    predicted = etcd_restore.forgotten(params, True)
    assert store.keys == before
    assert etcd_restore.forgotten(params, False) == predicted
    assert (predicted["config_removed"], predicted["config_added"]) == (removed, added)
    assert json.loads(store.keys[f"{PLACE}/config"]) == left
    again = etcd_restore.forgotten(params, False)
    assert (again["changed"], again["keys"], again["config_removed"], again["config_added"]) == (False, [], [], [])


def test_roles_are_forgotten_with_a_quorum_and_the_identity_is_not(store: FakeClient) -> None:
    """One member of three does not answer here, and that must not leave the old roles in place."""
    found = etcd_restore.forgotten(PARAMS, False)
    assert found["keys"] == [f"{PLACE}/leader", f"{PLACE}/sync", f"{PLACE}/status"]
    assert sorted(store.keys) == [f"{PLACE}/history", f"{PLACE}/initialize"]


@pytest.mark.parametrize("text", ["", "null", "[]", "{"])
def test_a_configuration_that_can_not_be_read_deletes_nothing(text: str, store: FakeClient) -> None:
    store.keys[f"{PLACE}/config"] = text
    with pytest.raises(EtcdError, match="expected Patroni's dynamic configuration"):
        etcd_restore.forgotten(PARAMS, False)
    assert store.order == []


@pytest.mark.parametrize(
    ("patroni", "token", "why"),
    [("active", "t", "found it active"), ("activating", "t", "found it activating"), ("inactive", "", "token")],
)
def test_nothing_is_stopped_beside_a_patroni_that_runs_or_without_a_name_for_the_restore(
    patroni: str, token: str, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    monkeypatch.setattr(etcd_restore, "verify", lambda _path: {"hash": 7})
    monkeypatch.setattr(etcd_restore, "active_state", lambda _unit: patroni)
    monkeypatch.setattr(etcd_restore, "systemctl", lambda *words: done.append(words[0]))
    monkeypatch.setattr(etcd_restore, "restore", lambda *_words: done.append("restore"))
    params = {**PARAMS, "name": "a", "peer_port": 1, "path": "x.db", "token": token, "data_dir": "/none"}
    with pytest.raises(EtcdError, match=why):
        etcd_restore.restored(params, False)
    assert done == []
    monkeypatch.setattr(etcd_restore, "active_state", lambda _unit: "failed")
    assert etcd_restore.restored({**params, "token": "t"}, False)["snapshot"] == {"hash": 7}
    assert done == ["stop", "restore"]
    assert etcd_restore.verified(params, False) == {"changed": False, "snapshot": {"hash": 7}}
