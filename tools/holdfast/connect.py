"""``holdfast connect``: what a client needs to reach a service; the password only when it is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from holdfast.exit_codes import InputError, MissingResultError

if TYPE_CHECKING:
    from rich.console import Console

KEYS = (
    "service", "engine", "hosts", "sentinels", "sentinel_name", "database", "database_read_only", "vhost", "user",
    "password", "ca_file",
)  # fmt: skip


def connection_of(published: Mapping[str, Any]) -> dict[str, Any]:
    """The connection that ``show_connection.yml`` published, with exactly :data:`KEYS`; ``password`` is ``None``.

    Raises:
        MissingResultError: nothing was published.
    """
    given = published.get("connection")
    if not isinstance(given, Mapping):
        raise MissingResultError("show_connection.yml ended without publishing connection")
    return {**{key: given.get(key) for key in KEYS}, "password": None}


def read_password(published: Mapping[str, Any], root: Path, environment: Mapping[str, str]) -> str:
    """The password, out of the vault file that the playbook named. It goes to the caller and nowhere else.

    Raises:
        VaultError: the file is missing or cannot be decrypted.
        MissingResultError: the playbook named no file or secret.
        InputError: the file holds no such secret.
    """
    from holdfast.vault import read_vault_file

    given = published.get("connection") or {}
    file, name = given.get("secrets_file"), given.get("secret_name")
    if not file or not name:
        raise MissingResultError("show_connection.yml published no secrets_file and secret_name")
    content = read_vault_file(root / file, root, environment)
    value = content.get(name) if isinstance(content, Mapping) else None
    if not isinstance(value, str) or not value:
        raise InputError(f"{file} holds no secret {name!r}: was the service applied? Try: holdfast apply")
    return value


def uri_of(connection: Mapping[str, Any]) -> str:
    """A connection URI; for RabbitMQ one per host, each on its line. Without a password it names only the user.

    Raises:
        InputError: no URI is known for the engine, or the connection lacks what the URI needs.
    """
    makers = {"postgres": _postgres, "redis": _redis, "rabbitmq": _rabbitmq}
    engine = str(connection.get("engine"))
    if engine not in makers:
        raise InputError(f"no URI for engine {engine!r}: known are {', '.join(makers)}")
    return makers[engine](connection)


def _login(connection: Mapping[str, Any]) -> str:
    user, password = connection.get("user"), connection.get("password")
    if not user and not password:
        return ""
    secret = f":{quote(password, safe='')}" if password else ""
    return f"{quote(user or '', safe='')}{secret}@"


def _places(connection: Mapping[str, Any], key: str) -> list[str]:
    found = [
        f"[{p['host']}]:{p['port']}" if ":" in p["host"] else f"{p['host']}:{p['port']}"
        for p in connection.get(key) or ()
    ]
    if not found:
        raise InputError(f"{connection.get('service')}: its {key} are not known, so there is no URI")
    return found


def _query(**parts: str | None) -> str:
    return "&".join(f"{key}={quote(str(value), safe='/')}" for key, value in parts.items() if value)


def _postgres(c: Mapping[str, Any]) -> str:
    # Every host is a pooler that leads to the leader: none has to be told apart.
    query = _query(sslmode="verify-full", sslrootcert=c.get("ca_file"))
    database = quote(str(c.get("database") or ""), safe="")
    return f"postgresql://{_login(c)}{','.join(_places(c, 'hosts'))}/{database}?{query}"


def _redis(c: Mapping[str, Any]) -> str:
    name = quote(str(c.get("sentinel_name") or ""), safe="")
    query = _query(ssl_cert_reqs="required", ssl_ca_certs=c.get("ca_file"))
    return f"rediss+sentinel://{_login(c)}{','.join(_places(c, 'sentinels'))}/{name}/{c.get('database') or 0}?{query}"


def _rabbitmq(c: Mapping[str, Any]) -> str:
    vhost = quote(str(c.get("vhost") or "/"), safe="")
    query = _query(cacertfile=c.get("ca_file"), verify="verify_peer")
    return "\n".join(f"amqps://{_login(c)}{place}/{vhost}?{query}" for place in _places(c, "hosts"))


def render(connection: Mapping[str, Any], console: Console) -> None:
    """The connection as label and value."""
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim")
    grid.add_column(overflow="fold")
    for key in KEYS:
        value = connection[key]
        if key in ("hosts", "sentinels"):
            value = ", ".join(_places(connection, key)) if value else None
        if key == "password" and value is None:
            value = "(hidden: --show-secret)"
        if value is not None:
            grid.add_row(key, Text(str(value)))
    console.print(grid)
