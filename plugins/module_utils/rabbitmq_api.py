# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A small client of RabbitMQ's management API over verified TLS, and the errors of all that talks to RabbitMQ."""

from __future__ import annotations

import base64
import http.client
import json
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import quote

MONITOR_USER = "monitor"
ADMIN_USER = "admin"
CA_FILE = "/etc/holdfast/pki/ca.crt"


class RabbitmqError(Exception):
    """A sentence for the operator: the host, the thing, what was expected, what was found, what to do."""


class UnreachableError(RabbitmqError):
    """Nothing answered, or what answered could not prove who it is."""


class DeniedError(RabbitmqError):
    """The user or its password was refused."""


class RejectedError(RabbitmqError):
    """The API understood the request and refused it."""

    def __init__(self, message: str, status: int) -> None:
        """Keep the status beside the sentence."""
        super().__init__(message)
        self.status = status


class GateError(RabbitmqError):
    """A safety gate that stays shut."""


class Api:
    """One kept-alive connection to the API of one member."""

    def __init__(
        self, address: str, port: int, user: str, password: str, *, ca_file: str = CA_FILE, timeout: float = 5.0
    ) -> None:
        """Remember how to connect; nothing is sent yet."""
        self.address, self.port, self.user, self.timeout = address, port, user, timeout
        self._token = base64.b64encode(f"{user}:{password}".encode()).decode()
        self._ca_file = ca_file
        self._connection: http.client.HTTPSConnection | None = None

    def _connect(self) -> http.client.HTTPSConnection:
        if self._connection is None:
            try:
                context = ssl.create_default_context(cafile=self._ca_file)
            except OSError as error:
                raise UnreachableError(
                    f"{self._ca_file}: expected the authority's certificate, found: {error}: run the role pki"
                ) from error
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            self._connection = http.client.HTTPSConnection(
                self.address, self.port, timeout=self.timeout, context=context
            )
        return self._connection

    def close(self) -> None:
        """Drop the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def request(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Send one request and return status and decoded answer; 401 and silence are errors."""
        headers = {"Authorization": f"Basic {self._token}"}
        data = None
        if body is not None:
            data, headers["Content-Type"] = json.dumps(body).encode(), "application/json"
        where = f"https://{self.address}:{self.port}"
        try:
            connection = self._connect()
            connection.request(method, f"/api{path}", body=data, headers=headers)
            answer = connection.getresponse()
            raw, status = answer.read(), answer.status
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise UnreachableError(
                f"{where}: expected the management API to answer, found: {reason(error)}: is RabbitMQ running there?"
            ) from error
        if answer.will_close:
            self.close()
        if status == http.HTTPStatus.UNAUTHORIZED:
            raise DeniedError(
                f"{where}: expected the API to accept user {self.user}, found that it refuses the password"
            )
        try:
            return status, json.loads(raw) if raw else None
        except ValueError:
            return status, raw.decode("utf-8", "replace")[:500]

    def get(self, path: str) -> Any:
        """Return what is at the path."""
        return self.call("GET", path)

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Send one request that must succeed."""
        status, answer = self.request(method, path, body)
        if status >= http.HTTPStatus.BAD_REQUEST:
            said = answer.get("reason") or answer.get("error") if isinstance(answer, dict) else answer
            raise RejectedError(
                f"https://{self.address}:{self.port}/api{path}: expected {method} to succeed, found status {status}:"
                f" {said}",
                status,
            )
        return answer


def reason(error: BaseException) -> str:
    """Return what went wrong as a few words."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"a certificate that can't be trusted ({error.verify_message})"
    if isinstance(error, TimeoutError | socket.timeout):
        return "no answer in time"
    return str(error) or type(error).__name__


def seg(name: str) -> str:
    """Quote one segment of a path; the default virtual host is a slash."""
    return quote(name, safe="")


def first_answer(apis: Sequence[Api], ask: Callable[[Api], Any]) -> Any:
    """Return the first answer of several members, in order; when nobody answers, everybody's reason."""
    problems: list[str] = []
    denied: DeniedError | None = None
    for api in apis:
        try:
            return ask(api)
        except DeniedError as error:
            denied = error
            problems.append(str(error))
        except RabbitmqError as error:
            problems.append(str(error))
    if denied is not None and len(problems) == 1:
        raise denied
    raise UnreachableError("; ".join(problems) or "no member to ask")


class Deadline:
    """A moment after which waiting ends."""

    def __init__(self, seconds: float) -> None:
        """Start the clock."""
        self.seconds = seconds
        self._end = time.monotonic() + seconds

    @property
    def left(self) -> float:
        """Return the seconds that are left, never below zero."""
        return max(0.0, self._end - time.monotonic())

    @property
    def over(self) -> bool:
        """Say whether the time is up."""
        return self.left <= 0
