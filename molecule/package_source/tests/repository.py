"""A package repository made for a test: two small packages, an index, and a signature by a key of its own."""

from __future__ import annotations

import email.utils
import hashlib
import os
import subprocess
from pathlib import Path

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


def make(folder: Path, signer: Signer | None) -> None:
    """Write a repository of two packages; without a signer it has no signature."""
    folder.mkdir()
    index = ""
    for name in ("holdfast-probe", "holdfast-other"):
        control = f"Package: {name}\nVersion: 1.0\nArchitecture: all\nMaintainer: T <t@example.invalid>\n"
        control += "Description: a test\n"
        tree = folder.parent / f"{folder.name}-{name}"
        (tree / "DEBIAN").mkdir(parents=True)
        (tree / "DEBIAN/control").write_text(control)
        package = folder / f"{name}_1.0_all.deb"
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
