# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the Patroni modules share: their options, one observation of the cluster, and the wait for a healthy one."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.holdfast.stateful.plugins.module_utils.etcd import EtcdError, Tls
from ansible_collections.holdfast.stateful.plugins.module_utils.host_tls import TLS_SPEC
from ansible_collections.holdfast.stateful.plugins.module_utils.patroni import (
    Api,
    MemberView,
    PatroniError,
    Verdict,
    judge,
    observe,
)

INTERVAL = 0.3
MEMBERS_SPEC: dict[str, Any] = {
    "type": "list",
    "elements": "dict",
    "required": True,
    "options": {"name": {"type": "str", "required": True}, "address": {"type": "str", "required": True}},
}
CLUSTER_SPEC: dict[str, dict[str, Any]] = {
    **TLS_SPEC,
    "name": {"type": "str", "required": True},
    "scope": {"type": "str", "required": True},
    "members": MEMBERS_SPEC,
    "restapi_port": {"type": "int", "default": 8008},
    "synchronous_nodes": {"type": "int", "default": 0},
    "leaving": {"type": "list", "elements": "str", "default": []},
    "timeout": {"type": "float", "default": 0},
}


class Watch:
    """Observes a cluster until it is as it should be, or time is up."""

    def __init__(self, params: Mapping[str, Any]) -> None:
        """Prepare; certificate files that can't be read make every member one that could not be asked."""
        self.params = params
        self.error = ""
        try:
            self.context = Tls(params["ca"], params["cert"], params["key"]).context()
        except EtcdError as error:
            self.error = str(error)
        self.views: list[MemberView] = []
        self.verdict = Verdict()

    def look(self) -> Verdict:
        """Observe once."""
        members = self.params["members"]
        if self.error:
            self.views = [MemberView(member["name"], self.error) for member in members]
        else:
            self.views = observe(members, self.params["restapi_port"], self.context, timeout=3.0)
        leaving = self.params.get("leaving") or ()
        self.verdict = judge(self.views, self.params["scope"], self.params["synchronous_nodes"], leaving)
        return self.verdict

    def wait(self, timeout: float, good: Callable[[Verdict], bool] = lambda verdict: verdict.healthy) -> bool:
        """Observe until good or until the deadline."""
        deadline = time.monotonic() + timeout
        while not good(self.look()):
            if time.monotonic() >= deadline:
                return False
            time.sleep(INTERVAL)
        return True

    def require(self, timeout: float, when: str) -> None:
        """Wait for a healthy cluster, or raise with what is wrong."""
        if not self.wait(timeout):
            raise PatroniError(f"expected a healthy cluster {when} within {timeout:g} s, found: {self.complaint()}")

    def complaint(self) -> str:
        """Return what is wrong, in one line."""
        return "; ".join(self.verdict.problems) or "no leader"

    def view(self, name: str) -> MemberView:
        """Return what a member says."""
        found = [view for view in self.views if view.name == name]
        return found[0] if found else MemberView(name, "not a declared member")

    def api(self, name: str, timeout: float = 10.0) -> Api:
        """Return the REST API of a member."""
        for member in self.params["members"]:
            if member["name"] == name:
                return Api(member["address"], self.params["restapi_port"], self.context, timeout)
        raise PatroniError(f"{name}: not a declared member of {self.params['scope']}")

    def result(self) -> dict[str, Any]:
        """Return the cluster part of a result."""
        return {
            "healthy": self.verdict.healthy,
            "leader": self.verdict.leader,
            "sync_standbys": self.verdict.sync_standbys,
            "paused": self.verdict.paused,
            "pending_restart": self.verdict.pending_restart,
            "members": [view.to_dict() for view in self.views],
            "problems": self.verdict.problems,
        }
