# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Enforces the schema of a catalog entry, ``roles/service_contract/meta/argument_specs.yml``.

ArgumentSpecValidator executes the schema, one key at a time, so that every message has the exact path of its key,
inside lists too. What ArgumentSpecValidator would quietly convert (a list into a string, 4.10 into "4.1") is refused.
"""

from __future__ import annotations

import datetime
import functools
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

try:
    import yaml
except ImportError:  # pragma: no cover - always there on a controller; module_utils must import without it
    yaml = None  # type: ignore[assignment]

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.holdfast.stateful.plugins.module_utils.contract_data import (
    BOUNDS,
    DEFAULT_PORT,
    DEFAULT_PORTS,
)
from ansible_collections.holdfast.stateful.plugins.module_utils.contract_object_types import objects_of
from ansible_collections.holdfast.stateful.plugins.module_utils.contract_site_types import site_of, sites_of
from ansible_collections.holdfast.stateful.plugins.module_utils.contract_types import (
    AcceptedRisk,
    Budget,
    DataItem,
    Entry,
    Version,
    Violation,
    did_you_mean,
    printable,
    show,
)
from ansible_collections.holdfast.stateful.plugins.module_utils.contract_virtual_types import virtual_address_of

Spec = Mapping[str, Any]

SPEC_FILE = Path(__file__).resolve().parents[2] / "roles" / "service_contract" / "meta" / "argument_specs.yml"
MAX_TEXT = 200
MAX_ITEMS = 500

SCHEMA_RULES: dict[str, str] = {
    "schema-catalog": "the catalog is a dictionary of service ids, so that every service is named once",
    "schema-service-id": "the id names Patroni's scope, files, users and metrics, which all accept these characters",
    "schema-service-unknown": "only a declared service has a contract",
    "schema-template": "a value that cannot be resolved would be guessed",
    "schema-unknown-key": "a misspelt key would be ignored in silence and the service would get a default instead",
    "schema-type": "a value of another type would be converted, or guessed, into something nobody declared",
    "schema-required": "nothing safe can be assumed in its place",
    "schema-choice": "only the listed words have a meaning",
    "schema-bounds": "the value cannot be meant: it is outside of what any host or engine can do",
    "schema-text": "the value ends up in file names, configuration lines and log lines",
}


def entry_spec() -> Spec:
    """Return the typed schema of one catalog entry, as read from the role."""
    options: Spec = _spec_file()["argument_specs"]["entry"]["options"]["service_contract_entry"]["options"]
    return options


@functools.cache
def _spec_file() -> Any:
    if yaml is None:
        raise RuntimeError("PyYAML is needed on the controller to read the schema of the service catalog")
    return yaml.safe_load(SPEC_FILE.read_text(encoding="utf-8"))


def violation(path: str, rule: str, wrong: str, nearest: str) -> Violation:
    """Return a violation of a schema rule."""
    return Violation(path, rule, wrong, SCHEMA_RULES[rule], nearest)


def key_path(parent: str, key: object) -> str:
    """Return the path of a key of any type below its parent."""
    if isinstance(key, str) and re.fullmatch(r"[A-Za-z0-9_-]{1,60}", key):
        return f"{parent}.{key}"
    return f"{parent}.<{show(key)}>"


def validate_entry(service: str, raw: object, root: str = "service_catalog") -> tuple[Entry | None, list[Violation]]:
    """Return the typed entry, or None and every violation of the schema."""
    path = key_path(root, service)
    if not isinstance(raw, Mapping):
        return None, [
            violation(
                path, "schema-type", f"the entry is {show(raw)}, expected a dictionary", "declare engine, data, ..."
            )
        ]
    problems: list[Violation] = []
    values = _walk(entry_spec(), raw, path, "", problems)
    return (None, problems) if problems else (_entry(service, values, raw), [])


def _walk(spec: Spec, value: Mapping[Any, Any], path: str, below: str, problems: list[Violation]) -> dict[str, Any]:
    """Validate one dictionary against one level of the schema; ``below`` is the path without list positions."""
    for key in value:
        if not isinstance(key, str) or key not in spec:
            nearest = did_you_mean(key, list(spec))
            problems.append(violation(key_path(path, key), "schema-unknown-key", "no such key here", nearest))
    result: dict[str, Any] = {}
    for name, option in spec.items():
        here = f"{path}.{name}"
        if name not in value:
            if option.get("required"):
                wrong = f"'{name}' is missing"
                problems.append(violation(here, "schema-required", wrong, f"set it to {_wanted(option)}"))
            elif "default" in option:
                result[name] = option["default"]
                if option["type"] == "dict" and "options" in option:
                    result[name] = _walk(option["options"], {}, here, f"{below}{name}.", problems)
            continue
        checked = _value(name, option, value[name], here, f"{below}{name}", problems)
        if checked is not _BAD:
            result[name] = checked
    return result


_BAD: Any = object()


def _value(name: str, option: Spec, value: object, path: str, below: str, problems: list[Violation]) -> Any:
    """Validate one value; return it converted, or _BAD after reporting."""
    kind = option["type"]
    if isinstance(value, datetime.date) and name == "expires":
        value = value.isoformat()[:10]  # YAML turns an unquoted date into a date object: the same meaning
    wrong = _refuse_conversion(kind, value)
    if wrong:
        problems.append(violation(path, "schema-type", wrong, f"set it to {_wanted(option)}"))
        return _BAD
    if kind == "list":
        return _items(name, option, value, path, below, problems)
    if kind == "dict":
        # _refuse_conversion lets nothing but a dictionary through.
        return _walk(option.get("options", {}), cast("Mapping[Any, Any]", value), path, f"{below}.", problems)
    plain = {key: option[key] for key in ("type", "choices") if key in option}
    verdict = ArgumentSpecValidator({name: plain}).validate({name: value})
    if verdict.error_messages:
        rule = "schema-choice" if "choices" in option and kind == "str" else "schema-type"
        nearest = did_you_mean(value, option["choices"]) if rule == "schema-choice" else f"set it to {_wanted(option)}"
        problems.append(violation(path, rule, f"{show(value)} is not {_wanted(option)}", nearest))
        return _BAD
    checked = verdict.validated_parameters[name]
    if kind == "str" and (problem := _bad_text(checked)):
        problems.append(violation(path, "schema-text", problem, f"printable text of 1 to {MAX_TEXT} characters"))
        return _BAD
    low, high = BOUNDS.get(below, (-math.inf, math.inf))
    if kind == "int" and not low <= checked <= high:
        nearest = show(int(min(max(checked, low), high)))
        problems.append(violation(path, "schema-bounds", f"{show(checked)} is outside of {low} to {high}", nearest))
        return _BAD
    return checked


def _items(name: str, option: Spec, value: Any, path: str, below: str, problems: list[Violation]) -> Any:
    if len(value) > MAX_ITEMS:
        problems.append(violation(path, "schema-bounds", f"{len(value)} items", f"at most {MAX_ITEMS} items"))
        return _BAD
    element = {"type": option["elements"], "options": option.get("options", {})}
    checked = [_value(name, element, item, f"{path}[{at}]", below, problems) for at, item in enumerate(value)]
    return _BAD if any(item is _BAD for item in checked) else checked


def _refuse_conversion(kind: str, value: object) -> str | None:
    """Name the conversion that would be needed, or None where the value already is what it should be."""
    if value is None:
        return "the key has no value (remove the key to get its default)"
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    fits = {
        "dict": isinstance(value, Mapping),
        "list": isinstance(value, list),
        "bool": isinstance(value, bool) or (isinstance(value, str) and value.lower() in {"true", "false", "yes", "no"}),
        "int": (number and not isinstance(value, float)) or (isinstance(value, str) and _digits(value)),
        "str": isinstance(value, str) or (number and isinstance(value, int)),
    }[kind]
    if fits:
        if isinstance(value, int) and not isinstance(value, bool) and not -(10**18) < value < 10**18:
            return f"{show(value)} is too large"
        return None
    if kind == "str" and isinstance(value, (float, bool, datetime.date)):
        hint = ": YAML read it as a number, a truth value or a date, and 4.10 would become 4.1; put it in quotes"
        return f"{show(value)} is not text{hint}"
    return f"{show(value)} is not a {_NAMES[kind]}"


def _digits(text: str) -> bool:
    return bool(re.fullmatch(r"-?[0-9]{1,15}", text, re.ASCII))


def _bad_text(text: str) -> str | None:
    if not text.strip():
        return "the text is empty"
    if len(text) > MAX_TEXT:
        return f"the text has {len(text)} characters"
    if not text.isprintable():
        return f"{show(printable(text))} has characters that cannot be printed"
    if "{{" in text or "{%" in text:
        return f"{show(text)} holds a template that was not resolved"
    return None


_NAMES = {"dict": "dictionary", "list": "list", "bool": "true or false", "int": "whole number", "str": "text"}


def _wanted(option: Spec) -> str:
    if "choices" in option:
        return "one of " + ", ".join(str(choice) for choice in option["choices"])
    return f"a {_NAMES[option['type']]}" if option["type"] not in {"bool", "str"} else _NAMES[option["type"]]


def identifier(service: str) -> str:
    """Return the service id as an SQL identifier."""
    return service.replace("-", "_")


def _entry(service: str, values: dict[str, Any], raw: Mapping[str, Any]) -> Entry:
    engine: str = values["engine"]
    budget, dcs, given_ports = values["budget"], values["dcs"], values["ports"]
    return Entry(
        service=service,
        engine=engine,
        version=Version(**values["version"]),
        environment=values["environment"],
        owner=values["owner"],
        escalation=values["escalation"],
        members_group=values["members_group"],
        data=tuple(DataItem(item["name"], item["class"], item.get("retention_days")) for item in values["data"]),
        budget=Budget(
            budget["rpo_seconds"],
            budget["rto_seconds"],
            budget["planned_outage_ms"],
            budget.get("max_replica_lag_seconds"),
        ),
        backup_class=values["backup_class"],
        tuning_profile=values.get("tuning_profile"),
        change_window=values.get("change_window"),
        port=values.get("port", DEFAULT_PORT[engine]),
        ports={**DEFAULT_PORTS[engine], **{k: v for k, v in given_ports.items() if k in DEFAULT_PORTS[engine]}},
        clients=tuple(values["clients"]),
        database=values.get("database", identifier(service)),
        app_user=values.get("app_user", identifier(service) + "_app"),
        vhost=values.get("vhost", service),
        sentinel_name=values.get("sentinel_name", service),
        dcs_group=dcs.get("members_group", values["members_group"]),
        dcs_client_port=dcs["client_port"],
        dcs_peer_port=dcs["peer_port"],
        persistence=values["persistence"],
        eviction=values["eviction"],
        auto_restart=values.get("auto_restart"),
        maxmemory_mb=values.get("maxmemory_mb"),
        wal_level=values["wal_level"],
        session_access=values["session_access"],
        accepted_risks=tuple(AcceptedRisk(**risk) for risk in values["accepted_risks"]),
        given=frozenset(str(key) for key in raw),
        given_ports=frozenset(given_ports),
        objects=objects_of(values["objects"]),
        standby_of=site_of(values.get("standby_of")),
        standby_sites=sites_of(values["standby_sites"]),
        virtual_address=virtual_address_of(service, values.get("virtual_address")),
    )
