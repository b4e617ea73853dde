# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A small RESP client over verified TLS, for Redis and Sentinel (why not redis-py: docs/adr/0040)."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

Reply = Any
Call = Callable[..., Reply]


class RedisError(Exception):
    """Anything that went wrong with a server; the sentence names the server."""


class RedisDown(RedisError):  # noqa: N818  # the name is the state
    """Nothing listens there: the port refused the connection."""


class RedisUnobservable(RedisError):  # noqa: N818  # the name is the state
    """The server could not be asked: timeout, TLS, a broken connection."""


class RedisReplyError(RedisError):
    """The server answered with an error."""

    def __init__(self, where: str, command: str, message: str) -> None:
        """Keep the server's own words."""
        super().__init__(f"{where}: {command}: {message}")
        self.message = message

    @property
    def code(self) -> str:
        """Return the first word, which Redis keeps stable."""
        return self.message.split(" ", 1)[0]


@dataclass(frozen=True)
class Login:
    """Who connects, and what the server's certificate is verified with."""

    user: str
    password: str
    ca_file: str
    timeout: float = 5.0


class RedisConnection:
    """One connection; use it as a context manager."""

    def __init__(self, host: str, port: int, login: Login) -> None:
        """Connect, verify the server's certificate and log in."""
        self.where = f"{host}:{port}"
        self._buffer = b""
        self.peer_certificate = b""
        try:
            context = ssl.create_default_context(cafile=login.ca_file)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            plain = socket.create_connection((host, port), timeout=login.timeout)
        except ConnectionRefusedError as error:
            raise RedisDown(f"{self.where}: nothing listens there") from error
        except (OSError, ssl.SSLError) as error:
            raise RedisUnobservable(f"{self.where}: expected to connect, found: {error}") from error
        try:
            self._socket = context.wrap_socket(plain, server_hostname=host)
        except (OSError, ssl.SSLError) as error:
            plain.close()
            raise RedisUnobservable(f"{self.where}: expected a verified TLS connection, found: {error}") from error
        try:
            self.peer_certificate = self._socket.getpeercert(binary_form=True) or b""
            self.call("AUTH", login.user, login.password)
        except RedisError:
            self.close()
            raise

    def __enter__(self) -> RedisConnection:
        """Return the connection."""
        return self

    def __exit__(self, *_unused: object) -> None:
        """Close the connection."""
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def call(self, *words: str | int) -> Reply:
        """Send one command and return its reply; an error reply is raised."""
        # The arguments may hold a password: only the command and its first word are ever named.
        name = " ".join(str(word) for word in words[: 2 if words[0] in {"CONFIG", "SENTINEL", "CLIENT", "ACL"} else 1])
        try:
            self._socket.sendall(encode(words))
            reply = self._read()
        except (OSError, ssl.SSLError, EOFError, ValueError) as error:
            raise RedisUnobservable(f"{self.where}: {name}: expected a reply, found: {error}") from error
        if isinstance(reply, ErrorReply):
            raise RedisReplyError(self.where, name, str(reply))
        return reply

    def transaction(self, *commands: Sequence[str | int]) -> list[Reply]:
        """Send commands that a dying client can't separate: the server runs all of them, or none."""
        self.call("MULTI")
        for command in commands:
            self.call(*command)
        replies = self.call("EXEC")
        for command, reply in zip(commands, replies, strict=True):
            if isinstance(reply, ErrorReply):
                raise RedisReplyError(self.where, " ".join(str(word) for word in command[:2]), str(reply))
        return list(replies)

    def info(self, *sections: str) -> dict[str, str]:
        """Return sections of INFO as one table."""
        text = str(self.call("INFO", *sections))
        return dict(line.split(":", 1) for line in text.splitlines() if ":" in line and not line.startswith("#"))

    def config_get(self, names: Sequence[str]) -> dict[str, str]:
        """Return directives and their running values."""
        return table(self.call("CONFIG", "GET", *names)) if names else {}

    def _line(self) -> bytes:
        while b"\r\n" not in self._buffer:
            self._fill()
        line, self._buffer = self._buffer.split(b"\r\n", 1)
        return line

    def _fill(self) -> None:
        chunk = self._socket.recv(65536)
        if not chunk:
            raise EOFError("the server closed the connection")
        self._buffer += chunk

    def _read(self) -> Reply:
        line = self._line()
        kind, rest = line[:1], line[1:].decode("utf-8", "replace")
        if kind == b"+":
            return rest
        if kind == b"-":
            return ErrorReply(rest)
        if kind == b":":
            return int(rest)
        if kind == b"$":
            size = int(rest)
            if size < 0:
                return None
            while len(self._buffer) < size + 2:
                self._fill()
            data, self._buffer = self._buffer[:size], self._buffer[size + 2 :]
            return data.decode("utf-8", "replace")
        if kind == b"*":
            return [self._read() for _item in range(int(rest))] if int(rest) >= 0 else None
        raise ValueError(f"an unknown reply type {kind!r}")


class ErrorReply(str):
    """An error as the server sent it."""

    __slots__ = ()


def encode(words: Sequence[str | int]) -> bytes:
    """Return one command in the wire format."""
    parts = [f"*{len(words)}\r\n".encode()]
    for word in words:
        data = str(word).encode()
        parts.append(b"$%d\r\n%s\r\n" % (len(data), data))
    return b"".join(parts)


def table(pairs: Sequence[str] | None) -> dict[str, str]:
    """Turn the flat list of names and values that Redis sends into a table."""
    items = list(pairs or [])
    return dict(zip(items[::2], items[1::2], strict=True))


def certificate_is_stale(presented: bytes, path: str) -> bool:
    """Say whether the server presents another certificate than the file holds."""
    try:
        with open(path, encoding="ascii") as handle:  # noqa: PTH123
            text = handle.read()
        first = text[text.index("-----BEGIN CERTIFICATE-----") : text.index("-----END CERTIFICATE-----") + 25]
        return ssl.PEM_cert_to_DER_cert(first + "\n") != presented
    except (OSError, ValueError) as error:
        raise RedisUnobservable(f"{path}: expected a PEM certificate, found: {error}") from error


def binary_is_replaced(pid: str | int) -> bool:
    """Say whether the process runs a program that a package upgrade has replaced since."""
    import os

    try:
        return os.readlink(f"/proc/{int(pid)}/exe").endswith(" (deleted)")  # noqa: PTH115
    except (OSError, ValueError):
        return False


LOGIN_SPEC: dict[str, dict[str, Any]] = {
    "login_user": {"type": "str", "required": True},
    "login_password": {"type": "str", "required": True, "no_log": True},
    "ca_file": {"type": "path", "default": "/etc/holdfast/pki/ca.crt"},
    "connect_timeout": {"type": "float", "default": 5.0},
}


def login_of(params: dict[str, Any]) -> Login:
    """Return the login that module parameters describe."""
    return Login(params["login_user"], params["login_password"], params["ca_file"], params["connect_timeout"])
