# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# ruff: noqa: PTH105, PTH120, PTH123

"""Bring a running Redis to its desired settings, users and certificates; or the file of one that is stopped."""

from __future__ import annotations

import os
import tempfile
import time
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.holdfast.stateful.plugins.module_utils.redis_acl import differing_users
from ansible_collections.holdfast.stateful.plugins.module_utils.redis_client import (
    Login,
    RedisConnection,
    RedisDown,
    RedisError,
    RedisReplyError,
    RedisUnobservable,
    binary_is_replaced,
    certificate_is_stale,
)
from ansible_collections.holdfast.stateful.plugins.module_utils.redis_config import (
    ConfigError,
    differences,
    edit_file,
    refused_directive,
    shown,
)

#: What a server says while it cannot answer yet.
STARTING = {"LOADING", "BUSY", "MASTERDOWN"}
#: Setting one of these again makes the server read the files again, even when the names are the same.
CERTIFICATE_DIRECTIVES = ("tls-cert-file", "tls-key-file", "tls-ca-cert-file")


@dataclass
class Outcome:
    """What was found and done."""

    check: bool = False
    changed_settings: list[str] = field(default_factory=list)
    pending_restart: list[str] = field(default_factory=list)
    acl_loaded: bool = False
    certificate_loaded: bool = False
    file_changed: bool = False
    role: str = ""
    diff: list[tuple[str, str, str]] = field(default_factory=list)

    def result(self, with_diff: bool) -> dict[str, Any]:
        """Return the module's result."""
        result: dict[str, Any] = {
            "changed": bool(self.changed_settings or self.acl_loaded or self.certificate_loaded or self.file_changed),
            "changed_settings": self.changed_settings,
            "pending_restart": self.pending_restart,
            "acl_loaded": self.acl_loaded,
            "certificate_loaded": self.certificate_loaded,
            "role": self.role,
        }
        if with_diff:
            result["diff"] = {
                "before": "".join(f"{name} {shown(name, before)}\n" for name, before, _after in self.diff),
                "after": "".join(f"{name} {shown(name, after)}\n" for name, _before, after in self.diff),
            }
        return result


def wait_for_server(host: str, port: int, login: Login, seconds: float) -> RedisConnection:
    """Connect to a server that may still be starting or loading."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            server = RedisConnection(host, port, login)
            server.call("PING")
        except RedisReplyError as error:
            if error.code not in STARTING or time.monotonic() >= deadline:
                raise
        except (RedisDown, RedisUnobservable):
            if time.monotonic() >= deadline:
                raise
        else:
            return server
        time.sleep(0.2)


def converge(params: dict[str, Any], wanted: dict[str, str], login: Login, outcome: Outcome) -> None:
    """Converge a running server."""
    with wait_for_server(params["host"], params["port"], login, params["wait_seconds"]) as server:
        if params["acl_file"]:
            converge_acl(server, params["acl_file"], outcome)
        converge_settings(server, wanted, outcome)
        if params["certificate_file"] and certificate_is_stale(server.peer_certificate, params["certificate_file"]):
            reload_certificates(server, outcome)
        info = server.info("server", "replication")
        outcome.role = info["role"]
        if binary_is_replaced(info["process_id"]):
            outcome.pending_restart.append("program")


def converge_acl(server: RedisConnection, path: str, outcome: Outcome) -> None:
    """Load the ACL file where the server has other users than the file says."""
    try:
        with open(path, encoding="utf-8") as handle:
            wanted = handle.read().splitlines()
    except OSError as error:
        raise ConfigError(f"{path}: expected an ACL file, found: {error.strerror}") from error
    names = differing_users(wanted, server.call("ACL", "LIST"))
    if not names:
        return
    outcome.acl_loaded = True
    outcome.diff.append(("users", f"(running: {', '.join(names)} differ)", "(as in the ACL file)"))
    if outcome.check:
        return
    server.call("ACL", "LOAD")
    left = differing_users(wanted, server.call("ACL", "LIST"))
    if left:
        raise ConfigError(
            f"{path}: expected the server to hold these users after ACL LOAD, found others for {', '.join(left)}:"
            " compare with ACL LIST and write the rules as the server shows them"
        )


def converge_settings(server: RedisConnection, wanted: dict[str, str], outcome: Outcome) -> None:
    """Set and keep what differs in one transaction; what the server refuses at run time waits for a restart."""
    found = differences(wanted, server.config_get(list(wanted)))
    if not found:
        return
    outcome.diff += [(name, before, after) for name, (before, after) in found.items()]
    if outcome.check:
        outcome.changed_settings = sorted(found)
        return
    left = dict(found)
    while left:
        try:
            words = [word for name, (_old, new) in left.items() for word in (name, new)]
            server.transaction(["CONFIG", "SET", *words], ["CONFIG", "REWRITE"])
            break
        except RedisReplyError as error:
            name = refused_directive(error.message)
            if name is None or name not in left:
                raise
            outcome.pending_restart.append(name)
            del left[name]
    if left:
        stuck = differences({name: new for name, (_old, new) in left.items()}, server.config_get(list(left)))
        if stuck:
            found_now = "; ".join(
                f"{name}: expected {shown(name, new)}, found {shown(name, old)}" for name, (old, new) in stuck.items()
            )
            raise RedisError(f"{server.where}: CONFIG SET was accepted and did not last: {found_now}")
        outcome.changed_settings = sorted(left)


def reload_certificates(server: RedisConnection, outcome: Outcome) -> None:
    """Make the server read its certificates again."""
    outcome.certificate_loaded = True
    outcome.diff.append(("certificate", "(another one)", "(the one in the file)"))
    if not outcome.check:
        values = server.config_get(CERTIFICATE_DIRECTIVES)
        server.call("CONFIG", "SET", *[word for item in values.items() for word in item])


def converge_offline(params: dict[str, Any], wanted: dict[str, str], login: Login, outcome: Outcome) -> None:
    """Write directives into the file of a stopped server."""
    path = params["offline_file"]
    try:
        RedisConnection(params["host"], params["port"], login).close()
        raise ConfigError(
            f"{path}: expected the server to be stopped, found it running on {params['host']}:{params['port']}"
        )
    except RedisDown:
        pass
    try:
        with open(path, encoding="utf-8") as handle:
            before = handle.read()
        after = edit_file(before, wanted)
        outcome.file_changed = after != before
        if outcome.file_changed and not outcome.check:
            replace(path, after)
    except OSError as error:
        raise ConfigError(f"{path}: expected to read and write it, found: {error.strerror}") from error


def replace(path: str, text: str) -> None:
    """Write a file atomically, with the owner and mode it had."""
    info = os.stat(path)  # noqa: PTH116
    folder = os.path.dirname(path)
    descriptor, temporary = tempfile.mkstemp(prefix=f".{os.path.basename(path)}.holdfast-", dir=folder)  # noqa: PTH119
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as handle:
            os.fchown(handle.fileno(), info.st_uid, info.st_gid)
            os.fchmod(handle.fileno(), info.st_mode & 0o7777)
            handle.write(text)
            handle.flush()
            os.fsync(handle.fileno())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)  # noqa: PTH108
        raise
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
