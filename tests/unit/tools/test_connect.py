from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg.conninfo
import pytest
from holdfast.connect import KEYS, connection_of, read_password, render, uri_of
from holdfast.environment import ansible_environment
from holdfast.exit_codes import InputError, MissingResultError
from rich.console import Console

PASSWORD = "p@ss/w:rd%&?"
HOSTS = [{"host": "10.0.0.1", "port": 5432}, {"host": "fd00::2", "port": 5432}]


def connection(engine: str, **more: Any) -> dict[str, Any]:
    published = {
        "service": "s",
        "engine": engine,
        "hosts": HOSTS,
        "user": "app",
        "ca_file": "/etc/holdfast/my ca.crt",
        **more,
    }
    return connection_of({"connection": {**published, "password": "leak", "secret_name": "n", "secrets_file": "f"}})


def test_the_keys_are_exactly_the_agreed_ones_and_the_password_is_null() -> None:
    result = connection("postgres", database="orders")
    assert tuple(result) == KEYS
    assert result["password"] is None
    with pytest.raises(MissingResultError):
        connection_of({})


def test_postgres_uri_is_understood_by_libpq() -> None:
    uri = uri_of({**connection("postgres", database="orders"), "password": PASSWORD})
    parsed = psycopg.conninfo.conninfo_to_dict(uri)
    assert parsed == {
        "user": "app", "password": PASSWORD, "host": "10.0.0.1,fd00::2", "port": "5432,5432", "dbname": "orders",
        "sslmode": "verify-full", "sslrootcert": "/etc/holdfast/my ca.crt",
    }  # fmt: skip


def test_without_a_password_the_uri_names_only_the_user() -> None:
    assert uri_of(connection("postgres", database="orders")).startswith(
        "postgresql://app@10.0.0.1:5432,[fd00::2]:5432/orders?"
    )


def test_redis_uri_names_sentinels_and_the_master() -> None:
    sentinels = [{"host": "a", "port": 26379}, {"host": "b", "port": 26379}]
    uri = uri_of({**connection("redis", sentinels=sentinels, sentinel_name="cache"), "password": "x/y"})
    assert (
        uri
        == "rediss+sentinel://app:x%2Fy@a:26379,b:26379/cache/0?ssl_cert_reqs=required&ssl_ca_certs=/etc/holdfast/my%20ca.crt"
    )
    with pytest.raises(InputError, match="its sentinels are not known"):
        uri_of(connection("redis"))


def test_rabbitmq_uris_are_one_per_host_with_the_vhost_encoded() -> None:
    lines = uri_of(connection("rabbitmq", vhost="/")).splitlines()
    assert lines == [
        "amqps://app@10.0.0.1:5432/%2F?cacertfile=/etc/holdfast/my%20ca.crt&verify=verify_peer",
        "amqps://app@[fd00::2]:5432/%2F?cacertfile=/etc/holdfast/my%20ca.crt&verify=verify_peer",
    ]


def test_an_unknown_engine_has_no_uri() -> None:
    with pytest.raises(InputError, match="no URI for engine"):
        uri_of(connection("kafka"))


def test_the_password_comes_out_of_the_vault(root: Path, vault_file: Callable[[str], Path]) -> None:
    vault_file("orders_db_app: hunter22\n")
    environment = ansible_environment(root, "x", os.environ)
    published = {"connection": {"secrets_file": ".holdfast/lab/secrets.yml", "secret_name": "orders_db_app"}}
    assert read_password(published, root, environment) == "hunter22"
    published["connection"]["secret_name"] = "other"
    with pytest.raises(InputError, match="holds no secret 'other'"):
        read_password(published, root, environment)
    with pytest.raises(MissingResultError):
        read_password({"connection": {}}, root, environment)


def test_the_table_hides_the_password_until_asked() -> None:
    console = Console(width=80)
    with console.capture() as capture:
        render(connection("postgres"), console)
        render({**connection("postgres"), "password": "hunter22"}, console)
    assert "(hidden: --show-secret)" in capture.get()
    assert capture.get().count("hunter22") == 1
