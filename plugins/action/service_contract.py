# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Validates and resolves the service catalog on the controller; makes no remote call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase
from ansible_collections.holdfast.stateful.plugins.module_utils.contract import (
    Host,
    Violation,
    refusal,
    resolve_catalog,
    unknown_service,
)
from ansible_collections.holdfast.stateful.plugins.module_utils.contract_schema import key_path, violation
from ansible_collections.holdfast.stateful.plugins.module_utils.contract_types import printable

ROOT = "service_catalog"
TEMPLATE_ERRORS = (AnsibleError, RecursionError, ValueError, TypeError)


class ActionModule(ActionBase):  # type: ignore[misc]
    """Action plugin behind the module of the same name."""

    TRANSFERS_FILES = False
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Resolve the catalog against the inventory; refuse once, with every violation."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        del tmp
        _checked, options = self.validate_argument_spec(
            argument_spec={
                "catalog": {"type": "raw"},
                "service_id": {"type": "str", "default": ""},
                "require_facts": {"type": "bool", "default": False},
            }
        )
        problems: list[Violation] = []
        if "catalog" in self._task.args:
            catalog = self._plain_catalog(options["catalog"], problems)  # Ansible has resolved its templates
        else:
            catalog = self._resolved_catalog((task_vars or {}).get(ROOT), problems)
        hosts = self._hosts(task_vars or {}, _named_groups(catalog), problems)
        found = resolve_catalog(catalog, hosts, require_facts=options["require_facts"])
        if catalog or not problems:  # entries whose template failed are missing: all of them is not "empty"
            problems += found.violations
        service = options["service_id"]
        unknown = False
        if isinstance(catalog, Mapping) and catalog and service and service not in catalog:
            unknown = True
            problems.append(unknown_service(service, catalog))
        result["changed"] = False
        if problems:
            result.update(
                failed=True,
                refusal="input",
                violations=[{key: printable(text) for key, text in item.to_dict().items()} for item in problems],
                msg=printable_lines(refusal(tuple(problems))),
            )
            first = next(iter((task_vars or {}).get("ansible_play_batch", ())), None)
            if first not in {None, (task_vars or {}).get("inventory_hostname")} and not unknown:
                # The catalog is the same for every host of the play: one long message is enough.
                result.update(violations=[], msg=f"The service catalog is refused, for the reasons given for {first}.")
            return result
        contracts = found.to_dict()
        result["contracts"] = {service: contracts[service]} if service else contracts
        return result

    def _resolved_catalog(self, raw: object, problems: list[Violation]) -> object:
        """Template each entry of the variable alone, so that one bad expression names its entry and hides no other."""
        if isinstance(raw, str):
            raw = self._templar.template(raw)
        if not isinstance(raw, Mapping):
            return raw
        catalog: dict[Any, Any] = {}
        for service in raw:
            try:
                catalog[service] = plain(self._templar.template(raw[service]))
            except TEMPLATE_ERRORS as error:
                problems.append(_template_problem(key_path(ROOT, service), error))
        return catalog

    def _plain_catalog(self, given: object, problems: list[Violation]) -> object:
        """Return a catalog that was passed as an argument, without lazy values."""
        try:
            return plain(given)
        except TEMPLATE_ERRORS as error:
            problems.append(_template_problem(ROOT, error))
            return {}

    def _hosts(
        self, task_vars: Mapping[str, Any], wanted: set[str], problems: list[Violation]
    ) -> dict[str, list[Host]]:
        """Return the inventory, hosts by group; only hosts of wanted groups are looked at."""
        known: dict[str, Host] = {}
        groups: dict[str, list[Host]] = {}
        for group, names in task_vars.get("groups", {}).items():
            for name in names:
                if group not in wanted:
                    continue
                if name not in known:
                    known[name] = self._host(str(name), task_vars["hostvars"], problems)
            groups[str(group)] = [known[name] for name in names if name in known]
        return groups

    def _host(self, name: str, hostvars: Any, problems: list[Violation]) -> Host:
        """Return one host: its address and, where it is known, its memory."""
        try:
            variables = hostvars[name]
            # ansible_connection local hosts and hosts without ansible_host are reached by their name
            address = next(
                (text for key in ("host_baseline_address", "ansible_host") if (text := self._text(variables, key))),
                name,
            )
            memory = self._text(variables, "host_baseline_memory_mb")
            if not memory:
                facts = variables.get("ansible_facts") or {}
                memory = str(facts.get("memtotal_mb") or "")
        except TEMPLATE_ERRORS as error:
            problems.append(_template_problem(f"hostvars.{name}", error))
            return Host(name, name)
        if memory and not (memory.isascii() and memory.isdigit() and len(memory) < 12):
            wrong = f"the memory of the host is {memory[:40]!r}, expected megabytes as a whole number"
            key = f"hostvars.{name}.host_baseline_memory_mb"
            problems.append(violation(key, "schema-type", wrong, "for example 16384, or remove it and gather facts"))
            return Host(name, address)
        return Host(name, address, int(memory) if memory else None)

    def _text(self, variables: Mapping[str, Any], key: str) -> str:
        """Return a host variable as text, resolved; "" where it is not set."""
        value = variables.get(key)
        return "" if value is None else str(self._templar.template(value)).strip()


def _named_groups(catalog: object) -> set[str]:
    """Return every group that an entry names, whatever else is wrong with the entry."""
    found: set[str] = set()
    for entry in catalog.values() if isinstance(catalog, Mapping) else ():
        for holder in (entry, entry.get("dcs") if isinstance(entry, Mapping) else None):
            if isinstance(holder, Mapping) and isinstance(holder.get("members_group"), str):
                found.add(str(holder["members_group"]))
    return found


def _template_problem(path: str, error: BaseException) -> Violation:
    text = " ".join(str(error).split())[:300] or type(error).__name__
    nearest = "define the variable, or write the value itself"
    return violation(path, "schema-template", f"a template cannot be resolved: {text}", nearest)


def plain(value: Any, depth: int = 0) -> Any:
    """Return containers as plain dictionaries and lists, all lazy values resolved."""
    if depth > 40:
        raise ValueError("the value is nested more than 40 levels deep, or contains itself")
    if isinstance(value, Mapping):
        return {key: plain(value[key], depth + 1) for key in value}
    if isinstance(value, (list, tuple)):
        return [plain(item, depth + 1) for item in value]
    return value


def printable_lines(text: str) -> str:
    """Return text with its line breaks that any terminal and any encoder takes."""
    return "\n".join(printable(line) for line in text.split("\n"))
