"""A package repository made for a test: small packages, an index, and a signature by a key of its own."""

from __future__ import annotations

import email.utils
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

RELEASE = "o=Holdfast Test,n=probe"


class Signer:
    """A key that exists as long as the test."""

    def __init__(self, folder: Path, name: str) -> None:
        """Make it; the socket of GnuPG's agent needs a short path."""
        folder.mkdir(mode=0o700)
        self.environment = {**os.environ, "GNUPGHOME": str(folder)}
        self._run("--passphrase", "", "--quick-gen-key", f"{name} <{name}@example.invalid>", "ed25519", "sign", "1d")
        self.public = self._run("--armor", "--export").decode()

    def _run(self, *words: str, given: bytes = b"") -> bytes:
        argv = ["gpg", "--batch", "--quiet", "--pinentry-mode", "loopback", *words]
        return subprocess.run(argv, env=self.environment, input=given, capture_output=True, check=True).stdout

    def sign(self, text: bytes) -> bytes:
        """Return the text with its signature around it."""
        return self._run("--clearsign", given=text)

    def end(self) -> None:
        """End the agent that GnuPG has left running."""
        subprocess.run(["gpgconf", "--kill", "all"], env=self.environment, check=False)


@contextmanager
def signers(*names: str) -> Iterator[tuple[Path, list[Signer]]]:
    """Give a folder with a short path, and keys that are gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="hf"))
    made = [Signer(folder / name, name) for name in names]
    try:
        yield folder, made
    finally:
        for signer in made:
            signer.end()
        shutil.rmtree(folder)


def make(folder: Path, signer: Signer | None, packages: Mapping[str, str], version: str = "1.0") -> None:
    """Write a repository of packages, given with what they depend on; without a signer it has no signature."""
    folder.mkdir()
    index = ""
    for name, depends in packages.items():
        control = f"Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: T <t@example.invalid>\n"
        control += (f"Depends: {depends}\n" if depends else "") + "Description: a test\n"
        tree = folder.parent / f"{folder.name}-{name}"
        (tree / "DEBIAN").mkdir(parents=True)
        (tree / "DEBIAN/control").write_text(control)
        package = folder / f"{name}_{version}_all.deb"
        subprocess.run(
            ["dpkg-deb", "--build", "--root-owner-group", str(tree), str(package)], check=True, capture_output=True
        )
        digest = hashlib.sha256(package.read_bytes()).hexdigest()
        index += f"{control}Filename: ./{package.name}\nSize: {package.stat().st_size}\nSHA256: {digest}\n\n"
    (folder / "Packages").write_text(index)
    digest, size = hashlib.sha256(index.encode()).hexdigest(), len(index.encode())
    release = f"Origin: Holdfast Test\nCodename: probe\nDate: {email.utils.formatdate()}\n"
    release += f"SHA256:\n {digest} {size} Packages\n"
    (folder / "Release").write_text(release)
    if signer:
        (folder / "InRelease").write_bytes(signer.sign(release.encode()))


def bring(folder: Path, names: Iterable[str], ssh: Sequence[str]) -> None:
    """Copy repositories to a host's /srv, through a command line that runs a shell's words there."""
    packed = subprocess.run(["tar", "-C", str(folder), "-cz", *names], capture_output=True, check=True).stdout
    subprocess.run([*ssh, "sudo tar -C /srv -xz --no-same-owner"], input=packed, check=True, timeout=60)


def declared(path: str, signer: Signer, packages: Sequence[str], **changes: Any) -> dict[str, Any]:
    """Return a repository on the host as an operator declares a vendor's."""
    source = {"name": "probe", "uris": [f"file:{path}"], "suites": ["./"], "key": signer.public}
    return {**source, "packages": list(packages), "release": RELEASE, **changes}
