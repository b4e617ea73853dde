#!/usr/bin/env python3
"""Print the vault password, as ansible's vault client scripts do.

Ansible calls this with ``--vault-id NAME`` because ``ansible.cfg`` names it in ``vault_identity_list``. The password is
in the file that HOLDFAST_VAULT_PASSWORD_FILE names; without that, in ``<checkout>/.holdfast/vault_password``, which is
made on first use: a lab needs no set-up. Point HOLDFAST_VAULT_PASSWORD_FILE at your own file for anything real.
"""

from __future__ import annotations

import argparse
import os
import secrets
import stat
import sys
from contextlib import suppress
from pathlib import Path

VAULT_ID = "holdfast"


class PasswordError(Exception):
    """There is no password to give; the message says what to do."""


def password_file() -> Path:
    """The file to read, made first if it is the default one and missing.

    Raises:
        PasswordError: HOLDFAST_VAULT_PASSWORD_FILE names a file that is not there.
    """
    named = os.environ.get("HOLDFAST_VAULT_PASSWORD_FILE")
    if named:
        path = Path(named).expanduser()
        if not path.is_file():
            raise PasswordError(f"HOLDFAST_VAULT_PASSWORD_FILE is {path}: there is no such file")
        return path
    root = os.environ.get("HOLDFAST_ROOT")
    path = (Path(root) if root else Path(__file__).resolve().parents[2]) / ".holdfast" / "vault_password"
    if not path.exists():
        make_password(path)
    return path


def make_password(path: Path) -> None:
    """Write a new random password to ``path``, unless someone else does at the same moment: then theirs stays.

    The file appears under its name complete or not at all.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as stream:
            stream.write(secrets.token_urlsafe(32) + "\n")
            stream.flush()
            os.fsync(stream.fileno())
        with suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def read_password(path: Path) -> str:
    """The password in ``path``, without the line end.

    Raises:
        PasswordError: others may read the file, or it is empty.
    """
    with path.open(encoding="utf-8") as stream:
        mode = stat.S_IMODE(os.fstat(stream.fileno()).st_mode)
        if mode & 0o077:
            raise PasswordError(
                f"{path} has mode {mode:04o}: others than its owner can get at it. If nobody has, run: chmod 600 {path}"
            )
        password = stream.read().strip()
    if not password:
        raise PasswordError(f"{path} is empty: expected the vault password in it")
    return password


def main() -> int:
    """Print the password; 0, or 1 with a message on stderr, or 2 for another vault id (ansible: "not mine")."""
    parser = argparse.ArgumentParser(description="Print the vault password of Holdfast.")
    parser.add_argument("--vault-id", default=VAULT_ID, metavar="NAME")
    wanted = parser.parse_args().vault_id
    if wanted not in (VAULT_ID, "default"):
        sys.stderr.write(f"vault-password-client: no password for vault id {wanted!r}, only for {VAULT_ID!r}\n")
        return 2
    try:
        sys.stdout.write(read_password(password_file()) + "\n")
    except (PasswordError, OSError, UnicodeDecodeError) as error:
        sys.stderr.write(f"vault-password-client: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
