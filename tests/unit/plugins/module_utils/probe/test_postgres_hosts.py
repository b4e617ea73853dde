"""A host that can't be reached is left out for some seconds, and asked again then; all are tried when none is left."""

from __future__ import annotations

import socket

import pytest
from ansible_collections.holdfast.stateful.plugins.module_utils.probe import postgres
from ansible_collections.holdfast.stateful.plugins.module_utils.probe.base import Target


def test_which_hosts_a_connection_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(postgres.time, "monotonic", lambda: now[0])
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    alive, dead = ("127.0.0.1", port), ("127.0.0.9", port)
    probe = postgres.PostgresProbe(Target("db", "postgres", (dead, alive), "app", "secret", "ca.crt"))
    assert probe._hosts() == [alive]
    other = socket.create_server(dead)
    assert probe._hosts() == [alive], "it is not asked again at once"
    now[0] += postgres.RECHECK_SECONDS
    assert probe._hosts() == [dead, alive]
    other.close()
    listener.close()
    assert probe._hosts() == [dead, alive], "libpq says why none is reached"
