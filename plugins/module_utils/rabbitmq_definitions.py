# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Virtual hosts, users and permissions: what must be sent to make them what they should be. Nothing is deleted."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.holdfast.stateful.plugins.module_utils.rabbitmq_api import Api, seg

ALGORITHM = "rabbit_password_hashing_sha256"
SALT_BYTES = 4
EVERY_VHOST = "*"
RIGHTS = ("configure", "write", "read")

SPEC: dict[str, dict[str, Any]] = {
    "vhosts": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "name": {"type": "str", "required": True},
            "default_queue_type": {"type": "str", "choices": ["quorum", "stream", "classic"], "default": "quorum"},
        },
    },
    "users": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "mutually_exclusive": [["password", "password_hash"]],
        "options": {
            "name": {"type": "str", "required": True},
            "password": {"type": "str", "no_log": True},
            "password_hash": {"type": "str", "no_log": True},
            "tags": {"type": "list", "elements": "str", "default": []},
        },
    },
    "permissions": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "user": {"type": "str", "required": True},
            "vhost": {"type": "str", "required": True},
            **{right: {"type": "str", "default": "^$"} for right in RIGHTS},
        },
    },
}


def password_hash(password: str, salt: bytes) -> str:
    """Return RabbitMQ's salted SHA-256 of a password."""
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()


def stable_hash(password: str, scope: str) -> str:
    """Return a salted hash that is the same on every run, so that a file that holds it does not change.

    The salt is derived from scope and password: equal passwords in two places still have different hashes.
    """
    salt = hmac.new(password.encode(), f"holdfast salt {scope}".encode(), hashlib.sha256).digest()[:SALT_BYTES]
    return password_hash(password, salt)


def password_matches(stored: str, algorithm: str, want: Mapping[str, Any]) -> bool:
    """Say whether the stored hash belongs to the wanted password or is the wanted hash."""
    if algorithm != ALGORITHM:
        return False
    if want.get("password_hash"):
        return hmac.compare_digest(stored, str(want["password_hash"]))
    try:
        salt = base64.b64decode(stored, validate=True)[:SALT_BYTES]
    except (binascii.Error, ValueError):
        return False
    return hmac.compare_digest(stored, password_hash(str(want["password"]), salt))


@dataclass(frozen=True)
class Step:
    """One request that is due, and what it changes; before and after never hold a password."""

    what: str
    path: str
    body: dict[str, Any]
    before: dict[str, Any]
    after: dict[str, Any]


@dataclass(frozen=True)
class Definitions:
    """What the cluster has."""

    vhosts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    users: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    permissions: Mapping[tuple[str, str], Mapping[str, Any]] = field(default_factory=dict)


def read(api: Api) -> Definitions:
    """Read what the cluster has."""
    return Definitions(
        vhosts={str(raw["name"]): raw for raw in api.get("/vhosts?columns=name,default_queue_type,metadata")},
        users={str(raw["name"]): raw for raw in api.get("/users")},
        permissions={(str(raw["user"]), str(raw["vhost"])): raw for raw in api.get("/permissions")},
    )


def plan(have: Definitions, want: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[Step]:
    """Return the requests that are due, in an order that works."""
    steps = [step for vhost in want["vhosts"] if (step := plan_vhost(have, vhost))]
    steps += [step for user in want["users"] if (step := plan_user(have, user))]
    steps += [step for permission in everywhere(have, want) if (step := plan_permission(have, permission))]
    return steps


def everywhere(have: Definitions, want: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[Mapping[str, Any]]:
    """Return the wanted permissions, those for every virtual host spelled out."""
    names = sorted({*have.vhosts, *(str(vhost["name"]) for vhost in want["vhosts"])})
    return [
        {**entry, "vhost": name}
        for entry in want["permissions"]
        for name in (names if entry["vhost"] == EVERY_VHOST else [entry["vhost"]])
    ]


def plan_vhost(have: Definitions, want: Mapping[str, Any]) -> Step | None:
    """Compare one virtual host."""
    name, kind = str(want["name"]), want["default_queue_type"]
    raw = have.vhosts.get(name)
    metadata = (raw or {}).get("metadata") or {}
    found = None if raw is None else raw.get("default_queue_type") or metadata.get("default_queue_type")
    if found == kind:
        return None
    # A PUT replaces the metadata as a whole, so what others have written there is sent back.
    body = {"default_queue_type": kind}
    body.update({key: metadata[key] for key in ("description", "tags") if metadata.get(key)})
    if isinstance(body.get("tags"), list):
        body["tags"] = ",".join(body["tags"])
    before = {} if raw is None else {"default_queue_type": found}
    return Step(f"vhost {name}", f"/vhosts/{seg(name)}", body, before, {"default_queue_type": kind})


def plan_user(have: Definitions, want: Mapping[str, Any]) -> Step | None:
    """Compare one user."""
    name, tags = str(want["name"]), sorted(want["tags"])
    raw = have.users.get(name)
    found_tags = sorted(raw.get("tags") or []) if raw else []
    same = raw is not None and password_matches(
        str(raw.get("password_hash", "")), str(raw.get("hashing_algorithm", "")), want
    )
    if raw is not None and same and found_tags == tags:
        return None
    digest = want.get("password_hash") or password_hash(str(want["password"]), os.urandom(SALT_BYTES))
    body = {"password_hash": digest, "hashing_algorithm": ALGORITHM, "tags": ",".join(tags)}
    before = {} if raw is None else {"tags": found_tags, "password": "as wanted" if same else "another one"}
    return Step(f"user {name}", f"/users/{seg(name)}", body, before, {"tags": tags, "password": "as wanted"})


def plan_permission(have: Definitions, want: Mapping[str, Any]) -> Step | None:
    """Compare one user's rights in one virtual host."""
    user, vhost = str(want["user"]), str(want["vhost"])
    raw = have.permissions.get((user, vhost))
    after = {right: want[right] for right in RIGHTS}
    before = {} if raw is None else {right: raw.get(right) for right in RIGHTS}
    if before == after:
        return None
    return Step(f"permissions of {user} in {vhost}", f"/permissions/{seg(vhost)}/{seg(user)}", after, before, after)


def unknown_references(want: Mapping[str, Sequence[Mapping[str, Any]]], have: Definitions) -> list[str]:
    """Return the users and virtual hosts that permissions name and nobody declares."""
    users = {str(user["name"]) for user in want["users"]} | set(have.users)
    vhosts = {str(vhost["name"]) for vhost in want["vhosts"]} | set(have.vhosts) | {EVERY_VHOST}
    found = []
    for entry in want["permissions"]:
        if entry["user"] not in users:
            found.append(f"permissions: expected a declared user, found {entry['user']}")
        if entry["vhost"] not in vhosts:
            found.append(f"permissions: expected a declared vhost, found {entry['vhost']}")
    return found


def input_problems(want: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[str]:
    """Return what is wrong with the wish itself."""
    found = [
        f"user {user['name']}: expected password or password_hash, found neither"
        for user in want["users"]
        if not (user.get("password") or user.get("password_hash"))
    ]
    return found + [
        f"user {user['name']}: expected another name, guest must not exist"
        for user in want["users"]
        if user["name"] == "guest"
    ]


def apply(api: Api, steps: Sequence[Step]) -> None:
    """Send the requests."""
    for step in steps:
        api.call("PUT", step.path, step.body)


def diff_of(steps: Sequence[Step]) -> list[dict[str, Any]]:
    """Return before and after of every step, for diff mode."""
    return [
        {"before_header": step.what, "after_header": step.what, "before": step.before, "after": step.after}
        for step in steps
    ]
