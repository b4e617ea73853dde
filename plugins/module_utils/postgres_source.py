# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The cluster of another site as seen from here: who takes writes there, and what that allows here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ansible_collections.holdfast.stateful.plugins.module_utils.host_tls import PKI

WRITABLE, STANDBY, UNKNOWN = "writable", "standby", "unknown"
CONNECT_SECONDS = 3

SOURCE_SPEC: dict[str, dict[str, Any]] = {
    "sources": {
        "type": "list",
        "elements": "dict",
        "required": True,
        "options": {"name": {"type": "str", "required": True}, "address": {"type": "str", "required": True}},
    },
    "source_port": {"type": "int", "default": 5432},
    "source_user": {"type": "str", "default": "rewind"},
    "source_ca": {"type": "path", "default": f"{PKI}/ca.crt"},
    "slot": {"type": "str", "required": True},
}


class SourceError(Exception):
    """The source is not as it must be: a sentence that names its members."""


@dataclass(frozen=True)
class Source:
    """What one member of the source says, or why it could not be asked."""

    name: str
    address: str
    state: str = UNKNOWN
    said: str = ""
    major: str | None = None
    slot: bool | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return what a result carries."""
        return asdict(self)

    def text(self) -> str:
        """Return it for a sentence."""
        said = {WRITABLE: "takes writes", STANDBY: "answers as a standby"}.get(self.state)
        return f"{self.name} ({self.address}) {said or 'could not be observed: ' + self.said}"


def ask(member: Mapping[str, str], params: Mapping[str, Any]) -> Source:
    """Ask one member of the source, as this host's certificate allows; whatever goes wrong is "unknown"."""
    name, address = member["name"], member["address"]
    try:
        import psycopg2  # type: ignore[import-untyped,unused-ignore]
    except ImportError as error:
        raise SourceError("expected python3-psycopg2 on the host, found none: the role installs it") from error
    try:
        connection = psycopg2.connect(
            host=address,
            port=params["source_port"],
            user=params["source_user"],
            dbname="postgres",
            sslmode="verify-full",
            sslrootcert=params["source_ca"],
            sslcert=params["cert"],
            sslkey=params["key"],
            connect_timeout=CONNECT_SECONDS,
            options="-c statement_timeout=3000",
            application_name="holdfast-site",
        )
    except psycopg2.Error as error:
        return Source(name, address, said=first_line(error))
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_is_in_recovery(), current_setting('server_version_num')::int / 10000,"
                " EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = %s AND slot_type = 'physical')",
                (params["slot"],),
            )
            recovering, major, slot = cursor.fetchone()
    except psycopg2.Error as error:
        return Source(name, address, said=first_line(error))
    finally:
        connection.close()
    return Source(name, address, STANDBY if recovering else WRITABLE, "", str(major), bool(slot))


def look(params: Mapping[str, Any]) -> list[Source]:
    """Ask every member of the source."""
    return [ask(member, params) for member in params["sources"]]


def first_line(error: Exception) -> str:
    """Return why, in one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[-1] if lines else type(error).__name__)[:200]


def start_blockers(sources: Sequence[Source], major: str, slot: str) -> list[str]:
    """Return why a standby cluster must not be copied from there."""
    leading = [source for source in sources if source.state == WRITABLE]
    if len(leading) != 1:
        seen = "; ".join(source.text() for source in sources)
        return [f"expected one member of the source to take writes, found {len(leading)}: {seen}"]
    found = []
    if leading[0].major != major:
        found.append(
            f"expected PostgreSQL {major} at the source, found {leading[0].major}: a physical copy has the same major"
        )
    if not leading[0].slot:
        found.append(
            f"expected the replication slot {slot} on {leading[0].name}, found none: declare this service in"
            " standby_sites there, and run site.yml there first"
        )
    return found


def promotion_blockers(sources: Sequence[Source], source_is_lost: bool) -> list[str]:
    """Return why a standby cluster must not be promoted.

    A source that takes writes is never overruled: two writable copies can't be merged. Whatever else was seen may come
    back, so an operator states that it won't: nothing seen from here proves it.
    """
    writable = [source for source in sources if source.state == WRITABLE]
    if writable:
        seen = ", ".join(source.text() for source in writable)
        return [
            f"expected no member of the source to take writes, found that {seen}: stop Patroni there, on all members"
        ]
    if source_is_lost:
        return []
    seen = "; ".join(source.text() for source in sources)
    return [
        f"nothing seen from here proves that the source takes no writes and won't again: {seen}. Make sure of it"
        " (power, network, or Patroni stopped and disabled on all its members), then say so with -e source_is_lost=true"
    ]
