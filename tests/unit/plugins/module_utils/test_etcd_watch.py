# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.holdfast.stateful.plugins.module_utils import etcd, etcd_watch

MEMBERS = [{"name": name, "address": f"192.0.2.{at}"} for at, name in enumerate("abc", 1)]
PARAMS: dict[str, Any] = {
    "ca": "/none/ca",
    "cert": "/none/cert",
    "key": "/none/key",
    "name": "a",
    "members": MEMBERS,
    "client_port": 1,
    "peer_port": 2,
}


def test_a_host_without_certificates_sees_nobody_and_does_not_fail() -> None:
    watch = etcd_watch.Watch(PARAMS)
    assert not watch.wait("member", 0)
    assert all("certificate" in str(item["error"]) for item in watch.result()["members"])


@pytest.mark.parametrize(("own", "member", "everybody"), [(None, True, True), ("down", False, False)])
def test_what_is_good(own: str | None, member: bool, everybody: bool) -> None:
    watch = etcd_watch.Watch(PARAMS)
    watch.views = [etcd.MemberView(n, None, str(at), "2") for at, n in enumerate("abc", 1)]
    watch.views[0].error = own
    listed = [{"name": m["name"], "peerURLs": [f"https://{m['address']}:2"]} for m in MEMBERS]
    watch.verdict = etcd.judge(watch.views, listed, MEMBERS, 2)
    assert (watch.good("member"), watch.good("all"), watch.good("quorum")) == (member, everybody, True)
    watch.views[1].error = watch.views[2].error = "down"
    watch.verdict = etcd.judge(watch.views, listed, MEMBERS, 2)
    assert not watch.good("quorum")
    watch.verdict = etcd.Verdict(True, False, "a", [], ["a stranger"])
    assert not watch.good("quorum")


def test_data_means_a_write_ahead_log(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(etcd_watch, "active_state", lambda _unit: "inactive")
    grant = tmp_path / "grant"
    assert etcd_watch.local_state(str(tmp_path), str(grant)) == {
        "has_data": False,
        "granted": False,
        "active_state": "inactive",
    }
    (tmp_path / "member" / "wal").mkdir(parents=True)
    assert not etcd_watch.local_state(str(tmp_path), str(grant))["has_data"]
    (tmp_path / "member" / "wal" / "0-0.wal").touch()
    grant.touch()
    found = etcd_watch.local_state(str(tmp_path), str(grant))
    assert (found["has_data"], found["granted"]) == (True, True)
