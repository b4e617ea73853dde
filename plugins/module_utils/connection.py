# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an application needs to connect, derived from a contract."""

from __future__ import annotations

from typing import Any

#: Where the port for applications is: PostgreSQL's are those of its poolers.
CLIENT_PORT = {"postgres": ("pooler", "port"), "redis": ("port",), "rabbitmq": ("port",)}


def client_port(contract: dict[str, Any]) -> int:
    """Return the port that applications use."""
    port: Any = contract["settings"]
    for key in CLIENT_PORT[contract["engine"]]:
        port = port[key]
    return int(port)


def connection_of(contract: dict[str, Any], ca_file: str) -> dict[str, Any]:
    """Return service, engine, hosts, sentinels, names, user and CA file of `contract`; never a password."""
    settings, engine = contract["settings"], contract["engine"]
    members = [member["address"] for member in contract["members"]]
    is_redis = engine == "redis"
    pooler = settings["pooler"] if engine == "postgres" else {}
    port = client_port(contract)
    # Where one address stands for all members, clients need to know no other.
    virtual = settings.get("virtual_address")
    entries = [virtual["address"]] if virtual else members
    return {
        "service": contract["service"],
        "engine": engine,
        "hosts": [{"host": address, "port": port} for address in entries],
        "sentinels": [{"host": address, "port": settings["sentinel_port"]} for address in members] if is_redis else [],
        "sentinel_name": settings["sentinel_name"] if is_redis else None,
        "database": settings["database"] if engine == "postgres" else None,
        "database_read_only": pooler.get("database_read_only"),
        "vhost": settings["vhost"] if engine == "rabbitmq" else None,
        "user": settings["app_user"],
        "ca_file": ca_file,
    }
