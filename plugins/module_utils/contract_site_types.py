# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Types of a PostgreSQL service's relation to another site: the cluster it follows, and those that follow it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class SiteMember:
    """A member of a cluster on another site: this inventory need not know its host."""

    name: str
    address: str

    def to_dict(self) -> dict[str, str]:
        """Return the member as the contract carries it."""
        return {"name": self.name, "address": self.address}


@dataclass(frozen=True)
class Site:
    """A cluster on another site: its service id, members, port, and the file with its authority's certificate."""

    service: str
    members: tuple[SiteMember, ...]
    port: int = 5432
    authority_file: str = ""

    @property
    def slot(self) -> str:
        """Return the name of the replication slot of a cluster that follows."""
        return self.service.replace("-", "_")

    def to_dict(self) -> dict[str, Any]:
        """Return the site as the contract carries it."""
        return {
            "service": self.service,
            "members": [member.to_dict() for member in self.members],
            "authority_file": self.authority_file,
        }


def site_of(value: Mapping[str, Any] | None) -> Site | None:
    """Return the typed form of one declared site."""
    if value is None:
        return None
    members = tuple(SiteMember(str(item["name"]), str(item["address"])) for item in value["members"])
    return Site(str(value["service"]), members, int(value.get("port", 5432)), str(value.get("authority_file", "")))


def sites_of(values: Sequence[Mapping[str, Any]]) -> tuple[Site, ...]:
    """Return the typed form of several declared sites."""
    return tuple(site for value in values if (site := site_of(value)))
