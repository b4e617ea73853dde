# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Redis probe: redis-py through Sentinel, TLS verified on both."""

from __future__ import annotations

import contextlib
import dataclasses
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError
from redis.retry import Retry
from redis.sentinel import Sentinel

from .base import Check, Probe, ProbeError, plain_text_refused, refused

KEY = "holdfast:probe:"


class RedisProbe(Probe):
    """Records are members of a sorted set for each run; the reply is the acknowledgement."""

    _client: redis.Redis | None = None

    def _tls(self, **overrides: Any) -> dict[str, Any]:
        target = self.target
        return {
            "ssl": True,
            "ssl_ca_certs": target.ca_file,
            "ssl_cert_reqs": "required",
            "ssl_check_hostname": True,
            "socket_timeout": target.timeout,
            "socket_connect_timeout": min(2.0, target.timeout),
            "username": target.user,
            "password": target.password,
            "retry": Retry(NoBackoff(), 0),
            **overrides,
        }

    def _sentinel(self) -> Sentinel:
        # The application's account exists on the Sentinels too, with the right to ask and nothing more.
        return Sentinel(self.target.sentinels, sentinel_kwargs=self._tls(), **self._tls())  # type: ignore[no-untyped-call]

    def open(self) -> str:
        """Ask the Sentinels for the master and connect to it."""
        self.close()
        try:
            host, port = self._sentinel().discover_master(self.target.sentinel_name)  # type: ignore[no-untyped-call]
            self._client = redis.Redis(host=str(host), port=int(port), **self._tls())
            alive = self._client.ping()
        except RedisError as error:
            raise ProbeError(f"{self.target.service}: {type(error).__name__}: {error}") from error
        if not alive:
            raise ProbeError(f"{self.target.service}: {host}:{port} does not answer PING")
        return f"Sentinels name {host}:{port}, TLS verified"

    def close(self) -> None:
        """Disconnect."""
        with contextlib.suppress(Exception):
            if self._client is not None:
                self._client.close()
        self._client = None

    def _call(self, method: str, *arguments: Any) -> Any:
        if self._client is None:
            self.open()
        try:
            return getattr(self._client, method)(*arguments)
        except RedisError as error:
            self.close()
            raise ProbeError(f"{self.target.service}: {type(error).__name__}: {error}") from error

    def write(self, run: str, sequence: int) -> None:
        """Add one member to the run's sorted set."""
        self._call("zadd", KEY + run, {str(sequence): sequence})

    def read(self, run: str) -> list[int]:
        """Return the members in order."""
        return [int(member) for member in self._call("zrange", KEY + run, 0, -1)]

    def forget(self, run: str) -> None:
        """Delete the run's key."""
        self._call("delete", KEY + run)

    def refusals(self) -> list[Check]:
        """Plain text, the default user, a wrong password and a dangerous command."""
        host, port = self.target.hosts[0]
        wrong = dataclasses.replace(self.target, password="not-the-password")  # noqa: S106
        anonymous = redis.Redis(host=host, port=port, **self._tls(username=None, password=None))
        stranger = redis.Redis(host=host, port=port, **RedisProbe(wrong)._tls())
        own = redis.Redis(host=host, port=port, **self._tls())
        return [
            plain_text_refused(host, port, b"PING\r\n"),
            refused("the default user is refused", anonymous.ping, (AuthenticationError,)),
            refused("a wrong password is refused", stranger.ping, (AuthenticationError,)),
            refused("FLUSHALL is refused", own.flushall, (NoPermissionError,)),
        ]
