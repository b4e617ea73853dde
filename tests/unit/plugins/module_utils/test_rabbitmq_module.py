# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the clients of a cluster make of members that no statistics came from."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.holdfast.stateful.plugins.module_utils import rabbitmq_module
from ansible_collections.holdfast.stateful.plugins.module_utils.rabbitmq_api import UnreachableError

PARAMS = {
    "member": "a",
    "members": [{"name": name, "address": f"192.0.2.{at}"} for at, name in enumerate("abc", 1)],
    "port": 15671,
    "ca_file": "/none",
    "monitor_password": "secret",
}


class Member:
    """Answers like the API of a member whose peers have no statistics of `silent` yet."""

    def __init__(self, name: str, silent: str = "", down: str = "") -> None:
        self.name, self.silent, self.down, self.address, self.user = name, silent, down, name, "monitor"

    def get(self, path: str) -> Any:
        if self.name in self.down:
            raise UnreachableError(f"{self.name}: silence")
        if path.startswith("/nodes"):
            rabbit = [{"name": "rabbit", "version": "4.0.5"}]
            return [
                {"name": f"rabbit@{name}", "running": True, "applications": [] if name in self.silent else rabbit}
                for name in "abc"
            ]
        if path.startswith("/queues"):
            return {"page_count": 1, "items": []}
        node = f"rabbit@{self.name}"
        return {
            "node": node,
            "cluster_name": "events",
            "rabbitmq_version": "4.0.5",
            "object_totals": {"queues": 0},
            "listeners": [{"node": node, "protocol": "amqp/ssl"}],
        }

    def request(self, _method: str, _path: str) -> tuple[int, Any]:
        return 200, {"status": "ok"}


@pytest.mark.parametrize(
    ("own_word", "down", "said"),
    [
        (True, "", []),
        (True, "c", ["c: expected it to serve, found it still booting as a sees it"]),
        (False, "", [f"{name}: expected it to serve, found it still booting as a sees it" for name in "bc"]),
    ],
)
def test_a_members_own_word_counts_where_it_has_only_just_been_made(own_word: bool, down: str, said: list[str]) -> None:
    clients = rabbitmq_module.Clients(PARAMS)
    clients.monitors = {name: Member(name, silent="bc", down=down) for name in "abc"}  # type: ignore[misc]
    clients.own_word = own_word
    assert rabbitmq_module.look(clients)[1] == said
