# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which certificate a port serves to a new connection, compared with the one it should."""

from __future__ import annotations

import socket
import ssl
import struct
import time
from collections.abc import Mapping, Sequence
from typing import Any

INTERVAL = 0.3
SSL_REQUEST = struct.pack("!ii", 8, 80877103)


class CertificateError(Exception):
    """A port could not be asked: a sentence that names it."""


def serial_of(der: bytes) -> str:
    """Return the serial number of a certificate: the first integer after the version in its DER form."""
    try:
        content = _inside(_inside(der))
        if content[0] == 0xA0:  # an explicit version comes first
            content = content[_length(content)[1] :]
        size, end = _length(content)
        return content[end - size : end].hex().lstrip("0").upper() or "0"
    except IndexError as error:
        raise CertificateError("expected a certificate, found something else") from error


def _length(der: bytes) -> tuple[int, int]:
    """Return the size of the first element's content, and where the element ends."""
    size, start = der[1], 2
    if size & 0x80:
        count = size & 0x7F
        size, start = int.from_bytes(der[2 : 2 + count], "big"), 2 + count
    return size, start + size


def _inside(der: bytes) -> bytes:
    """Return the content of the first element."""
    size, end = _length(der)
    return der[end - size : end]


def served(address: str, port: int, context: ssl.SSLContext, postgres: bool, timeout: float) -> bytes:
    """Return the certificate that a new, verified connection is shown, in DER form."""
    where = f"{address}:{port}"
    try:
        with socket.create_connection((address, port), timeout) as talk:
            if postgres:
                talk.sendall(SSL_REQUEST)
                if talk.recv(1) != b"S":
                    raise CertificateError(f"{where}: expected PostgreSQL to speak TLS, found that it refuses")
            with context.wrap_socket(talk, server_hostname=address) as secured:
                found = secured.getpeercert(binary_form=True)
    except OSError as error:
        raise CertificateError(f"{where}: expected a verified connection, found: {error}") from error
    if not found:
        raise CertificateError(f"{where}: expected a certificate, found none")
    return found


def differences(
    endpoints: Sequence[Mapping[str, Any]], expected: Mapping[str, str], context: ssl.SSLContext, timeout: float
) -> list[str]:
    """Return every port that does not serve its host's certificate, or could not be asked."""
    wrong: list[str] = []
    for item in endpoints:
        where = f"{item['service']} of {item['name']} ({item['address']}:{item['port']})"
        want = ssl.PEM_cert_to_DER_cert(expected[item["name"]])
        try:
            found = served(item["address"], item["port"], context, item["postgres"], timeout)
        except CertificateError as error:
            wrong.append(f"{where}: {error}")
            continue
        if found != want:
            wrong.append(f"{where}: expected serial number {serial_of(want)}, found {serial_of(found)}")
    return wrong


def wait(
    endpoints: Sequence[Mapping[str, Any]], expected: Mapping[str, str], context: ssl.SSLContext, timeout: float
) -> list[str]:
    """Ask until every port serves its certificate or the deadline is over; return what is wrong."""
    deadline = time.monotonic() + timeout
    while True:
        wrong = differences(endpoints, expected, context, 5.0)
        if not wrong or time.monotonic() >= deadline:
            return wrong
        time.sleep(INTERVAL)
