#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Observe the members of all services on one host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: service_status_info
author: Holdfast maintainers (@holdfast)
version_added: "0.1.0"
short_description: What the members on this host say of themselves
description:
  - Asks the local member of each given service through its own protocol, all at once, in one call. Changes nothing.
  - A member that does not answer in time is reported as V(unknown); the module itself does not fail for it.
  - Its action plugin picks the services on the host and their monitoring passwords, on the controller. For a host
    without any there is no remote call.
options:
  contracts:
    description: The resolved contracts, by service. The action plugin reads them; hosts never get them.
    type: dict
  secrets_file:
    description: Path of the secrets file on the controller, which holds V(SERVICE/monitor) for every service.
    type: path
  services:
    description: The services with a member on this host, as the action plugin sends them.
    type: list
    elements: dict
    default: []
    suboptions:
      contract:
        description: The service's contract.
        type: dict
        required: true
      credentials:
        description: Who asks.
        type: dict
        required: true
        suboptions:
          name:
            description: Name of the member on this host.
            type: str
            required: true
          user:
            description: Name of the monitoring account.
            type: str
            required: true
          password:
            description: Password of the monitoring account.
            type: str
            required: true
  timeout:
    description: Seconds that an observation may take.
    type: float
    default: 1.5
attributes:
  check_mode:
    description: Only reads.
    support: full
"""

EXAMPLES = r"""
- name: Ask the local members
  holdfast.stateful.service_status_info:
    contracts: "{{ service_contracts }}"
    secrets_file: "{{ holdfast_secrets_file }}"
"""

RETURN = r"""
services:
  description: What was seen, by service.
  returned: always
  type: dict
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.holdfast.stateful.plugins.module_utils.service_status import ARGUMENT_SPEC


def observer(engine: str) -> Callable[[dict[str, Any], dict[str, Any], float], dict[str, Any]]:
    """Return the engine's observer, importing only what this host needs."""
    if engine == "postgres":
        from ansible_collections.holdfast.stateful.plugins.module_utils import postgres_status

        return postgres_status.observe_local
    if engine == "redis":
        from ansible_collections.holdfast.stateful.plugins.module_utils import redis_status

        return redis_status.observe_local
    from ansible_collections.holdfast.stateful.plugins.module_utils import rabbitmq_status

    return rabbitmq_status.observe_local


def observe(item: dict[str, Any], timeout: float) -> dict[str, Any]:
    """Observe one service; whatever goes wrong makes it unknown, never healthy."""
    contract = item["contract"]
    try:
        return observer(contract["engine"])(contract, item["credentials"], timeout)
    except Exception as error:  # noqa: BLE001 - an observer that breaks must not hide the others
        return {"state": "unknown", "problems": [f"could not be observed: {type(error).__name__}: {error}"]}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec=ARGUMENT_SPEC,
        supports_check_mode=True,
    )
    items, timeout = module.params["services"], module.params["timeout"]
    with ThreadPoolExecutor(max_workers=max(1, len(items))) as pool:
        seen = list(pool.map(lambda item: observe(item, timeout), items))
    module.exit_json(
        changed=False, services={item["contract"]["service"]: found for item, found in zip(items, seen, strict=True)}
    )


if __name__ == "__main__":
    main()
