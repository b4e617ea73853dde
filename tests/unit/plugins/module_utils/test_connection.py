"""What an application needs to connect, and nothing more."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.holdfast.stateful.plugins.module_utils.connection import connection_of

MEMBERS = [{"name": "h1", "address": "192.0.2.1"}, {"name": "h2", "address": "192.0.2.2"}]
POSTGRES = {
    "port": 5432,
    "restapi_port": 8008,
    "database": "orders",
    "app_user": "orders_app",
    "secret": "hush",
    "pooler": {"port": 6432, "database_read_only": "orders_ro", "secret": "hush"},
}
REDIS = {"port": 6379, "sentinel_port": 26379, "sentinel_name": "sessions", "quorum": 2, "app_user": "sessions_app"}
RABBITMQ = {"port": 5671, "management_port": 15671, "vhost": "events", "app_user": "events_app"}


def contract(engine: str, settings: dict[str, Any], members: list[dict[str, str]] | None = None) -> dict[str, Any]:
    return {
        "service": "a-service",
        "engine": engine,
        "members": MEMBERS if members is None else members,
        "settings": settings,
    }


@pytest.mark.parametrize(
    ("engine", "settings", "own"),
    [
        ("postgres", POSTGRES, {"database": "orders", "database_read_only": "orders_ro", "user": "orders_app"}),
        (
            "redis",
            REDIS,
            {
                "sentinels": [{"host": "192.0.2.1", "port": 26379}, {"host": "192.0.2.2", "port": 26379}],
                "sentinel_name": "sessions",
                "user": "sessions_app",
            },
        ),
        ("rabbitmq", RABBITMQ, {"vhost": "events", "user": "events_app"}),
    ],
)
def test_connection(engine: str, settings: dict[str, Any], own: dict[str, Any]) -> None:
    port = 6432 if engine == "postgres" else settings["port"]
    assert connection_of(contract(engine, settings), "/ca.crt") == {
        "service": "a-service",
        "engine": engine,
        "hosts": [{"host": "192.0.2.1", "port": port}, {"host": "192.0.2.2", "port": port}],
        "sentinels": [],
        "sentinel_name": None,
        "database": None,
        "database_read_only": None,
        "vhost": None,
        "ca_file": "/ca.crt",
        **own,
    }


@pytest.mark.parametrize(("engine", "settings"), [("postgres", POSTGRES), ("redis", REDIS), ("rabbitmq", RABBITMQ)])
def test_nothing_else_of_the_contract_goes_out(engine: str, settings: dict[str, Any]) -> None:
    found = json.dumps(connection_of(contract(engine, settings | {"password": "hush"}), "/ca.crt"))
    assert "hush" not in found


def test_an_address_that_moves_stands_for_all_members() -> None:
    settings = {**POSTGRES, "virtual_address": {"address": "192.0.2.100", "name": "orders.example"}}
    found = connection_of(contract("postgres", settings), "/ca.crt")
    assert found["hosts"] == [{"host": "192.0.2.100", "port": 6432}]


def test_an_engine_that_nobody_knows_is_not_guessed() -> None:
    with pytest.raises(KeyError):
        connection_of(contract("kafka", POSTGRES), "/ca.crt")
