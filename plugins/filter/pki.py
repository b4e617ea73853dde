# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters that judge certificates on the controller, without a remote call."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ansible.errors import AnsibleFilterError

if TYPE_CHECKING:
    from cryptography import x509


def _names(certificate: x509.Certificate) -> set[str]:
    from cryptography import x509

    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return set()
    dns = {f"DNS:{name}" for name in extension.get_values_for_type(x509.DNSName)}
    return dns | {f"IP:{address}" for address in extension.get_values_for_type(x509.IPAddress)}


def certificate_problem(
    pem: str, names: list[str], renew_days: int, authority: str, now: datetime.datetime | None = None
) -> str:
    """Return why the certificate `pem` must be signed anew, or "" when it is good.

    Good means: readable, signed by the certificate `authority` (PEM), without a common name, carrying exactly `names`
    (`DNS:…` and `IP:…`) and valid for at least `renew_days` days after `now` (UTC, default the present).
    """
    # Every task that uses any filter reads this file, and the library takes longer to load than most tasks to run.
    try:
        from cryptography import x509
        from cryptography.exceptions import InvalidSignature
    except ImportError as error:
        raise AnsibleFilterError(f"certificate_problem: {error}; install it where ansible-core is installed") from error
    if not pem.strip():
        return "there is none"
    try:
        certificate = x509.load_pem_x509_certificate(pem.encode())
    except ValueError as error:
        return f"it can't be read: {error}"
    try:
        certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(authority.encode()))
    except (ValueError, TypeError, InvalidSignature):
        return "another authority signed it"
    if certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME):
        return "its subject has a common name, with which etcd's gateway lets no user in"
    if _names(certificate) != set(names):
        return f"it is for {sorted(_names(certificate))} instead of {sorted(names)}"
    moment = now or datetime.datetime.now(datetime.UTC)
    if certificate.not_valid_after_utc < moment + datetime.timedelta(days=int(renew_days)):
        return f"it ends at {certificate.not_valid_after_utc.isoformat()}"
    return ""


class FilterModule:
    """Register the filters."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return {"certificate_problem": certificate_problem}
