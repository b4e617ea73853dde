#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Observe who is master, who follows and what the Sentinels say."""

from __future__ import annotations

DOCUMENTATION = r"""
module: redis_topology_info
short_description: Observe who is master, who follows and what the Sentinels say
version_added: 0.1.0
author: Holdfast (@holdfast)
description:
  - Asks every member's Redis and Sentinel from this host, and looks at this host's files. Changes nothing.
  - Everything that keeps the service from being healthy is returned in RV(problems), all at once.
  - A member that cannot be observed is a problem, never a pass.
extends_documentation_fragment:
  - holdfast.stateful.redis
  - holdfast.stateful.redis.topology
options:
  with_sentinel:
    description: Whether the Sentinels must be there and agree.
    type: bool
    default: true
  max_lag_seconds:
    description: How far a replica may be behind.
    type: float
    default: 10.0
  wait_seconds:
    description: How long to wait until there is no problem. With V(0), look once.
    type: float
    default: 0.0
  require_healthy:
    description: Whether a problem that is left makes the module fail.
    type: bool
    default: false
  config_file:
    description: Configuration of the local Redis.
    type: path
    default: /etc/redis/server/redis.conf
  sentinel_config_file:
    description: Configuration of the local Sentinel.
    type: path
    default: /etc/redis/sentinel/sentinel.conf
  data_directory:
    description: Data of the local Redis.
    type: path
    default: /var/lib/redis
attributes:
  check_mode:
    description: Changes nothing in any mode.
    support: full
"""

EXAMPLES = r"""
- name: Wait until the service is healthy
  holdfast.stateful.redis_topology_info:
    login_user: admin
    login_password: "{{ lookup('holdfast.stateful.secret', 'sessions/admin') }}"
    members: "{{ service_contract_service.members }}"
    sentinel_name: sessions
    wait_seconds: 30
    require_healthy: true
"""

RETURN = r"""
members:
  description: What each member's Redis and Sentinel said, by name.
  returned: always
  type: dict
master:
  description: Name of the one master, or none.
  returned: always
  type: str
problems:
  description: Everything that is not as it should be.
  returned: always
  type: list
  elements: str
files:
  description: Whether configurations and data are on this host's disk.
  returned: always
  type: dict
waited_seconds:
  description: How long it took until RV(problems) was empty, or until the deadline.
  returned: always
  type: float
refusal:
  description: V(gate) when the module failed because of O(require_healthy).
  returned: on failure
  type: str
"""

import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.holdfast.stateful.plugins.module_utils.redis_client import LOGIN_SPEC, login_of
from ansible_collections.holdfast.stateful.plugins.module_utils.redis_topology import (
    TOPOLOGY_SPEC,
    connector,
    observe,
    observe_files,
    problems,
)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **LOGIN_SPEC,
            **TOPOLOGY_SPEC,
            "with_sentinel": {"type": "bool", "default": True},
            "max_lag_seconds": {"type": "float", "default": 10.0},
            "wait_seconds": {"type": "float", "default": 0.0},
            "require_healthy": {"type": "bool", "default": False},
            "config_file": {"type": "path", "default": "/etc/redis/server/redis.conf"},
            "sentinel_config_file": {"type": "path", "default": "/etc/redis/sentinel/sentinel.conf"},
            "data_directory": {"type": "path", "default": "/var/lib/redis"},
        },
        supports_check_mode=True,
    )
    params = module.params
    connect = connector(login_of(params))
    started = time.monotonic()
    while True:
        seen = observe(connect, params["members"], params["port"], params["sentinel_port"], params["sentinel_name"])
        found = problems(seen, params["max_lag_seconds"], params["with_sentinel"])
        waited = time.monotonic() - started
        if not found or waited >= params["wait_seconds"]:
            break
        time.sleep(0.4)
    masters = [name for name, item in seen.items() if item["redis"].get("role") == "master"]
    result = {
        "changed": False,
        "members": seen,
        "master": masters[0] if len(masters) == 1 else None,
        "problems": found,
        "files": observe_files(params["config_file"], params["sentinel_config_file"], params["data_directory"]),
        "waited_seconds": round(waited, 1),
    }
    if found and params["require_healthy"]:
        module.fail_json(
            msg=f"{params['sentinel_name']}: expected a healthy service within {params['wait_seconds']:g} s, found: "
            + "; ".join(found),
            refusal="gate",
            **result,
        )
    module.exit_json(**result)


if __name__ == "__main__":
    main()
