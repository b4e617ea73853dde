"""When a certificate must be signed anew."""

from __future__ import annotations

import datetime
import ipaddress
from dataclasses import dataclass

import pytest
from ansible_collections.holdfast.stateful.plugins.filter.pki import FilterModule, certificate_problem
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

NOW = datetime.datetime(2026, 11, 23, tzinfo=datetime.UTC)
DAY = datetime.timedelta(days=1)
NAMES = ["DNS:lab1", "DNS:localhost", "IP:127.0.0.1", "IP:2001:db8::1"]


@dataclass
class Authority:
    """A key and the certificate that it signed for itself."""

    name: x509.Name
    key: ec.EllipticCurvePrivateKey
    pem: str


def general(name: str) -> x509.GeneralName:
    kind, _colon, value = name.partition(":")
    return x509.DNSName(value) if kind == "DNS" else x509.IPAddress(ipaddress.ip_address(value))


def sign(
    authority: Authority | None,
    subject: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    names: list[str] | None,
    days: float = 90,
) -> str:
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(authority.name if authority else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - DAY)
        .not_valid_after(NOW + days * DAY)
    )
    if names is not None:
        builder = builder.add_extension(x509.SubjectAlternativeName([general(name) for name in names]), critical=False)
    certificate = builder.sign(authority.key if authority else key, hashes.SHA256())
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def authority(common_name: str) -> Authority:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name)])
    key = ec.generate_private_key(ec.SECP256R1())
    return Authority(name, key, sign(None, name, key, None, 3650))


OURS = authority("Holdfast private authority")
#: The same name, as after the authority was made anew: only the signature tells them apart.
NAMESAKE = authority("Holdfast private authority")
STRANGER = authority("Somebody else")
KEY = ec.generate_private_key(ec.SECP256R1())
SUBJECT = x509.Name([x509.NameAttribute(x509.NameOID.ORGANIZATIONAL_UNIT_NAME, "lab1")])
NAMED = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "lab1")])


def certificate(signer: Authority = OURS, names: list[str] | None = None, days: float = 90) -> str:
    return sign(signer, SUBJECT, KEY, NAMES if names is None else names, days)


GOOD = certificate()


@pytest.mark.parametrize(
    ("pem", "names", "problem"),
    [
        (GOOD, NAMES, ""),
        (GOOD, NAMES[::-1], ""),
        (certificate(days=30), NAMES, ""),
        (certificate(days=29.9), NAMES, "it ends at 2026-12-22"),
        (certificate(days=-0.5), NAMES, "it ends at"),
        ("", NAMES, "there is none"),
        (" \n", NAMES, "there is none"),
        ("no certificate", NAMES, "can't be read"),
        (GOOD[:200], NAMES, "can't be read"),
        (GOOD, NAMES[:2], "instead of"),
        (GOOD, [*NAMES, "IP:192.0.2.1"], "instead of"),
        (certificate(names=NAMES[:3]), NAMES, "instead of"),
        (sign(OURS, SUBJECT, KEY, None), NAMES, "instead of"),
        (sign(OURS, NAMED, KEY, NAMES), NAMES, "common name"),
        (certificate(signer=STRANGER), NAMES, "another authority"),
        (certificate(signer=NAMESAKE), NAMES, "another authority"),
    ],
    ids=[
        "good", "in another order", "at the limit", "ends too soon", "has ended", "none", "blank", "not a certificate",
        "cut off", "a name too many", "a name too few", "an address is missing", "no names at all", "a common name",
        "a stranger signed",
        "a namesake signed",
    ],
)  # fmt: skip
def test_problem(pem: str, names: list[str], problem: str) -> None:
    found = certificate_problem(pem, names, 30, OURS.pem, NOW)
    assert problem in found if problem else found == ""


def test_renewal_can_be_asked_for_early() -> None:
    assert certificate_problem(GOOD, NAMES, 89, OURS.pem, NOW) == ""
    assert "it ends at" in certificate_problem(GOOD, NAMES, 91, OURS.pem, NOW)


def test_the_present_is_the_default() -> None:
    wide = sign(OURS, SUBJECT, KEY, NAMES, 36500)
    assert certificate_problem(wide, NAMES, 30, OURS.pem) == ""


@pytest.mark.parametrize("text", ["", "nonsense"])
def test_an_authority_that_can_not_be_read_has_signed_nothing(text: str) -> None:
    assert certificate_problem(GOOD, NAMES, 30, text, NOW) == "another authority signed it"


def test_filter_is_registered() -> None:
    assert FilterModule().filters()["certificate_problem"] is certificate_problem
