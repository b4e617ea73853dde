"""The layout of the tree, and what must not be in it: this machine's paths and hosts, imports that point upwards."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

#: design.md section 1; the top level is fixed.
TOP_FILES = {
    "README.md", "ARCHITECTURE.md", "CHANGELOG.md", "LICENSE", "pyproject.toml", "Makefile", "galaxy.yml",
    "ansible.cfg", "requirements.lock", ".gitignore",
}  # fmt: skip
TOP_FOLDERS = {
    ".ci", ".config", "collections", "docs", "inventories", "meta", "molecule", "playbooks", "plugins", "roles",
    "tests", "tools",
}  # fmt: skip
LINK = "collections/ansible_collections/holdfast/stateful"
#: Folders that many machines have: as the parent of a checkout they say nothing about this one.
EVERYWHERE = {"/", "/home", "/mnt", "/opt", "/root", "/srv", "/tmp", "/usr/local/src", "/usr/src", "/var/tmp"}  # noqa: S108
PLUGINS = "ansible_collections.holdfast.stateful.plugins"

Findings = list[str]


# -- top level ---------------------------------------------------------------------------------------------------------


def check_top(tracked: Iterable[str]) -> Findings:
    found = {path.split("/")[0] for path in tracked}
    allowed = TOP_FILES | TOP_FOLDERS
    return [f"{name} does not belong to the top level" for name in sorted(found - allowed)] + [
        f"{name} is missing" for name in sorted(allowed - found)
    ]


def test_top_level(tracked: list[str]) -> None:
    assert check_top(tracked) == []


def test_top_level_is_checked() -> None:
    whole = [*TOP_FILES, *(f"{name}/x" for name in TOP_FOLDERS)]
    assert check_top(whole) == []
    assert check_top([*whole, "scripts/x"]) == ["scripts does not belong to the top level"]
    assert check_top(whole[1:]) == [f"{whole[0]} is missing"]


def test_the_tree_is_the_collection(root: Path, tracked: list[str]) -> None:
    mode = subprocess.run(
        ["git", "ls-files", "--stage", LINK], cwd=root, capture_output=True, text=True, check=True
    ).stdout
    assert mode.startswith("120000 "), "the link is not tracked as a link"
    assert (root / LINK).resolve() == root
    assert [path for path in tracked if path.startswith("collections/ansible_collections/")] == [LINK]


def test_the_built_collection_leaves_out_what_is_not_of_it(root: Path) -> None:
    ignored = yaml.safe_load((root / "galaxy.yml").read_text(encoding="utf-8"))["build_ignore"]
    assert {"collections", ".venv", ".holdfast"} <= set(ignored)


def test_versions_agree(root: Path) -> None:
    galaxy = yaml.safe_load((root / "galaxy.yml").read_text(encoding="utf-8"))["version"]
    assert f'\nversion = "{galaxy}"\n' in (root / "pyproject.toml").read_text(encoding="utf-8")


# -- this machine ------------------------------------------------------------------------------------------------------


def output(*command: str) -> str:
    if shutil.which(command[0]) is None:
        return ""
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60).stdout


def hosts_of(urls: Iterable[str]) -> set[str]:
    """Return the host names in `urls`; bare words and addresses are in too many texts to say anything."""
    hosts = {urlsplit(url.strip()).hostname or "" for url in urls}
    return {host for host in hosts if "." in host and not re.fullmatch(r"[0-9.]+", host)}


def hosts_of_this_machine() -> set[str]:
    """Return the hosts of mirrors and registries, from the configuration of apt, npm and pip."""
    urls = []
    for source in [*Path("/etc/apt/sources.list.d").glob("*.sources"), *Path("/etc/apt/sources.list.d").glob("*.list")]:
        urls += re.findall(r"https?://\S+", source.read_text(encoding="utf-8", errors="replace"))
    urls.append(output("npm", "config", "get", "registry"))
    urls.append(output(sys.executable, "-c", "from pip._internal.models.index import PyPI; print(PyPI.url)"))
    return hosts_of(urls)


def paths_of_this_machine(root: Path) -> set[str]:
    folders = {str(root), str(root.parent)} - EVERYWHERE
    return {f"{folder}/" for folder in folders}


def check_texts(root: Path, tracked: Iterable[str], words: Iterable[str]) -> Findings:
    pattern = re.compile("|".join(map(re.escape, sorted(words))))
    found = []
    for name in tracked:
        path = root / name
        content = b"" if path.is_symlink() or name == "LICENSE" else path.read_bytes()
        if b"\0" in content:
            continue
        for number, line in enumerate(content.decode(errors="replace").splitlines(), 1):
            if match := pattern.search(line):
                found.append(f"{name}:{number}: {match[0]}")
    return found


def test_no_path_or_mirror_of_this_machine(root: Path, tracked: list[str]) -> None:
    words = paths_of_this_machine(root) | hosts_of_this_machine()
    assert words, "nothing to look for: the test would prove nothing"
    assert check_texts(root, tracked, words) == []


def test_a_path_or_mirror_would_be_found(tmp_path: Path) -> None:
    (tmp_path / "notes.md").write_text("one\ncp /somewhere/else/x .\n")
    (tmp_path / "apt.conf").write_text("deb http://mirror.example.invalid/debian x main\n")
    words = paths_of_this_machine(Path("/somewhere/else")) | hosts_of(
        ["http://mirror.example.invalid/debian", "nonsense"]
    )
    assert check_texts(tmp_path, ["notes.md", "apt.conf"], words) == [
        "notes.md:2: /somewhere/",
        "apt.conf:1: mirror.example.invalid",
    ]


@pytest.mark.parametrize(
    ("url", "hosts"),
    [
        ("https://user:secret@a.example.invalid:8443/simple/", {"a.example.invalid"}),
        ("http://localhost:3142/debian", set()),
        ("http://192.0.2.1/debian", set()),
        ("", set()),
    ],
)
def test_hosts_of(url: str, hosts: set[str]) -> None:
    assert hosts_of([url]) == hosts


def test_checkouts_in_common_folders_are_found_by_their_own_name() -> None:
    assert paths_of_this_machine(Path("/root/holdfast")) == {"/root/holdfast/"}


# -- the lock file -----------------------------------------------------------------------------------------------------


def check_lock(text: str, hosts: Iterable[str]) -> Findings:
    """Every requirement is pinned and has a hash, and nothing says where packages come from."""
    found = []
    logical = re.sub(r"\\\n", " ", re.sub(r"(?m)^\s*#.*\n?", "", text))
    for line in filter(str.strip, logical.splitlines()):
        if line.startswith("-"):
            found.append(f"an option: {line.split()[0]}")
        elif not re.match(r"[A-Za-z0-9._-]+(\[[^]]*\])?==\S+", line):
            found.append(f"not pinned: {line.split()[0]}")
        elif "--hash=sha256:" not in line:
            found.append(f"no hash: {line.split()[0]}")
    found += [f"names a host: {host}" for host in sorted(hosts) if host in text]
    return found + (["names an address"] if "://" in text else [])


def test_lock(root: Path) -> None:
    text = (root / "requirements.lock").read_text(encoding="utf-8")
    assert text.count("--hash=") > 50
    assert check_lock(text, hosts_of_this_machine()) == []


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ("a==1 \\\n    --hash=sha256:00\n    # via b\n", None),
        ("a==1\n", "no hash: a==1"),
        ("a>=1 --hash=sha256:00\n", "not pinned: a>=1"),
        ("--index-url simple\na==1 --hash=sha256:00\n", "an option: --index-url"),
        ("a==1 --hash=sha256:00 # p.example.invalid\n", "names a host: p.example.invalid"),
        ("# https://p/\na==1 --hash=sha256:00\n", "names an address"),
    ],
)
def test_lock_is_checked(text: str, finding: str | None) -> None:
    assert check_lock(text, ["p.example.invalid"]) == ([finding] if finding else [])


# -- the dependency rule -----------------------------------------------------------------------------------------------


def imports(source: str, package: str) -> set[str]:
    """Return the full names of all modules that `source`, a module of `package`, imports anywhere in its text."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")
            base = ".".join(parts[: len(parts) - node.level + 1]) if node.level else ""
            origin = ".".join(filter(None, (base, node.module)))
            found |= {origin, *(f"{origin}.{name.name}" for name in node.names)}
    return found


def upwards(path: str, names: Iterable[str]) -> Findings:
    """Return which of `names` the file at `path` may not import: nothing points upwards (ARCHITECTURE.md)."""
    rules = (
        ("tools/holdfast/", ("ansible_collections", "plugins")),
        ("plugins/", ("holdfast", "tools")),
        (
            "plugins/module_utils/",
            tuple(
                f"{PLUGINS}.{kind}" for kind in ("modules", "action", "filter", "lookup", "callback", "plugin_utils")
            ),
        ),
        (
            "plugins/modules/",
            tuple(f"{PLUGINS}.{kind}" for kind in ("action", "filter", "lookup", "callback", "plugin_utils")),
        ),
    )
    return [
        f"{path} imports {name}"
        for start, forbidden in rules
        if path.startswith(start)
        for name in sorted(names)
        if any(name == item or name.startswith(f"{item}.") for item in forbidden)
    ]


def check_imports(root: Path, tracked: Iterable[str]) -> Findings:
    found = []
    for name in tracked:
        if name.endswith(".py") and name.startswith(("tools/holdfast/", "plugins/")):
            place = f"ansible_collections.holdfast.stateful.{name}" if name.startswith("plugins/") else name
            package = place.replace("/", ".").removesuffix(".py").rpartition(".")[0]
            found += upwards(name, imports((root / name).read_text(encoding="utf-8"), package))
    return found


def test_nothing_points_upwards(root: Path, tracked: list[str]) -> None:
    assert check_imports(root, tracked) == []


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("tools/holdfast/x.py", f"from {PLUGINS}.module_utils import contract"),
        ("tools/holdfast/x.py", f"def f():\n    import {PLUGINS}.module_utils.contract"),
        ("plugins/filter/x.py", "from holdfast import cli"),
        ("plugins/module_utils/x.py", f"from {PLUGINS}.modules import host_state"),
        ("plugins/module_utils/lab/x.py", "from ...modules import nspawn_lab"),
        ("plugins/module_utils/x.py", f"from {PLUGINS} import filter"),
        ("plugins/modules/x.py", f"from {PLUGINS}.plugin_utils.secrets_file import ensure"),
    ],
)
def test_an_import_upwards_is_noticed(path: str, source: str, tmp_path: Path) -> None:
    (tmp_path / path).parent.mkdir(parents=True)
    (tmp_path / path).write_text(source + "\n")
    assert check_imports(tmp_path, [path])


def test_an_import_downwards_passes(tmp_path: Path) -> None:
    path = "plugins/modules/x.py"
    (tmp_path / path).parent.mkdir(parents=True)
    (tmp_path / path).write_text(
        f"import os\nfrom {PLUGINS}.module_utils.lab.identity import identify\nfrom .x import y\n"
    )
    assert check_imports(tmp_path, [path]) == []


# -- what would be lost in an archive ----------------------------------------------------------------------------------


def test_scripts_can_be_run(root: Path, tracked: list[str]) -> None:
    scripts = [path for path in tracked if path.startswith(("tools/dev/", ".ci/")) and (root / path).is_file()]
    scripts = [path for path in scripts if (root / path).read_bytes().startswith(b"#!")]
    assert scripts
    assert [path for path in scripts if not os.access(root / path, os.X_OK)] == []
