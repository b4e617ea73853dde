# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters that playbooks use to hand contracts to roles and to speak of services as a whole."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.holdfast.stateful.plugins.module_utils.connection import connection_of
from ansible_collections.holdfast.stateful.plugins.module_utils.service_status import summarise


def engines_on_host(catalog: dict[str, Any], host: str, groups: dict[str, list[str]]) -> list[str]:
    """Return the engines with a member on `host`, and `any` when there is one.

    Works on the declared catalog, before it is resolved; what is malformed there is the contract's to refuse.
    """
    engines = set()
    for entry in catalog.values():
        members = groups.get(entry.get("members_group", ""), [])
        consensus = groups.get((entry.get("dcs") or {}).get("members_group", ""), [])
        if host in members:
            engines.add(entry["engine"])
        if entry["engine"] == "postgres" and host in (consensus or members):
            engines.add("etcd")
    return sorted(engines | ({"any"} if engines else set()))


def contract_of(contracts: dict[str, Any], host: str, engine: str) -> dict[str, Any]:
    """Return the contract of the service of `engine` that `host` is a member of (or, for etcd, serves).

    Raises AnsibleFilterError when there is none: the play's hosts and the contracts then disagree.
    """
    for contract in contracts.values():
        serves = contract["settings"].get("etcd", {}).get("members", []) if engine == "etcd" else contract["members"]
        wanted = "postgres" if engine == "etcd" else engine
        if contract["engine"] == wanted and host in [member["name"] for member in serves]:
            return dict(contract)
    raise AnsibleFilterError(
        f"{host}: no service of engine {engine} has a member here; the catalog or the groups changed during the run"
    )


def service_status(contracts: dict[str, Any], hosts: list[str], answers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the status of each service from the results that `service_status_info` registered on `hosts`.

    A host that was unreachable, or on which the module failed, has no `services` in its answer: unknown members.
    """
    observed = {host: answer.get("services") for host, answer in zip(hosts, answers, strict=True)}
    return summarise(contracts, observed)


def probe_targets(contracts: dict[str, Any], ca_file: str, passwords: dict[str, str]) -> list[dict[str, Any]]:
    """Return what `client_probe` needs; `passwords` are the applications' passwords by service."""
    return [
        {"connection": connection_of(contract, ca_file), "password": passwords[service]}
        for service, contract in sorted(contracts.items())
    ]


class FilterModule:
    """Register the filters."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return {
            "connection_of": connection_of,
            "contract_of": contract_of,
            "engines_on_host": engines_on_host,
            "probe_targets": probe_targets,
            "service_status": service_status,
        }
