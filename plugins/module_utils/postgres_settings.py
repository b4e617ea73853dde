# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""PostgreSQL parameters judged against what a live server says of them: name, type, range, unit."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

BOOLEANS = {"on", "off", "true", "false", "yes", "no", "1", "0"}
BYTES = {"B": 1, "kB": 1024, "MB": 1024**2, "GB": 1024**3, "TB": 1024**4}
MICROSECONDS = {"us": 1, "ms": 1000, "s": 10**6, "min": 60 * 10**6, "h": 3600 * 10**6, "d": 86400 * 10**6}
NUMBER = re.compile(r"([+-]?(?:0x[0-9a-f]+|\d+\.?\d*(?:e[+-]?\d+)?|\.\d+(?:e[+-]?\d+)?))\s*([a-zA-Z]*)", re.IGNORECASE)
# Patroni replaces what is below by its own default, in silence (patroni/postgresql/config.py, CMDLINE_OPTIONS).
PATRONI_LEAST = {
    "max_connections": 25,
    "max_wal_senders": 3,
    "max_worker_processes": 2,
    "max_locks_per_transaction": 32,
    "max_replication_slots": 4,
}
QUERY = "SELECT name, setting, unit, context, vartype, min_val, max_val, enumvals FROM pg_settings"


@dataclass(frozen=True)
class Setting:
    """What a server says of one parameter."""

    name: str
    setting: str
    unit: str | None
    context: str
    vartype: str
    min_val: str | None = None
    max_val: str | None = None
    enumvals: Sequence[str] | None = None


def read(cursor: Any) -> dict[str, Setting]:
    """Ask a server for all of its parameters."""
    cursor.execute(QUERY)
    return {row[0]: Setting(*row) for row in cursor.fetchall()}


def scale(unit: str) -> tuple[dict[str, int], int] | None:
    """Return the table of units that may be written, and the size of the server's own: 8kB is 8192 bytes."""
    parts = re.fullmatch(r"(\d*)([a-zA-Z]+)", unit)
    if not parts:
        return None
    for table in (BYTES, MICROSECONDS):
        if parts[2] in table:
            return table, int(parts[1] or 1) * table[parts[2]]
    return None


def to_number(value: Any, unit: str | None) -> float | None:
    """Return a value in the server's own unit, as PostgreSQL reads it; nothing where PostgreSQL would refuse it."""
    parts = NUMBER.fullmatch(str(value).strip())
    if not parts or isinstance(value, bool):
        return None
    text = parts[1].lower()
    number = float(int(text, 16)) if "0x" in text else float(text)
    if not parts[2]:
        return number
    known = scale(unit or "")
    if known is None or parts[2] not in known[0]:
        return None
    return number * known[0][parts[2]] / known[1]


def problem(name: str, value: Any, known: Mapping[str, Setting]) -> str:
    """Return what is wrong with a value, or ""."""
    setting = known.get(name.lower()) or known.get(name)
    if setting is None:
        prefix = name.partition(".")[0] + "."
        if "." in name and not any(other.startswith(prefix) for other in known):
            return ""  # of a library that is not loaded yet: PostgreSQL takes it as it is, too
        return f"{name}: expected a parameter of this server, found none of that name"
    if setting.context == "internal":
        return f"{name}: expected a parameter that can be set, found one that was fixed when the server was built"
    if isinstance(value, (dict, list)):
        return f"{name}: expected one value, found {type(value).__name__}"
    if setting.vartype == "bool":
        fine = str(value).lower() in BOOLEANS
        return "" if fine else f"{name}: expected on or off, found {value!r}"
    if setting.vartype == "enum":
        text = {True: "on", False: "off"}.get(value, str(value)) if isinstance(value, bool) else str(value)
        words = [word.lower() for word in setting.enumvals or []]
        # PostgreSQL takes the usual words for on and off too where those are among the values.
        fine = text.lower() in words or ("on" in words and text.lower() in BOOLEANS)
        return "" if fine else f"{name}: expected one of {', '.join(setting.enumvals or [])}, found {value!r}"
    if setting.vartype in {"integer", "real"}:
        return _number_problem(setting, value)
    return ""


def _number_problem(setting: Setting, value: Any) -> str:
    """Return what is wrong with a number."""
    number = to_number(value, setting.unit)
    unit = f" {setting.unit}" if setting.unit else ""
    if number is None:
        kind = f"a number, with or without a unit such as {setting.unit}" if unit else "a number without a unit"
        return f"{setting.name}: expected {kind}, found {value!r}"
    if setting.vartype == "integer":
        number = round(number)
    low, high = float(setting.min_val or "-inf"), float(setting.max_val or "inf")
    if not low <= number <= high:
        return f"{setting.name}: expected {setting.min_val} to {setting.max_val}{unit}, found {value!r}"
    return _floor_problem(setting.name, number, value)


def _floor_problem(name: str, number: float, value: Any) -> str:
    """Return the complaint about a number that Patroni would replace, or ""."""
    least = PATRONI_LEAST.get(name)
    if least is not None and number < least:
        return f"{name}: expected at least {least}, below which Patroni takes its default, found {value!r}"
    return ""


def floor_problems(parameters: Mapping[str, Any]) -> list[str]:
    """Return what needs no server to be seen: numbers that Patroni would replace, and connections nobody could use."""
    numbers = {name.lower(): (to_number(value, None), value) for name, value in sorted(parameters.items())}
    found = [_floor_problem(name, number, value) for name, (number, value) in numbers.items() if number is not None]
    return [item for item in found if item] + _reserved(parameters, {})


def problems(parameters: Mapping[str, Any], known: Mapping[str, Setting]) -> list[str]:
    """Return everything that is wrong with the values that would be set; null removes, and only needs a known name."""
    found = [problem(name, value, known) for name, value in sorted(parameters.items()) if value is not None]
    return [item for item in found if item] + _reserved(parameters, known)


def _reserved(parameters: Mapping[str, Any], known: Mapping[str, Setting]) -> list[str]:
    """Return the complaint of a server that would not start because nobody but superusers could connect."""
    names = ("max_connections", "superuser_reserved_connections", "reserved_connections")
    values = {}
    for name in names:
        raw = parameters.get(name) if parameters.get(name) is not None else getattr(known.get(name), "setting", 0)
        number = to_number(raw, None)
        if number is None:
            return []  # said already
        values[name] = number
    kept = values["superuser_reserved_connections"] + values["reserved_connections"]
    if "max_connections" in parameters and parameters["max_connections"] is not None and values[names[0]] <= kept:
        return [f"max_connections: expected more than the {kept:g} reserved ones, found {values[names[0]]:g}"]
    return []
