"""Read vault-encrypted files through ``ansible-vault view``; what comes out stays in memory."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from holdfast.exit_codes import HoldfastError
from holdfast.project import scripts_dir, state_dir

if TYPE_CHECKING:
    from holdfast.redact import Redactor
    from holdfast.request import RunRequest

_HEADER = b"$ANSIBLE_VAULT;"
_SUFFIXES = (".yml", ".yaml", ".vault", ".json")


class VaultError(HoldfastError):
    """A vault file cannot be read; the message says which and why, never what is in it."""


def find_vault_files(root: Path, inventory: str) -> list[Path]:
    """Vault files in the state folder and beside the inventory, in a stable order."""
    given = Path(inventory)
    places = [state_dir(root)]
    if "," not in inventory and given.exists():
        places.append(given if given.is_dir() else given.parent)
    return [path for place in places for path in _vault_files_below(place)]


def _vault_files_below(folder: Path) -> Iterator[Path]:
    if not folder.is_dir():
        return
    for path in sorted(folder.rglob("*")):
        if path.suffix not in _SUFFIXES or "runs" in path.relative_to(folder).parts[:1] or not path.is_file():
            continue
        with path.open("rb") as stream:
            if stream.read(len(_HEADER)) == _HEADER:
                yield path


def read_vault_file(path: Path, root: Path, environment: Mapping[str, str]) -> object:
    """Decrypt one YAML file with the vault identities of the project's ``ansible.cfg``.

    Args:
        path: the encrypted file.
        root: the checkout; relative vault clients in ``ansible.cfg`` are found from here.
        environment: for ansible-vault, from :func:`holdfast.environment.ansible_environment`.

    Raises:
        VaultError: missing, not decryptable, or not YAML inside.
    """
    import yaml

    if not path.is_file():
        raise VaultError(f"no secrets file {path}: was this service applied from this controller? Try: holdfast apply")
    try:
        # A session of its own: Ctrl-C on the terminal must not leave the run's log without its secrets' values.
        done = subprocess.run(
            [str(scripts_dir() / "ansible-vault"), "view", str(path)],
            cwd=root,
            env=dict(environment),
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=60,
            start_new_session=True,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise VaultError(f"cannot run ansible-vault on {path}: {error}") from error
    if done.returncode != 0:
        lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
        why = lines[-1] if lines else "no reason given"
        raise VaultError(f"cannot decrypt {path}: {why}. Is the vault password the one it was written with?")
    try:
        content: object = yaml.safe_load(done.stdout)
    except yaml.YAMLError:
        # The parser's message quotes the line it stumbled over: that is a secret.
        raise VaultError(f"{path} was decrypted but is not YAML inside") from None
    return content


def vault_signature(paths: list[Path]) -> tuple[tuple[str, int, int], ...]:
    """What changes when any of the files changes."""
    return tuple((str(p), p.stat().st_mtime_ns, p.stat().st_size) for p in paths if p.exists())


class VaultWatch:
    """Teaches a redactor what is in the vault files, again when they change."""

    def __init__(self, request: RunRequest, redactor: Redactor, environment: Mapping[str, str]) -> None:
        """Read nothing yet."""
        self._request, self._redactor, self._environment = request, redactor, environment
        self._signature: object = ()
        self.note = "not read"

    def refresh(self) -> None:
        """Read what is there now. A file that cannot be read is noted, not fatal: ansible could not read it either."""
        if not self._request.reads_vault:
            return
        files = find_vault_files(self._request.root, self._request.inventory)
        signature = vault_signature(files)
        if not files:
            self.note = "no vault file"
        if signature == self._signature:
            return
        self._signature = signature
        unread = []
        for path in files:
            try:
                self._redactor.add_all(read_vault_file(path, self._request.root, self._environment))
            except VaultError:
                unread.append(path.name)
        self.note = f"could not read: {', '.join(unread)}" if unread else f"read {len(files)} file(s)"
