# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""redis.conf directives: normalised, compared with the running server, edited in a file that the server owns."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

UNITS = {"b": 1, "k": 1000, "kb": 1024, "m": 1000**2, "mb": 1024**2, "g": 1000**3, "gb": 1024**3}
SIZE = re.compile(r"^(\d+)(b|kb?|mb?|gb?)?$")
# What notify-keyspace-events abbreviates as A; m and n are never part of it.
ALL_EVENTS = frozenset("g$lshzxetd")
CLASSES = {"normal": "normal", "slave": "replica", "replica": "replica", "pubsub": "pubsub"}
SECRET = frozenset({"masterauth", "requirepass", "tls-key-file-pass", "tls-client-key-file-pass"})
# What Holdfast never lets a task set here: the live system owns the topology, the ACL file owns the users.
FORBIDDEN = {
    "replicaof": "the live system decides who replicates from whom",
    "slaveof": "the live system decides who replicates from whom",
    "user": "users live in the ACL file only",
    "requirepass": "users live in the ACL file only",
    "include": "CONFIG REWRITE does not follow includes",
    "rename-command": "Sentinel and CONFIG REWRITE do not survive it; use ACL rules",
}


class ConfigError(Exception):
    """A desired value that cannot be: the directive, what was expected, what was found."""


def as_text(name: str, value: Any) -> str:
    """Return a desired value as redis.conf spells it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return " ".join(as_text(name, item) for item in value)
    if isinstance(value, (str, int, float)):
        text = str(value).strip()
        if "\n" in text or "\r" in text or "\0" in text:
            raise ConfigError(f"{name}: expected one line, found a line break")
        return "" if text == '""' else text
    raise ConfigError(f"{name}: expected a string, a number, a boolean or a list, found {type(value).__name__}")


def size(text: str) -> str:
    """Return a size in bytes where the text is one, else the text."""
    match = SIZE.match(text.lower())
    return str(int(match[1]) * UNITS[match[2] or "b"]) if match else text


def normalise(name: str, value: str) -> str:
    """Return the one spelling of a value, so that two equal values compare equal."""
    if name in SECRET or name in {"masteruser"}:
        return value
    if name == "client-output-buffer-limit":
        return " ".join(f"{kind} {' '.join(limits)}" for kind, limits in sorted(buffer_limits(value).items()))
    if name == "notify-keyspace-events":
        flags = set(value)
        if flags >= ALL_EVENTS:
            flags |= {"A"}
        return "".join(sorted(flags - ALL_EVENTS if "A" in flags else flags))
    words = value.split()
    if len(words) == 1 and words[0].lower() in {"yes", "no"}:
        return words[0].lower()
    return " ".join(size(word) for word in words)


def buffer_limits(value: str) -> dict[str, tuple[str, ...]]:
    """Split client-output-buffer-limit into its classes."""
    words = value.split()
    if not words or len(words) % 4:
        raise ConfigError(f"client-output-buffer-limit: expected groups of class, hard, soft, seconds, found {value!r}")
    limits: dict[str, tuple[str, ...]] = {}
    for at in range(0, len(words), 4):
        kind = CLASSES.get(words[at].lower())
        if kind is None:
            raise ConfigError(f"client-output-buffer-limit: expected normal, replica or pubsub, found {words[at]!r}")
        limits[kind] = (size(words[at + 1]), size(words[at + 2]), words[at + 3])
    return limits


def equal(name: str, wanted: str, found: str) -> bool:
    """Compare a desired value with a running one."""
    if name == "client-output-buffer-limit":
        running = buffer_limits(found)
        return all(running.get(kind) == limits for kind, limits in buffer_limits(wanted).items())
    return normalise(name, wanted) == normalise(name, found)


def desired_settings(settings: Mapping[str, Any]) -> dict[str, str]:
    """Return desired directives in redis.conf's spelling; refuse what must never be set here."""
    wanted: dict[str, str] = {}
    for name, value in settings.items():
        key = name.lower()
        if key in FORBIDDEN:
            raise ConfigError(f"{key}: expected it not to be among the settings: {FORBIDDEN[key]}")
        if value is not None:
            wanted[key] = as_text(key, value)
    return wanted


def differences(wanted: Mapping[str, str], running: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """Return directive -> (running, wanted) for all that differ; refuse directives that the server does not know."""
    unknown = sorted(set(wanted) - set(running))
    if unknown:
        raise ConfigError(
            f"{', '.join(unknown)}: expected directives this server knows, found no such ones: correct the spelling"
        )
    return {name: (running[name], value) for name, value in wanted.items() if not equal(name, value, running[name])}


_REFUSED = re.compile(r"argument '([^']+)'\) - can't set (immutable|protected) config")


def refused_directive(message: str) -> str | None:
    """Return the directive that CONFIG SET refuses at run time, from the server's own words."""
    match = _REFUSED.search(message)
    return match[1].lower() if match else None


def quote(value: str) -> str:
    """Return a value as a redis.conf line needs it."""
    if value == "" or re.search(r"[\"'\\\s]", value):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    return value


def edit_file(text: str, wanted: Mapping[str, str]) -> str:
    """Return the file with single-valued directives replaced in place, and missing ones added at the end."""
    left = dict(wanted)
    lines: list[str] = []
    for line in text.splitlines():
        name = line.split(None, 1)[0].lower() if line.strip() and not line.lstrip().startswith("#") else ""
        if name in wanted:
            if name in left:
                lines.append(f"{name} {file_value(left.pop(name))}")
            continue
        lines.append(line)
    lines += [f"{name} {file_value(value)}" for name, value in left.items()]
    return "\n".join(lines) + "\n"


def file_value(value: str) -> str:
    """Return the words of a value, quoted only where it has to be one word."""
    return value if value and not re.search(r"[\"'\\]", value) else quote(value)


def shown(name: str, value: str) -> str:
    """Return a value for a diff."""
    return "(secret)" if name in SECRET else value
