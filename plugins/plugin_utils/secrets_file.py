# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The vault-encrypted file of generated secrets, as the action and the lookup plugin read and write it."""

from __future__ import annotations

import fcntl
import json
import os
import re
import secrets
import string
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from ansible.errors import AnsibleError
from ansible.parsing.vault import VaultLib, match_encrypt_secret

ALPHABET = string.ascii_letters + string.digits
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*(/[A-Za-z0-9][A-Za-z0-9_.-]*)*")
MINIMUM_LENGTH = 16
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_cache: dict[str, tuple[tuple[int, int, int], dict[str, str]]] = {}


class SecretsError(AnsibleError):  # type: ignore[misc]  # ansible-core ships no types
    """A sentence about the secrets file: what was expected, what was found, what to do."""


def generate(length: int) -> str:
    """Return a random secret of letters and digits, which needs quoting nowhere."""
    return "".join(secrets.choice(ALPHABET) for _number in range(length))


def check_names(names: list[str]) -> None:
    """Refuse names that a path-like reference could not hold."""
    wrong = [name for name in names if not isinstance(name, str) or not NAME.fullmatch(name)]
    if wrong:
        raise SecretsError(
            f"secret names: expected letters, digits and ._- with / between parts, such as orders-db/app, found"
            f" {wrong}: correct the names"
        )


def read(path: Path, vault_secrets: Any) -> dict[str, str]:
    """Return the secrets, an empty table for a file that does not exist; refuse what cannot be decrypted."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise SecretsError(f"{path}: expected to read it, found {error.strerror}: check its owner and mode") from error
    if not VaultLib.is_encrypted(data):
        raise SecretsError(
            f"{path}: expected a vault-encrypted file, found plain content: encrypt it with ansible-vault encrypt,"
            " or move it away; it is left as it is"
        )
    try:
        plain = VaultLib(vault_secrets).decrypt(data)
    except AnsibleError:
        raise SecretsError(
            f"{path}: expected to decrypt it, found that no vault password given fits: give the password it was"
            " encrypted with (vault_password_file); it is left as it is"
        ) from None
    try:
        table = yaml.load(plain, LOADER)  # noqa: S506  # a safe loader, the fast one where libyaml is there
    except yaml.YAMLError:
        table = None
    # The parser's own message would quote the content, so the cause is dropped.
    if not isinstance(table, dict) or not all(isinstance(key, str) and isinstance(table[key], str) for key in table):
        raise SecretsError(
            f"{path}: expected a table of names and texts inside, found something else: correct it with ansible-vault"
            " edit; it is left as it is"
        )
    return table


def read_cached(path: Path, vault_secrets: Any) -> dict[str, str]:
    """Return the secrets, decrypted once per process and state of the file."""
    try:
        info = path.stat()
    except OSError:
        return read(path, vault_secrets)
    key = (info.st_mtime_ns, info.st_size, info.st_ino)
    known = _cache.get(str(path))
    if known is None or known[0] != key:
        known = (key, read(path, vault_secrets))
        _cache[str(path)] = known
    return known[1]


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of the file, so that two runs do not generate two values for one name."""
    descriptor = os.open(path.with_name(f".{path.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def write(path: Path, table: dict[str, str], vault_secrets: Any, vault_id: str) -> None:
    """Encrypt and write the table, complete or not at all."""
    try:
        _vault_id, secret = match_encrypt_secret(vault_secrets, encrypt_vault_id=vault_id)
    except AnsibleError:
        raise SecretsError(
            f"{path}: expected a password for vault identity {vault_id}, found none: add it to vault_password_file or"
            " give --vault-id"
        ) from None
    # Names from a task carry Ansible's tags, which YAML cannot write.
    plain = yaml.safe_dump(json.loads(json.dumps(table)), sort_keys=True, default_flow_style=False)
    data = VaultLib(vault_secrets).encrypt(plain, secret, vault_id=vault_id)
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as handle:
            handle.write(data)
            handle.flush()
            os.fsync(handle.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    parent = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(parent)
    finally:
        os.close(parent)


def store(
    path: Path,
    renew: list[str],
    values: dict[str, str],
    length: int,
    vault_secrets: Any,
    vault_id: str,
    check_mode: bool,
) -> list[str]:
    """Give some names new secrets and others a value; return the names that changed."""
    check_names([*renew, *values])
    if not renew and not values:
        return []
    if check_mode:
        table = read(path, vault_secrets)
        return sorted({*renew, *(name for name, value in values.items() if table.get(name) != value)})
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with locked(path):
        table = read(path, vault_secrets)
        fresh = {**{str(name): generate(length) for name in renew}, **values}
        changed = sorted(name for name, value in fresh.items() if table.get(name) != value)
        if changed:
            write(path, {**table, **fresh}, vault_secrets, vault_id)
    return changed


def ensure(
    path: Path, names: list[str], length: int, vault_secrets: Any, vault_id: str, check_mode: bool
) -> tuple[bool, list[str]]:
    """Give every name a secret and the file its mode; return changed and the names that were missing."""
    check_names(names)
    if length < MINIMUM_LENGTH:
        raise SecretsError(f"length: expected at least {MINIMUM_LENGTH}, found {length}: a short secret can be guessed")
    # Files are replaced, never written to: what is read without the lock is complete, and mostly nothing is missing.
    changed, missing = _difference(path, read_cached(path, vault_secrets), names)
    if check_mode or not changed:
        return changed, missing
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with locked(path):
        table = read(path, vault_secrets)
        changed, missing = _difference(path, table, names)
        if missing or not path.exists():
            write(path, {**table, **{name: generate(length) for name in missing}}, vault_secrets, vault_id)
        elif changed:
            path.chmod(0o600)
    return changed, missing


def _difference(path: Path, table: dict[str, str], names: list[str]) -> tuple[bool, list[str]]:
    """Return whether the file differs from what it should be, and the names it lacks."""
    missing = [name for name in dict.fromkeys(names) if name not in table]
    in_order = path.exists() and path.stat().st_mode & 0o777 == 0o600
    return bool(missing) or not in_order, missing
