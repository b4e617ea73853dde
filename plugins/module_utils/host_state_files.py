# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# ruff: noqa: PTH101, PTH104, PTH106, PTH108, PTH112, PTH115, PTH118, PTH119, PTH120, PTH208
# Strings from the task go straight to system calls: pathlib would only add import time to every call.

"""Directories, files and removed paths: compared, and written so that a kill leaves the old or the new, never half."""

from __future__ import annotations

import grp
import os
import pwd
import shutil
import stat
import tempfile
from typing import Any

from ansible_collections.holdfast.stateful.plugins.module_utils.host_state import (
    HostStateError,
    Run,
    normalise_absent,
    parse_mode,
    require_safe_path,
)
from ansible_collections.holdfast.stateful.plugins.module_utils.host_state_gates import holds_something
from ansible_collections.holdfast.stateful.plugins.module_utils.host_state_write import write_file

DIFF_LIMIT = 200_000


def owner_ids(entry: dict[str, Any], run: Run) -> tuple[int | None, int | None]:
    """Return uid and gid; None for one that only a missing package would bring (check mode)."""
    uid: int | None = None
    gid: int | None = None
    path, owner, group = entry["path"], entry["owner"], entry["group"]
    try:
        uid = int(owner) if owner.isdigit() else pwd.getpwnam(owner).pw_uid
    except KeyError:
        if not run.check:
            raise HostStateError(
                f"{path}: expected owner {owner}, found no such user: create it or install the package that does"
            ) from None
    try:
        gid = int(group) if group.isdigit() else grp.getgrnam(group).gr_gid
    except KeyError:
        if not run.check:
            raise HostStateError(
                f"{path}: expected group {group}, found no such group: create it or install the package that does"
            ) from None
    return uid, gid


def require_parent(path: str, run: Run) -> bool:
    """Say whether the parent is there; refuse one that leads through a link somebody else could have planted."""
    parent = os.path.dirname(path)
    if not os.path.isdir(parent):
        if run.lenient or parent in run.planned_directories:
            return False
        found = "something else" if os.path.lexists(parent) else "nothing"
        raise HostStateError(
            f"{path}: expected directory {parent}, found {found}: list it under directories before this path"
        )
    if os.path.realpath(parent) != parent:
        walked = "/"
        for part in parent.strip("/").split("/"):
            walked = os.path.join(walked, part)
            info = os.lstat(walked)
            if stat.S_ISLNK(info.st_mode) and info.st_uid not in {0, os.geteuid()}:
                raise HostStateError(
                    f"{path}: expected a path without foreign links, found that {walked} is a link owned by uid"
                    f" {info.st_uid}: remove the link"
                )
    return True


def lstat(path: str) -> os.stat_result | None:
    """Return lstat, or None where nothing is."""
    try:
        return os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None


def kind(info: os.stat_result) -> str:
    """Name what an inode is."""
    names = {stat.S_IFREG: "a file", stat.S_IFDIR: "a directory", stat.S_IFLNK: "a link"}
    return names.get(stat.S_IFMT(info.st_mode), "a special file")


def attributes(uid: int | None, gid: int | None, mode: int) -> str:
    """Describe owner, group and mode for a diff."""
    return f"owner={uid} group={gid} mode={mode:04o}\n"


def converge_attributes(entry: dict[str, Any], info: os.stat_result, run: Run) -> None:
    """Set owner, group and mode of something that exists, through a descriptor that follows no link."""
    path = entry["path"]
    mode = parse_mode(entry["mode"], path)
    uid, gid = owner_ids(entry, run)
    found = stat.S_IMODE(info.st_mode)
    if (info.st_uid, info.st_gid, found) == (uid, gid, mode):
        return
    run.file_changed(path, content=False)
    run.add_diff(f"{path} (attributes)", attributes(info.st_uid, info.st_gid, found), attributes(uid, gid, mode))
    if run.check or uid is None or gid is None:
        return
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        # A change of owner clears set-id bits, so the mode comes second.
        os.fchown(descriptor, uid, gid)
        os.fchmod(descriptor, mode)
    finally:
        os.close(descriptor)


def converge_directory(entry: dict[str, Any], run: Run) -> None:
    """Make one directory what it should be."""
    path = entry["path"] = os.path.normpath(entry["path"])
    require_safe_path(path)
    mode = parse_mode(entry["mode"], path)
    info = lstat(path)
    if info is not None and not stat.S_ISDIR(info.st_mode):
        raise HostStateError(f"{path}: expected a directory, found {kind(info)}: move it away, then run again")
    require_parent(path, run)
    if info is not None:
        # Whose it is may still be in question.
        if not (entry.get("claimed_by") and holds_something(path)):
            converge_attributes(entry, info, run)
        return
    uid, gid = owner_ids(entry, run)
    run.file_changed(path)
    run.planned_directories.add(path)
    run.add_diff(path, "", "directory " + attributes(uid, gid, mode))
    if run.check or uid is None or gid is None:
        return
    # Complete under another name first, so that nobody ever sees it with the wrong owner.
    temporary = tempfile.mkdtemp(prefix=f".{os.path.basename(path)}.holdfast-", dir=os.path.dirname(path))
    try:
        os.chown(temporary, uid, gid)
        os.chmod(temporary, mode)
        os.rename(temporary, path)
    except OSError:
        os.rmdir(temporary)
        raise


def read_file(path: str, info: os.stat_result, size: int) -> bytes | None:
    """Return the content, or None when the size already says that it differs."""
    if info.st_size != size:
        return None
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as handle:
        return handle.read()


def as_text(data: bytes) -> str:
    """Return content for a diff."""
    if len(data) > DIFF_LIMIT:
        return f"({len(data)} bytes)\n"
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return f"(binary, {len(data)} bytes)\n"


def content_diff(entry: dict[str, Any], info: os.stat_result | None, content: bytes, run: Run) -> None:
    """Record the difference; of a secret file only that there is one."""
    if not run.want_diff:
        return
    path = entry["path"]
    if entry["secret"]:
        run.diff.append({"prepared": f"{path}: content differs (secret)\n"})
        return
    before = ""
    if info is not None and stat.S_ISLNK(info.st_mode):
        before = f"link to {os.readlink(path)}\n"
    elif info is not None:
        before = as_text(read_file(path, info, info.st_size) or b"")
    run.add_diff(path, before, as_text(content))


def converge_file(entry: dict[str, Any], contents: dict[str, bytes], run: Run) -> None:
    """Make one file what it should be."""
    key = entry["path"]
    path = entry["path"] = os.path.normpath(key)
    require_safe_path(path)
    parse_mode(entry["mode"], path)
    info = lstat(path)
    if info is not None and not (stat.S_ISREG(info.st_mode) or stat.S_ISLNK(info.st_mode)):
        raise HostStateError(f"{path}: expected a file, found {kind(info)}: move it away, then run again")
    if info is None and entry["create_only"] and entry["defer"]:
        run.absent.append(path)
        return
    parent_there = require_parent(path, run)
    if info is not None and entry["create_only"]:
        if stat.S_ISLNK(info.st_mode):
            raise HostStateError(f"{path}: expected a file, found a link: move it away, then run again")
        converge_attributes(entry, info, run)
        return
    content = contents[key]
    if entry.get("block"):
        regular = info is not None and stat.S_ISREG(info.st_mode)
        content = with_block(
            path, read_file(path, info, info.st_size) or b"" if info and regular else b"", entry["block"], content
        )
    if info is not None and stat.S_ISREG(info.st_mode) and read_file(path, info, len(content)) == content:
        converge_attributes(entry, info, run)
        return
    uid, gid = owner_ids(entry, run)
    content_diff(entry, info, content, run)
    if not run.check and parent_there and uid is not None and gid is not None:
        write_file(entry, content, uid, gid)
    run.file_changed(path)


def with_block(path: str, existing: bytes, name: str, content: bytes) -> bytes:
    """Return `existing` with the block called `name` replaced by `content`, or with the block appended."""
    begin, end = f"# BEGIN {name}\n".encode(), f"# END {name}\n".encode()
    block = begin + content.rstrip(b"\n") + b"\n" + end
    start, stop = existing.find(begin), existing.find(end)
    if (start < 0) != (stop < 0) or stop < start:
        # Replacing from a stray marker on would take lines of somebody else with it.
        raise HostStateError(
            f"{path}: expected block {name} to have one BEGIN and one END line, found only one or the wrong order:"
            " remove the stray line by hand"
        )
    if start >= 0:
        return existing[:start] + block + existing[stop + len(end) :]
    if existing and not existing.endswith(b"\n"):
        existing += b"\n"
    return existing + block


def remove_path(entry: Any, run: Run) -> None:
    """Remove one path."""
    path, recurse = normalise_absent(entry)
    info = lstat(path)
    if info is None:
        return
    require_parent(path, run)
    run.add_diff(path, f"{kind(info)}\n", "absent\n")
    if stat.S_ISDIR(info.st_mode):
        if not recurse and os.listdir(path):
            raise HostStateError(
                f"{path}: expected an empty directory to remove, found entries in it: remove them, or set recurse: true"
            )
        if not run.check:
            shutil.rmtree(path)
    elif not run.check:
        os.unlink(path)
    run.file_changed(path)


def converge_paths(params: dict[str, Any], contents: dict[str, bytes], stage: str, run: Run) -> None:
    """Converge the directories, then the files of one stage."""
    for entry in params["directories"]:
        if entry["stage"] == stage:
            with_path(entry["path"], converge_directory, entry, run)
    for entry in params["files"]:
        if entry["stage"] == stage:
            with_path(entry["path"], converge_file, entry, contents, run)


def with_path(path: str, function: Any, *arguments: Any) -> None:
    """Turn a system error into a sentence that names the path."""
    try:
        function(*arguments)
    except OSError as error:
        raise HostStateError(
            f"{path}: expected to read and write it, found: {error.strerror} ({error.filename}): check disk, mount and"
            " become"
        ) from error
