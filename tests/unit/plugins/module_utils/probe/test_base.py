"""A proof holds only when everything was found again and everything forbidden was refused for the right reason."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest
from ansible_collections.holdfast.stateful.plugins.module_utils.probe import ProbeError, Target, probe_for
from ansible_collections.holdfast.stateful.plugins.module_utils.probe.base import (
    Check,
    Probe,
    plain_text_refused,
    refused,
)

SECRET = "the-password-of-the-application"
TARGET = Target("orders-db", "postgres", (("192.0.2.1", 5432),), "app", SECRET, "/ca.crt")


class Refused(Exception):  # noqa: N818 - a service's own word
    """What the service is expected to say."""


class Ledger(Probe):
    """A service in memory: it loses the records in `lose`, keeps those in `double` twice, and fails at `break_at`."""

    def __init__(self, lose: frozenset[int] = frozenset(), double: frozenset[int] = frozenset(), break_at: int = -1):
        super().__init__(TARGET)
        self.lose, self.double, self.break_at = lose, double, break_at
        self.records: list[int] = []
        self.is_open = False
        self.was_open = False

    def open(self) -> str:
        self.is_open = self.was_open = True
        return "memory serves"

    def close(self) -> None:
        self.is_open = False

    def write(self, run: str, sequence: int) -> None:
        del run
        if sequence == self.break_at:
            raise ProbeError("gone")
        self.records += [] if sequence in self.lose else [sequence] * (2 if sequence in self.double else 1)

    def read(self, run: str) -> list[int]:
        del run
        return sorted(self.records)

    def forget(self, run: str) -> None:
        del run
        self.records.clear()

    def refusals(self) -> list[Check]:
        return [Check("plain text is refused", True, "yes")]


def test_all_found_again() -> None:
    probe = Ledger()
    checks = probe.prove("run", 20)
    assert [check.ok for check in checks] == [True] * 4
    assert checks[0].detail == "memory serves"
    assert checks[2].detail == "20 of 20 found"
    assert checks[3].name == "plain text is refused"
    assert probe.records == [], "a proof takes its own records away"
    assert not probe.is_open


@pytest.mark.parametrize("lost", [{0}, {19}, {3, 4, 5}, set(range(20))])
def test_a_lost_record_is_no_proof(lost: set[int]) -> None:
    checks = Ledger(lose=frozenset(lost)).prove("run", 20)
    read = next(check for check in checks if check.name == "read back")
    assert not read.ok
    assert str(min(lost)) in read.detail
    assert f"{20 - len(lost)} of 20" in read.detail


def test_a_record_that_was_kept_twice_is_not_lost() -> None:
    assert all(check.ok for check in Ledger(double=frozenset({1, 2})).prove("run", 20))


def test_a_double_does_not_stand_in_for_a_lost_one() -> None:
    assert not all(check.ok for check in Ledger(lose=frozenset({7}), double=frozenset({8})).prove("run", 20))


def test_a_service_that_breaks_is_left_closed() -> None:
    probe = Ledger(break_at=5)
    with pytest.raises(ProbeError, match="gone"):
        probe.prove("run", 20)
    assert probe.was_open
    assert not probe.is_open


@pytest.mark.parametrize(
    ("error", "words", "ok"),
    [
        (Refused("no entry"), (), True),
        (Refused("Password authentication FAILED"), ("authentication failed",), True),
        (Refused("one of two"), ("neither", "of two"), True),
        (Refused("the server is shutting down"), ("authentication failed",), False),
        (ConnectionRefusedError("nobody listens"), (), False),
        (KeyError("a bug in the probe"), (), False),
        (None, (), False),
    ],
    ids=["refused", "with the word", "with one of the words", "another reason", "away", "a bug", "accepted"],
)
def test_refused(error: Exception | None, words: tuple[str, ...], ok: bool) -> None:
    def attempt() -> None:
        if error is not None:
            raise error

    check = refused("it is refused", attempt, (Refused,), *words)
    assert check.name == "it is refused"
    assert check.ok is ok
    assert check.detail


def test_evidence_is_one_short_line() -> None:
    def attempt() -> None:
        raise Refused("a\nb" * 500)

    detail = refused("x", attempt, (Refused,)).detail
    assert "\n" not in detail
    assert len(detail) <= 160


def test_the_password_is_in_no_text_of_the_target() -> None:
    assert SECRET not in repr(TARGET)
    assert SECRET not in str(probe_for(TARGET).target)


def test_an_unknown_engine_has_no_probe() -> None:
    target = Target("x", "kafka", (), "app", SECRET, "/ca.crt")
    with pytest.raises(ProbeError, match="kafka"):
        probe_for(target)


@pytest.mark.parametrize("engine", ["postgres", "redis", "rabbitmq"])
def test_every_engine_has_a_probe(engine: str) -> None:
    target = Target("x", engine, (), "app", SECRET, "/ca.crt")
    assert probe_for(target).target is target


@contextlib.contextmanager
def listener(answer: bytes) -> Iterator[tuple[str, int]]:
    """A server on loopback that reads a greeting, sends `answer` and hangs up."""

    def serve() -> None:
        connection, _address = server.accept()
        with connection:
            connection.recv(64)
            connection.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()
        thread.join(5)


@pytest.mark.parametrize(
    ("answer", "ok", "said"),
    [
        (b"", True, "closed the connection"),
        (b"\x15\x03\x01\x00\x02\x02\x28", True, "a TLS alert"),
        (b"-NOAUTH Authentication required.\r\n", False, "NOAUTH"),
        (b"+PONG\r\n", False, "PONG"),
    ],
)
def test_only_a_closed_connection_or_an_alert_refuses_plain_text(answer: bytes, ok: bool, said: str) -> None:
    with listener(answer) as (host, port):
        seen = plain_text_refused(host, port, b"PING\r\n")
    assert seen.ok is ok
    assert said in seen.detail


def test_a_port_that_nobody_answers_proves_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        host, port = server.getsockname()
    seen = plain_text_refused(host, port, b"PING\r\n")
    assert not seen.ok
    assert "not as a refusal" in seen.detail
