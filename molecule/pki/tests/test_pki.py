"""One key pair per host, signed by the private authority, for the right names and for 90 days."""

from __future__ import annotations

import datetime

from cryptography import x509

FOLDER = "/etc/holdfast/pki"


def certificate(host, name="host.crt"):
    return x509.load_pem_x509_certificate(host.file(f"{FOLDER}/{name}").content)


def test_key_is_readable_by_services_only(host):
    key = host.file(f"{FOLDER}/host.key")
    assert (key.user, key.group, key.mode) == ("root", "ssl-cert", 0o640)


def test_certificate_belongs_to_the_key(host):
    of_key = host.check_output(f"openssl pkey -in {FOLDER}/host.key -pubout")
    of_certificate = host.check_output(f"openssl x509 -in {FOLDER}/host.crt -noout -pubkey")
    assert of_key.split() == of_certificate.split()


def test_authority_signed_it_for_this_host(host):
    leaf, authority = certificate(host), certificate(host, "ca.crt")
    leaf.verify_directly_issued_by(authority)
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    addresses = {str(address) for address in names.get_values_for_type(x509.IPAddress)}
    assert host.check_output("hostname") in names.get_values_for_type(x509.DNSName)
    assert host.interface("host0").addresses[0].split("/")[0] in addresses


def test_it_is_valid_for_at_most_ninety_days(host):
    leaf = certificate(host)
    assert leaf.not_valid_after_utc - leaf.not_valid_before_utc <= datetime.timedelta(days=90, minutes=10)
    assert leaf.not_valid_before_utc < datetime.datetime.now(datetime.UTC) < leaf.not_valid_after_utc


def test_authority_key_is_not_on_the_host(host):
    assert not host.file(f"{FOLDER}/ca.key").exists


def test_it_names_this_host(host):
    assert certificate(host).subject.rfc4514_string() == f"OU={host.check_output('hostname')},O=Holdfast"
