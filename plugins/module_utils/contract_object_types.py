# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Types of a PostgreSQL service's declared objects: databases, roles, access rows and partitions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Schema:
    """A schema of a database; without an owner it belongs to the database's owner."""

    name: str
    owner: str | None = None


@dataclass(frozen=True)
class Database:
    """A database; without an owner it belongs to its own group role for owners."""

    name: str
    owner: str | None = None
    connection_limit: int = -1
    extensions: tuple[str, ...] = ()
    schemas: tuple[Schema, ...] = ()
    settings: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Role:
    """A role: a login, or a group that nobody logs in as."""

    name: str
    member_of: tuple[str, ...] = ()
    connection_limit: int | None = None
    settings: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Access:
    """One row of access: who reaches which database from where."""

    user: str
    database: str
    network: str


@dataclass(frozen=True)
class Partitioning:
    """A table that is partitioned by time; ``data`` names the row of the statefulness matrix it belongs to."""

    table: str
    column: str
    interval: str
    database: str | None = None
    schema: str = "public"
    premake: int = 4
    retention_days: int | None = None
    expired: str = "detach"
    data: str | None = None


@dataclass(frozen=True)
class Objects:
    """Everything declared under the key ``objects``."""

    databases: tuple[Database, ...] = ()
    logins: tuple[Role, ...] = ()
    groups: tuple[Role, ...] = ()
    hba: tuple[Access, ...] = ()
    partitions: tuple[Partitioning, ...] = ()


NO_OBJECTS = Objects()


def _role(item: Mapping[str, Any]) -> Role:
    return Role(
        item["name"], tuple(item["member_of"]), item.get("connection_limit"), _settings(item.get("settings", {}))
    )


def _settings(values: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(values.items()))


def objects_of(values: Mapping[str, Any]) -> Objects:
    """Return the typed form of what the schema let through."""
    return Objects(
        databases=tuple(
            Database(
                item["name"],
                item.get("owner"),
                item["connection_limit"],
                tuple(item["extensions"]),
                tuple(Schema(schema["name"], schema.get("owner")) for schema in item["schemas"]),
                _settings(item["settings"]),
            )
            for item in values["databases"]
        ),
        logins=tuple(_role(item) for item in values["logins"]),
        groups=tuple(_role(item) for item in values["groups"]),
        hba=tuple(Access(item["user"], item["database"], item["network"]) for item in values["hba"]),
        partitions=tuple(Partitioning(**item) for item in values["partitions"]),
    )
