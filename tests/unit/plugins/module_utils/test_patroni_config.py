# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import copy
from typing import Any

import pytest
from ansible_collections.holdfast.stateful.plugins.module_utils import patroni_config
from ansible_collections.holdfast.stateful.plugins.module_utils.patroni import PatroniError, config_patch
from ansible_collections.holdfast.stateful.plugins.module_utils.postgres_settings import Setting

LIVE = {"loop_wait": 2, "postgresql": {"parameters": {"max_connections": 100, "jit": "off"}}}
KNOWN = {
    "max_connections": Setting("max_connections", "100", None, "postmaster", "integer", "1", "262143"),
    "jit": Setting("jit", "off", None, "user", "bool"),
}


class FakeApi:
    where = "https://a:8008"

    def __init__(self, status: int = 200, keeps: bool = True) -> None:
        self.config: dict[str, Any] = copy.deepcopy(LIVE)
        self.status, self.keeps = status, keeps
        self.sent: list[Any] = []

    def get(self, _path: str) -> dict[str, Any]:
        return copy.deepcopy(self.config)

    def ask(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        assert (method, path) == ("PATCH", "/config")
        self.sent.append(body)
        parameters = body.get("postgresql", {}).get("parameters", {})
        for key, value in parameters.items() if self.keeps else ():
            self.config["postgresql"]["parameters"].pop(key, None)
            if value is not None:
                self.config["postgresql"]["parameters"][key] = value
        return self.status, "said"


def parameters(**values: Any) -> dict[str, Any]:
    return {"loop_wait": 2, "postgresql": {"parameters": values}}


def send(api: FakeApi, wanted: dict[str, Any], check: bool = False) -> tuple[float, dict[str, Any]]:
    result: dict[str, Any] = {"changed": False, "diff": []}
    seconds = patroni_config.send_difference(api, "db", wanted, lambda: KNOWN, result, check)  # type: ignore[arg-type]
    return seconds, result


def test_nothing_to_do_sends_nothing() -> None:
    api = FakeApi()
    seconds, result = send(api, parameters(max_connections="100", gone=None))
    assert (seconds, api.sent, result["changed"]) == (0.0, [], False)


@pytest.mark.parametrize("bad", [{"nonsense": 1}, {"max_connections": 999999}])
def test_what_patroni_was_given_before_is_judged_too(bad: dict[str, Any]) -> None:
    """The bootstrap gave it to Patroni, which keeps it and drops it: there is no difference to judge."""
    api = FakeApi()
    api.config["postgresql"]["parameters"].update(bad)
    with pytest.raises(PatroniError, match=f"nothing was changed: {next(iter(bad))}"):
        send(api, parameters(**bad))
    assert api.sent == []


def test_only_the_difference_is_sent_and_shown() -> None:
    api = FakeApi()
    seconds, result = send(api, parameters(max_connections=200, jit=None))
    assert api.sent == [{"postgresql": {"parameters": {"max_connections": 200, "jit": None}}}]
    assert (seconds, result["changed"]) == (2.5, True)
    assert '"max_connections": 100' in result["diff"][0]["before"]
    assert '"max_connections": 200' in result["diff"][0]["after"]


def test_check_mode_judges_and_sends_nothing() -> None:
    api = FakeApi()
    assert send(api, parameters(max_connections=200), check=True)[1]["changed"]
    assert api.sent == []
    with pytest.raises(PatroniError, match="nonsense"):
        send(api, parameters(nonsense=1), check=True)


@pytest.mark.parametrize("bad", [{"nonsense": 1}, {"max_connections": 999999}, {"jit": "maybe"}])
def test_one_bad_parameter_refuses_the_whole_change(bad: dict[str, Any]) -> None:
    api = FakeApi()
    with pytest.raises(PatroniError, match="nothing was changed"):
        send(api, {**parameters(**{"max_connections": 200, **bad}), "ttl": 30})
    assert api.sent == []


def test_a_refusal_and_a_change_that_is_not_kept_are_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patroni_config, "KEPT_SECONDS", 0.3)
    with pytest.raises(PatroniError, match="expected HTTP 200, found 409"):
        send(FakeApi(status=409), parameters(max_connections=200))
    with pytest.raises(PatroniError, match=r"expected the change to be kept within 0\.3 s"):
        send(FakeApi(keeps=False), parameters(max_connections=200))


def test_a_member_may_show_the_old_configuration_for_a_moment() -> None:
    """Patroni answers from a copy that its watch renews."""
    api = FakeApi()
    old = copy.deepcopy(api.config)
    shown = [old, old, old]
    real = api.get
    api.get = lambda path: shown.pop() if shown else real(path)  # type: ignore[method-assign]
    assert send(api, parameters(max_connections=200))[0] == 2.5
    assert shown == []


@pytest.mark.parametrize(
    ("wanted", "patch"),
    [
        ({"a": None}, {"a": None}),
        ({"b": None}, {}),
        ({"a": {"x": None}}, {"a": {"x": None}}),
        ({"a": {"y": None}}, {}),
        ({"c": {"y": None}}, {}),
    ],
)
def test_null_removes_what_is_there(wanted: dict[str, Any], patch: dict[str, Any]) -> None:
    assert config_patch({"a": {"x": 1}}, wanted) == patch


def test_shared_values_need_all_names() -> None:
    api = FakeApi()
    with pytest.raises(PatroniError, match="max_wal_senders"):
        patroni_config.shared_values(api, KNOWN)  # type: ignore[arg-type]
    settings = {name: Setting(name, "7", None, "postmaster", "integer") for name in patroni_config.SHARED}
    found = patroni_config.shared_values(api, settings)  # type: ignore[arg-type]
    assert set(found["running"].values()) == {7}
    assert found["wanted"]["max_connections"] == 100


SITE = {"host": "10.0.0.1,10.0.0.2", "port": 5432, "primary_slot_name": "b", "create_replica_methods": ["basebackup"]}


@pytest.mark.parametrize(
    ("live", "wanted", "says"),
    [(None, SITE, "remove standby_of"), (SITE, None, "promote_standby_cluster.yml")],
)
def test_a_role_is_never_changed_by_what_the_catalog_says(live: Any, wanted: Any, says: str) -> None:
    api = FakeApi()
    if live:
        api.config["standby_cluster"] = live
    with pytest.raises(PatroniError, match=says):
        send(api, {"loop_wait": 3, **({"standby_cluster": wanted} if wanted else {})})
    assert api.sent == []


def test_the_hosts_of_a_source_may_change_and_equal_ones_change_nothing() -> None:
    live = {**LIVE, "standby_cluster": SITE}
    assert config_patch(live, {"standby_cluster": SITE}) == {}
    moved = {**SITE, "host": "10.0.0.3"}
    assert config_patch(live, {"standby_cluster": moved}) == {"standby_cluster": {"host": "10.0.0.3"}}
