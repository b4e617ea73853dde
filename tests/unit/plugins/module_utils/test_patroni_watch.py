# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.holdfast.stateful.plugins.module_utils import patroni, patroni_watch

PARAMS: dict[str, Any] = {
    "ca": "/none/ca",
    "cert": "/none/cert",
    "key": "/none/key",
    "name": "a",
    "scope": "db",
    "members": [{"name": "a", "address": "192.0.2.1"}],
    "restapi_port": 8008,
    "synchronous_nodes": 0,
}


def test_a_host_without_certificates_sees_nobody_and_says_why() -> None:
    watch = patroni_watch.Watch(PARAMS)
    with pytest.raises(
        patroni.PatroniError, match=r"expected a healthy cluster now within 0 s, found: a: no answer.*cert"
    ):
        watch.require(0, "now")
    assert watch.result()["healthy"] is False


def test_only_declared_members_have_an_api() -> None:
    watch = patroni_watch.Watch(PARAMS)
    assert watch.view("z").error == "not a declared member"
    with pytest.raises(patroni.PatroniError, match="z: not a declared member of db"):
        watch.api("z")


def test_waiting_polls_until_the_condition_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patroni_watch, "INTERVAL", 0)
    watch = patroni_watch.Watch(PARAMS)
    answers = iter([False, False, True])
    assert watch.wait(5, lambda _verdict: next(answers))
    assert list(answers) == []
