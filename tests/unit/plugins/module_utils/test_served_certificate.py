# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import datetime
import ipaddress
import socket
import ssl
import threading
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.holdfast.stateful.plugins.module_utils import served_certificate
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


def make(folder: Path, serial: int) -> tuple[str, Path]:
    """Make a self-signed certificate for the loopback address; return its PEM text, and a file with the key too."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), serial, now, now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = made.public_bytes(serialization.Encoding.PEM)
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = folder / f"{serial}.pem"
    path.write_bytes(pem + secret)
    return pem.decode(), path


@pytest.mark.parametrize("serial", [1, 0x7F, 0x80, 2**150 + 9])
def test_serial_number(serial: int, tmp_path: Path) -> None:
    text, _path = make(tmp_path, serial)
    assert served_certificate.serial_of(ssl.PEM_cert_to_DER_cert(text)) == f"{serial:X}"


def test_what_is_no_certificate() -> None:
    with pytest.raises(served_certificate.CertificateError):
        served_certificate.serial_of(b"")


@pytest.mark.parametrize("postgres", [False, True])
def test_a_port_is_compared_with_what_it_should_serve(postgres: bool, tmp_path: Path) -> None:
    text, path = make(tmp_path, 5)
    other, _path = make(tmp_path, 6)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(path)
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        for _turn in range(2):
            talk, _peer = listener.accept()
            if postgres:
                talk.recv(8)
                talk.sendall(b"S")
            server.wrap_socket(talk, server_side=True).close()

    threading.Thread(target=serve, daemon=True).start()
    context = ssl.create_default_context(cafile=str(path))
    here: dict[str, Any] = {"service": "x", "name": "a", "address": "127.0.0.1", "postgres": postgres}
    here["port"] = listener.getsockname()[1]
    assert served_certificate.differences([here], {"a": text}, context, 5) == []
    wrong = served_certificate.differences([here], {"a": other}, context, 5)
    assert "expected serial number 6, found 5" in wrong[0]
    listener.close()
    assert "expected a verified connection" in served_certificate.wait([here], {"a": text}, context, 0)[0]
