# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the etcd modules share: one observation of host and cluster, and the wait for a healthy one."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible_collections.holdfast.stateful.plugins.module_utils.etcd import (
    EtcdClient,
    EtcdError,
    MemberView,
    Tls,
    Verdict,
    judge,
    observe,
)
from ansible_collections.holdfast.stateful.plugins.module_utils.host_tls import TLS_SPEC
from ansible_collections.holdfast.stateful.plugins.module_utils.systemd_unit import active_state

INTERVAL = 0.3
UNIT = "etcd.service"

CLUSTER_SPEC: dict[str, dict[str, Any]] = {
    **TLS_SPEC,
    "name": {"type": "str", "required": True},
    "members": {
        "type": "list",
        "elements": "dict",
        "required": True,
        "options": {"name": {"type": "str", "required": True}, "address": {"type": "str", "required": True}},
    },
    "client_port": {"type": "int", "default": 2379},
    "peer_port": {"type": "int", "default": 2380},
    "user": {"type": "str", "default": ""},
    "password": {"type": "str", "default": "", "no_log": True},
    "timeout": {"type": "float", "default": 0},
}


class Watch:
    """Observes a cluster until it is as it should be, or time is up."""

    def __init__(self, params: Mapping[str, Any]) -> None:
        """Prepare a client; certificate files that can't be read make every member one that could not be asked."""
        self.params = params
        self.error = ""
        try:
            self.client = self.patient(2.0)
        except EtcdError as error:
            self.error = str(error)
        self.views: list[MemberView] = []
        self.listed: list[dict[str, Any]] | None = None
        self.verdict = Verdict(False, False, None, [], [])

    def patient(self, timeout: float) -> EtcdClient:
        """Return a client whose questions may take `timeout` seconds. Raises EtcdError."""
        params = self.params
        context = Tls(params["ca"], params["cert"], params["key"]).context()
        return EtcdClient(context, timeout, params.get("user") or "", params.get("password") or "")

    def look(self) -> Verdict:
        """Observe once."""
        members = self.params["members"]
        if self.error:
            self.views = [MemberView(name=member["name"], error=self.error) for member in members]
        else:
            self.views, self.listed = observe(self.client, members, self.params["client_port"])
        self.verdict = judge(self.views, self.listed, members, self.params["peer_port"])
        return self.verdict

    def own(self) -> MemberView:
        """Return what this host's member says."""
        found = [view for view in self.views if view.name == self.params["name"]]
        return found[0] if found else MemberView(name=self.params["name"], error="not a declared member")

    def good(self, require: str) -> bool:
        """Say whether the last observation is what is required: a quorum, one with this member, or all members."""
        if require == "all":
            return self.verdict.all_healthy
        if require == "quorum":
            return self.verdict.quorum and not self.verdict.list_problems
        own = self.own()
        return self.verdict.quorum and not self.verdict.list_problems and own.error is None and bool(own.leader)

    def wait(self, require: str, timeout: float) -> bool:
        """Observe until good or until the deadline."""
        deadline = time.monotonic() + timeout
        while True:
            self.look()
            if self.good(require):
                return True
            if time.monotonic() >= deadline:
                return False
            time.sleep(INTERVAL)

    def result(self) -> dict[str, Any]:
        """Return the cluster part of a result."""
        return {
            "leader": self.verdict.leader,
            "quorum": self.verdict.quorum,
            "all_healthy": self.verdict.all_healthy,
            "members": [view.to_dict() for view in self.views],
            "problems": self.verdict.problems,
        }


def local_state(data_dir: str, grant: str) -> dict[str, Any]:
    """Return what this host holds: etcd takes a data directory as used when there is a write-ahead log."""
    wal = Path(data_dir) / "member" / "wal"
    try:
        has_data = wal.is_dir() and any(wal.glob("*.wal"))
        granted = Path(grant).exists()
    except OSError as error:
        raise EtcdError(f"{data_dir}: expected to look into it, found: {error}") from error
    return {"has_data": has_data, "granted": granted, "active_state": active_state(UNIT)}
