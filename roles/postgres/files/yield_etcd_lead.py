#!/usr/bin/python3
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keep the lead of etcd off the host whose Patroni leads, so that the loss of one host costs one election, not two.

When the leader of etcd is lost, its successor extends every lease to its whole time and one election timeout: a leader
key of Patroni that would have ended after 20 s ends after more than 22 (docs/adr/0035). A timer runs this on every
member of etcd. It hands the lead to another voter that has nearly all of the log, when Patroni leads here and etcd
leads here. Whatever can't be observed changes nothing, and the next run looks again. Always ends with 0.

Arguments: the URL of Patroni and of etcd on this host, and the files `ca`, `cert` and `key`.
"""

from __future__ import annotations

import json
import ssl
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any

REQUEST_SECONDS = 2.0
#: How many entries of the log a successor may lack.
MAX_BEHIND = 500

Ask = Callable[[str, Mapping[str, Any]], dict[str, Any]]


def successor(status: Mapping[str, Any], members: list[dict[str, Any]], ask: Ask) -> dict[str, Any] | None:
    """Return the member of etcd that should lead instead of the local one, which answered with `status`.

    None where the local one does not lead, or no other voter both follows it and has nearly all of its log.
    `ask` puts a question, a path and a body, to the member whose URL the path begins with.
    """
    own = status["header"]["member_id"]
    if status.get("leader") != own or status.get("errors"):
        return None
    found = []
    for member in members:
        if member["ID"] == own or member.get("isLearner") or not member.get("clientURLs"):
            continue
        try:
            seen = ask(f"{member['clientURLs'][0]}/v3/maintenance/status", {})
            behind = int(status["raftIndex"]) - int(seen["raftAppliedIndex"])
        except (OSError, ValueError, KeyError):
            continue
        if seen.get("leader") == own and not seen.get("errors") and behind <= MAX_BEHIND:
            found.append((behind, member["ID"], member))
    return min(found, key=lambda item: item[:2])[2] if found else None


def main() -> None:
    """Look, and hand over where it helps."""
    patroni, etcd, ca, cert, key = sys.argv[1:6]
    context = ssl.create_default_context(cafile=ca)
    context.load_cert_chain(cert, key)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))

    def ask(url: str, body: Mapping[str, Any]) -> dict[str, Any]:
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(url, json.dumps(body).encode(), headers)  # noqa: S310 - https
        with opener.open(request, timeout=REQUEST_SECONDS) as answer:
            return dict(json.loads(answer.read()))

    try:
        # Answers 200 for whoever holds the leader key, and 503 for all others.
        opener.open(f"{patroni}/leader", timeout=REQUEST_SECONDS).close()
        status = ask(f"{etcd}/v3/maintenance/status", {})
        target = successor(status, ask(f"{etcd}/v3/cluster/member/list", {})["members"], ask)
        if target is not None:
            ask(f"{etcd}/v3/maintenance/transfer-leadership", {"targetID": target["ID"]})
            print(f"Patroni leads here: the lead of etcd went to {target['name']}", flush=True)
    except urllib.error.HTTPError as error:
        if error.code != 503:
            print(f"the lead of etcd stays: {error.url}: HTTP {error.code}", flush=True)
    except (OSError, ValueError, KeyError):
        # Patroni or etcd is down or starting here; both say so themselves.
        return


if __name__ == "__main__":
    main()
