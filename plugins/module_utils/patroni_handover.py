# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Takes back the request for a planned move once its leader stops, so that the other standbys follow without a pause.

A standby that sees the lead free and a request for somebody else sleeps two seconds before it follows anybody
(docs/adr/0064). Where only one member may lead next, the request has done its work when the old leader stops.
"""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from ansible_collections.holdfast.stateful.plugins.module_utils.etcd import EtcdClient, EtcdError

POLL = 0.01
# The line of postmaster.pid that holds the server's state.
STATE_LINE = 7


def stopping(pid_file: Path) -> bool:
    """Say whether the server stops or has stopped; a file that is being written says nothing yet."""
    try:
        lines = pid_file.read_text(encoding="ascii", errors="replace").splitlines()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return len(lines) > STATE_LINE and lines[STATE_LINE].strip() == "stopping"


def take_back(client: EtcdClient, stores: Sequence[str], scope: str, leader: str, candidate: str) -> bool:
    """Delete the request if it still is the one for this move; say whether it was deleted."""
    key = base64.b64encode(f"/service/{scope}/failover".encode()).decode()
    said: list[str] = []
    for store in stores:
        try:
            client.login(store)
            found = client.post(store, "/v3/kv/range", {"key": key}).get("kvs") or []
            if not found:
                return False
            request = json.loads(base64.b64decode(found[0]["value"]))
            if (request.get("leader"), request.get("member")) != (leader, candidate) or request.get("scheduled_at"):
                return False
            same = {"key": key, "target": "MOD", "result": "EQUAL", "mod_revision": found[0]["mod_revision"]}
            change = {"compare": [same], "success": [{"request_delete_range": {"key": key}}]}
            return bool(client.post(store, "/v3/kv/txn", change).get("succeeded"))
        except EtcdError as error:
            said.append(str(error))
        except (KeyError, ValueError, AttributeError) as error:
            raise EtcdError(f"{store}: expected a request for a move, found {type(error).__name__}: {error}") from error
    raise EtcdError("no etcd member answers: " + "; ".join(said))


class Hastener:
    """Waits beside a move until the local server stops, then takes the request back. Never holds a move up."""

    def __init__(self, data_dir: str, act: Callable[[], bool]) -> None:
        """Prepare; nothing happens before ``start``."""
        self.pid_file = Path(data_dir) / "postmaster.pid"
        self.act = act
        self.outcome = "the server did not stop"
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def _work(self) -> None:
        while not self._ended.is_set():
            if stopping(self.pid_file):
                try:
                    self.outcome = "taken back" if self.act() else "no request was left"
                except EtcdError as error:
                    self.outcome = str(error)
                return
            self._ended.wait(POLL)

    def end(self) -> str:
        """Stop watching and return what became of the request."""
        self._ended.set()
        self._thread.join(5.0)
        return self.outcome
