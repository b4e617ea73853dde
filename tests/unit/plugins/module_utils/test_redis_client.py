# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import socket
from typing import Any

import pytest
from ansible_collections.holdfast.stateful.plugins.module_utils.redis_client import (
    Login,
    RedisConnection,
    RedisDown,
    RedisReplyError,
    RedisUnobservable,
    encode,
    table,
)


class Wire:
    """A socket that hands out what the server would send, a few bytes at a time."""

    def __init__(self, data: bytes) -> None:
        self.data, self.sent = data, b""

    def sendall(self, data: bytes) -> None:
        self.sent += data

    def recv(self, _size: int) -> bytes:
        chunk, self.data = self.data[:3], self.data[3:]
        return chunk

    def close(self) -> None:
        return None


def connection(data: bytes) -> Any:
    server = RedisConnection.__new__(RedisConnection)
    server.where, server._buffer, server._socket = "h:1", b"", Wire(data)  # type: ignore[assignment]
    return server


@pytest.mark.parametrize(
    ("data", "reply"),
    [
        (b"+OK\r\n", "OK"),
        (b":42\r\n", 42),
        (b"$5\r\nhello\r\n", "hello"),
        (b"$4\r\na\r\nb\r\n", "a\r\nb"),
        (b"$-1\r\n", None),
        (b"*-1\r\n", None),
        (b"*2\r\n$1\r\na\r\n*1\r\n:7\r\n", ["a", [7]]),
        (b"*0\r\n", []),
    ],
)
def test_replies(data: bytes, reply: Any) -> None:
    assert connection(data).call("PING") == reply


def test_an_error_keeps_the_servers_words_and_no_argument() -> None:
    with pytest.raises(RedisReplyError) as caught:
        connection(b"-NOPERM no\r\n").call("AUTH", "me", "swordfish")
    assert (caught.value.code, "swordfish" in str(caught.value)) == ("NOPERM", False)


@pytest.mark.parametrize("data", [b"", b"$5\r\nhe", b"?x\r\n", b"*2\r\n+a\r\n"])
def test_a_broken_reply_is_unobservable(data: bytes) -> None:
    with pytest.raises(RedisUnobservable):
        connection(data).call("PING")


def test_a_transaction_reports_the_error_inside() -> None:
    data = b"+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n-ERR can't\r\n+OK\r\n"
    with pytest.raises(RedisReplyError, match="can't"):
        connection(data).transaction(["CONFIG", "SET", "a", "b"], ["CONFIG", "REWRITE"])


def test_nothing_listens() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    import ssl

    login = Login("u", "p", ssl.get_default_verify_paths().cafile or "/etc/ssl/certs/ca-certificates.crt")
    with pytest.raises(RedisDown):
        RedisConnection("127.0.0.1", port, login)


def test_encode_and_table() -> None:
    assert encode(["SET", "k", "ä"]) == b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$2\r\n\xc3\xa4\r\n"
    assert table(["a", "1", "b", "2"]) == {"a": "1", "b": "2"}
