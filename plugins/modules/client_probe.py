#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prove a service from a client's side."""

from __future__ import annotations

DOCUMENTATION = r"""
module: client_probe
author: Holdfast maintainers (@holdfast)
version_added: "0.1.0"
short_description: Proves a service from a client's side
description:
  - Connects as an application does (through the client address, over verified TLS), writes sequence-numbered records,
    each of them acknowledged, reads them back, and tries what must be refused.
  - Fails when anything does not hold. Removes its own records.
options:
  targets:
    description: The services to prove.
    type: list
    elements: dict
    required: true
    suboptions:
      connection:
        description: What an application needs to connect, as C(holdfast connect) prints it, without the password.
        type: dict
        required: true
      password:
        description: The application's password.
        type: str
        required: true
  records:
    description: How many records to write.
    type: int
    default: 20
  timeout:
    description: Seconds that each attempt may take.
    type: float
    default: 5.0
attributes:
  check_mode:
    description: Writes nothing in check mode, and says so by being skipped.
    support: full
requirements: [psycopg, redis, pika]
"""

EXAMPLES = r"""
- name: Prove the orders database
  holdfast.stateful.client_probe:
    targets:
      - connection: "{{ connection }}"
        password: "{{ lookup('holdfast.stateful.secret', 'orders-db/app') }}"
"""

RETURN = r"""
proof:
  description: For each service whether all held, and the checks with what was seen.
  returned: always
  type: list
  elements: dict
"""

import secrets
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.holdfast.stateful.plugins.module_utils.probe import ProbeError, Target, probe_for


def target_of(connection: dict[str, Any], password: str, timeout: float) -> Target:
    """Build the target from what `holdfast connect` prints."""
    return Target(
        service=connection["service"],
        engine=connection["engine"],
        hosts=tuple((item["host"], int(item["port"])) for item in connection["hosts"]),
        sentinels=tuple((item["host"], int(item["port"])) for item in connection.get("sentinels") or []),
        sentinel_name=connection.get("sentinel_name") or "",
        database=connection.get("database") or "",
        vhost=connection.get("vhost") or "",
        user=connection["user"],
        password=password,
        ca_file=connection["ca_file"],
        timeout=timeout,
    )


def prove(item: dict[str, Any], records: int, timeout: float) -> dict[str, Any]:
    """Prove one service and return its proof; a service that can't be reached is a proof that does not hold."""
    connection = item["connection"]
    proof = {"service": connection["service"], "engine": connection["engine"]}
    try:
        target = target_of(connection, item["password"], timeout)
        checks = [check.to_dict() for check in probe_for(target).prove(secrets.token_hex(6), records)]
    except ProbeError as error:
        checks = [{"name": "write and read as an application", "ok": False, "detail": str(error)}]
    return {**proof, "ok": all(check["ok"] for check in checks), "checks": checks}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "targets": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "connection": {"type": "dict", "required": True},
                    "password": {"type": "str", "required": True, "no_log": True},
                },
            },
            "records": {"type": "int", "default": 20},
            "timeout": {"type": "float", "default": 5.0},
        },
        supports_check_mode=True,
    )
    if module.check_mode:
        module.exit_json(changed=False, skipped=True, proof=[], msg="a proof writes, so check mode skips it")
    targets = module.params["targets"]
    if not targets:
        module.fail_json(msg="nothing to prove: the catalog declares no service", proof=[], refusal="input")
    with ThreadPoolExecutor(max_workers=len(targets)) as pool:
        proof = list(pool.map(lambda item: prove(item, module.params["records"], module.params["timeout"]), targets))
    failed = [f"{p['service']}: {c['name']}: {c['detail']}" for p in proof for c in p["checks"] if not c["ok"]]
    if failed:
        module.fail_json(msg="not proven: " + " | ".join(failed), proof=proof)
    module.exit_json(changed=False, proof=proof)


if __name__ == "__main__":
    main()
