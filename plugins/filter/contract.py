# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters that read resolved contracts: which services sit on a host, and which ports its firewall opens."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError

Contracts = Mapping[str, Mapping[str, Any]]


def _checked(contracts: Any, name: str) -> Contracts:
    if not isinstance(contracts, Mapping):
        raise AnsibleFilterError(
            f"{name}: expected the dictionary 'contracts' that holdfast.stateful.service_contract returns, "
            f"found {type(contracts).__name__}"
        )
    for service, contract in contracts.items():
        if not isinstance(contract, Mapping) or "engine" not in contract or "members" not in contract:
            raise AnsibleFilterError(f"{name}: the value of '{service}' is no contract: it has no engine or no members")
    return contracts


def _names(members: Any) -> set[str]:
    return {str(member["name"]) for member in members}


def _dcs(contract: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return list(contract.get("settings", {}).get("etcd", {}).get("members", []))


def _followers(contract: Mapping[str, Any]) -> set[str]:
    """Return the addresses from which standby clusters on other sites stream."""
    sites = contract.get("settings", {}).get("standby_sites", [])
    return {str(member["address"]) for site in sites for member in site["members"]}


def _virtual(contract: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what a service declares of a virtual address; empty where it has none."""
    return dict(contract.get("settings", {}).get("virtual_address", {}))


def _own_address(contract: Mapping[str, Any], host: str) -> str:
    """Return the address of a host as a member of a service, or "" where it is none."""
    return next((str(member["address"]) for member in contract["members"] if member["name"] == host), "")


def services_on_host(contracts: Any, host: str) -> dict[str, str]:
    """Return which service of each engine the host is a member of."""
    checked = _checked(contracts, "services_on_host")
    return {
        str(contract["engine"]): str(service)
        for service, contract in sorted(checked.items())
        if host in _names(contract["members"])
    }


def engine_services(contracts: Any, engine: str) -> list[str]:
    """Return the ids of all services of an engine, sorted."""
    return sorted(
        str(s) for s, contract in _checked(contracts, "engine_services").items() if contract["engine"] == engine
    )


def firewall_rules(contracts: Any, host: str) -> list[dict[str, Any]]:
    """Return the ports the host opens and to whom, sorted by port."""
    rules: dict[tuple[int, str], dict[str, Any]] = {}
    for service, contract in sorted(_checked(contracts, "firewall_rules").items()):
        members, dcs = contract["members"], _dcs(contract)
        inside = {str(member["address"]) for member in (*members, *dcs)}
        for endpoint in contract["endpoints"]:
            if endpoint["source"] == "local":
                continue  # it listens on the host's own address for itself
            carriers = dcs if str(endpoint["name"]).startswith("etcd-") else members
            if host not in _names(carriers):
                continue
            sources = inside | (set(contract["clients"]) if endpoint["source"] == "clients" else set())
            if endpoint["name"] == "postgres":
                sources |= _followers(contract)
            rule = rules.setdefault(
                (int(endpoint["port"]), "tcp"),
                {"port": int(endpoint["port"]), "protocol": "tcp", "sources": [], "comment": ""},
            )
            rule["sources"] = sorted({*rule["sources"], *sources})
            comment = f"{service}: {endpoint['name']}"
            rule["comment"] = ", ".join(text for text in (rule["comment"], comment) if text)
        if host in _names(members) and _virtual(contract):
            addresses = sorted(str(member["address"]) for member in members)
            rules[(0, "vrrp")] = {"protocol": "vrrp", "sources": addresses, "comment": f"{service}: virtual address"}
    return [rules[key] for key in sorted(rules)]


def firewall_redirects(contracts: Any, host: str) -> list[dict[str, Any]]:
    """Return the ports of virtual addresses that lead to listeners on the host's own address, sorted by port."""
    found = []
    for service, contract in sorted(_checked(contracts, "firewall_redirects").items()):
        virtual, own = _virtual(contract), _own_address(contract, host)
        if not virtual or not own:
            continue
        for endpoint in contract["endpoints"]:
            if endpoint["source"] == "clients":
                comment = f"{service}: {endpoint['name']}"
                found.append({"address": virtual["address"], "port": endpoint["port"], "to": own, "comment": comment})
    return sorted(found, key=lambda item: int(item["port"]))


def certificate_names(contracts: Any, host: str) -> dict[str, list[str]]:
    """Return what the host's certificate carries beside its own name: names and addresses of its services' entries."""
    names = [item["name"] for item in local_names(contracts, host)]
    addresses: list[str] = []
    for _service, contract in sorted(_checked(contracts, "certificate_names").items()):
        virtual, own = _virtual(contract), _own_address(contract, host)
        addresses += [own] if own else []
        if own and virtual:
            addresses.append(str(virtual["address"]))
            names += [str(virtual["name"])] if virtual["name"] else []
    return {"names": names, "addresses": list(dict.fromkeys(addresses))}


def virtual_address(contracts: Any, host: str) -> dict[str, Any]:
    """Return the virtual address of the PostgreSQL service that the host is a member of; empty where there is none."""
    for contract in _checked(contracts, "virtual_address").values():
        if host in _names(contract["members"]) and _virtual(contract):
            return dict(_virtual(contract))
    return {}


def local_names(contracts: Any, host: str) -> list[dict[str, str]]:
    """Return the names under which the host reaches services through its own HAProxy, with that address."""
    return [
        {"name": str(contract["settings"]["haproxy"][key]), "address": str(contract["settings"]["haproxy"]["address"])}
        for _service, contract in sorted(_checked(contracts, "local_names").items())
        if contract["engine"] == "postgres" and host in _names(contract["members"])
        for key in ("read_only_name", "read_write_name")
    ]


def cluster_lines(contracts: Any, host: str) -> list[dict[str, str]]:
    """Return the lines by which the configuration on a host is that of its clusters: in which file, and which line."""
    found = []
    for service, contract in sorted(_checked(contracts, "cluster_lines").items()):
        if contract["engine"] == "postgres" and host in _names(_dcs(contract)):
            found.append({"path": "/etc/etcd/etcd.env", "line": f"ETCD_DATA_DIR=/var/lib/etcd/{service}"})
        if contract["engine"] == "postgres" and host in _names(contract["members"]):
            scope = json.dumps(contract["settings"]["scope"])
            found.append({"path": "/etc/patroni/config.yml", "line": f"scope: {scope}"})
    return found


def also_from(rules: list[dict[str, Any]], addresses: list[str]) -> list[dict[str, Any]]:
    """Return firewall rules that let some more addresses in: those of members that are about to leave."""
    return [{**rule, "sources": sorted({*rule["sources"], *addresses})} for rule in rules]


def clusters_elsewhere(contracts: Any, host: str, service: str) -> list[str]:
    """Return the other PostgreSQL services whose database, or whose consensus store of its own, the host carries."""
    checked = _checked(contracts, "clusters_elsewhere")
    own = _names(_dcs(checked[service]))
    return [
        str(other)
        for other, contract in sorted(checked.items())
        if contract["engine"] == "postgres" and other != service
        if host in _names(contract["members"]) or host in _names(_dcs(contract)) - own
    ]


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return {
            "also_from": also_from,
            "cluster_lines": cluster_lines,
            "clusters_elsewhere": clusters_elsewhere,
            "services_on_host": services_on_host,
            "engine_services": engine_services,
            "firewall_rules": firewall_rules,
            "firewall_redirects": firewall_redirects,
            "certificate_names": certificate_names,
            "virtual_address": virtual_address,
            "local_names": local_names,
        }
