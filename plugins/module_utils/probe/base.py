# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What all probes share: a target, sequence-numbered writes, and checks with their evidence."""

from __future__ import annotations

import abc
import socket
from dataclasses import asdict, dataclass, field
from typing import Any

#: The first byte of a TLS alert record (RFC 8446, section 5.1).
TLS_ALERT = b"\x15"


class ProbeError(Exception):
    """The service did not do what it promises; the message says what was seen."""


@dataclass(frozen=True)
class Target:
    """What an application needs to connect. `timeout` is in seconds and bounds each attempt."""

    service: str
    engine: str
    hosts: tuple[tuple[str, int], ...]
    user: str
    password: str = field(repr=False)
    ca_file: str
    database: str = ""
    vhost: str = ""
    sentinels: tuple[tuple[str, int], ...] = ()
    sentinel_name: str = ""
    timeout: float = 5.0


@dataclass(frozen=True)
class Check:
    """One thing that was tried, whether it held, and what was seen."""

    name: str
    ok: bool
    detail: str

    def to_dict(self) -> dict[str, Any]:
        """Return the check as plain data."""
        return asdict(self)


class Probe(abc.ABC):
    """A client that writes numbered records of a named run and finds them again."""

    def __init__(self, target: Target) -> None:
        """Take the target; nothing is connected yet."""
        self.target = target

    @abc.abstractmethod
    def open(self) -> str:
        """Connect anew and return what serves, for evidence. Raises ProbeError."""

    @abc.abstractmethod
    def close(self) -> None:
        """Disconnect; never raises."""

    @abc.abstractmethod
    def write(self, run: str, sequence: int) -> None:
        """Write one record and return once the service has acknowledged it. Raises ProbeError when it may not have."""

    @abc.abstractmethod
    def read(self, run: str) -> list[int]:
        """Return the sequence numbers of a run in ascending order, duplicates included. Raises ProbeError."""

    @abc.abstractmethod
    def forget(self, run: str) -> None:
        """Remove a run's records."""

    @abc.abstractmethod
    def refusals(self) -> list[Check]:
        """Try what must be refused (no TLS, wrong password, default accounts) and return one check for each."""

    def prove(self, run: str, records: int) -> list[Check]:
        """Write and read `records` records and try the refusals; return all checks. Raises ProbeError on the way."""
        checks = [Check("connect over verified TLS", True, self.open())]
        try:
            for sequence in range(records):
                self.write(run, sequence)
            checks.append(Check("write, each acknowledged", True, f"{records} records"))
            found = self.read(run)
            lost = sorted(set(range(records)) - set(found))
            detail = f"{len(set(found))} of {records} found" + (f", missing {lost[:10]}" if lost else "")
            checks.append(Check("read back", not lost, detail))
            self.forget(run)
        finally:
            self.close()
        return checks + self.refusals()


def refused(name: str, attempt: Any, expected: tuple[type[BaseException], ...], *words: str) -> Check:
    """Run `attempt`, which must fail with one of `expected` and, where `words` are given, one of them in its message.

    An attempt that fails for another reason (the service is away, say) proves nothing and does not hold.
    """
    try:
        attempt()
    except expected as error:
        text = f"{type(error).__name__}: {error}".strip().replace("\n", " ")[:160]
        matched = not words or any(word.lower() in text.lower() for word in words)
        return Check(name, matched, text if matched else f"failed, but not as a refusal: {text}")
    except Exception as error:  # noqa: BLE001 - whatever else happened is evidence that the refusal was not seen
        return Check(name, False, f"failed, but not as a refusal: {type(error).__name__}: {str(error)[:120]}")
    return Check(name, False, "was accepted")


def plain_text_refused(host: str, port: int, greeting: bytes, timeout: float = 3.0) -> Check:
    """Greet a port without TLS: it must take the connection, then close it or send a TLS alert and nothing else."""
    name = "plain text is refused"
    try:
        with socket.create_connection((host, port), timeout=timeout) as connection:
            try:
                connection.sendall(greeting)
                answer = connection.recv(64)
            except (ConnectionResetError, BrokenPipeError):
                answer = b""
    except OSError as error:
        return Check(name, False, f"failed, but not as a refusal: {type(error).__name__}: {error}")
    if not answer:
        return Check(name, True, f"{host}:{port} closed the connection")
    alert = answer[:1] == TLS_ALERT
    return Check(name, alert, f"{host}:{port} answered with {'a TLS alert' if alert else repr(answer[:32])}")
