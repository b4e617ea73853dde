#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Converge the settings of a running Sentinel and wait until the Sentinels are healthy."""

from __future__ import annotations

DOCUMENTATION = r"""
module: redis_sentinel
short_description: Converge the settings of a running Sentinel and wait until the Sentinels are healthy
version_added: 0.1.0
author: Holdfast (@holdfast)
description:
  - Compares settings with what the local Sentinel knows and applies them with C(SENTINEL SET) and
    C(SENTINEL CONFIG SET). Epochs, known replicas and known Sentinels are kept. C(RESET), C(REMOVE) and C(MONITOR) are
    never sent.
  - Loads the ACL file again when C(ACL LIST) says something else.
  - Then waits until every Sentinel knows all others, names the same master and has a quorum.
extends_documentation_fragment:
  - holdfast.stateful.redis
  - holdfast.stateful.redis.topology
options:
  state:
    description:
      - With V(removable), nothing is changed. The module fails unless the other Sentinels work without the local one.
    type: str
    choices: [converged, removable]
    default: converged
  local_name:
    description: Name of the local member, with O(state=removable).
    type: str
  host:
    description: Address of the local Sentinel.
    type: str
    default: 127.0.0.1
  settings:
    description:
      - Settings of the master, C(down-after-milliseconds), C(failover-timeout), C(parallel-syncs), C(quorum),
        C(auth-user) and C(auth-pass), and of the Sentinel itself, such as C(sentinel-user), C(sentinel-pass) and
        C(announce-ip).
      - Carries passwords, so give the task C(no_log).
    type: dict
    default: {}
  acl_file:
    description: Sentinel's ACL file.
    type: path
  certificate_file:
    description: Sentinel's certificate.
    type: path
  config_file:
    description: The file that Sentinel writes.
    type: path
    default: /etc/redis/sentinel/sentinel.conf
  wait_seconds:
    description: How long to wait for a healthy service.
    type: float
    default: 40.0
attributes:
  check_mode:
    description: Changes nothing and predicts.
    support: full
  diff_mode:
    description: Shows each setting that differs; passwords are not shown.
    support: full
"""

EXAMPLES = r"""
- name: Converge Sentinel
  holdfast.stateful.redis_sentinel:
    login_user: admin
    login_password: "{{ lookup('holdfast.stateful.secret', 'sessions/admin') }}"
    members: "{{ service_contract_service.members }}"
    sentinel_name: sessions
    settings: {down-after-milliseconds: 5000, quorum: 2}
  no_log: true
"""

RETURN = r"""
changed_settings:
  description: Settings that were changed.
  returned: always
  type: list
  elements: str
pending_restart:
  description: V(certificate) or V(program), which only a restart can change.
  returned: always
  type: list
  elements: str
acl_loaded:
  description: Whether the ACL file was loaded again.
  returned: always
  type: bool
master_address:
  description: Address of the master that the local Sentinel names.
  returned: with O(state=converged)
  type: str
epoch:
  description: Configuration epoch of the master.
  returned: with O(state=converged)
  type: int
problems:
  description: What is wrong with the Sentinels together.
  returned: always
  type: list
  elements: str
refusal:
  description: V(input) for a setting that cannot be, V(gate) where the Sentinels are not healthy.
  returned: on failure
  type: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.holdfast.stateful.plugins.module_utils.redis_client import LOGIN_SPEC, RedisError, login_of
from ansible_collections.holdfast.stateful.plugins.module_utils.redis_config import ConfigError
from ansible_collections.holdfast.stateful.plugins.module_utils.redis_converge import Outcome
from ansible_collections.holdfast.stateful.plugins.module_utils.redis_sentinel import (
    converge_sentinel,
    health_problems,
    removable_problems,
    wait_until,
)
from ansible_collections.holdfast.stateful.plugins.module_utils.redis_topology import TOPOLOGY_SPEC


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **LOGIN_SPEC,
            **TOPOLOGY_SPEC,
            "state": {"type": "str", "choices": ["converged", "removable"], "default": "converged"},
            "local_name": {"type": "str"},
            "host": {"type": "str", "default": "127.0.0.1"},
            "settings": {"type": "dict", "default": {}},
            "acl_file": {"type": "path"},
            "certificate_file": {"type": "path"},
            "config_file": {"type": "path", "default": "/etc/redis/sentinel/sentinel.conf"},
            "wait_seconds": {"type": "float", "default": 40.0},
        },
        required_if=[("state", "removable", ["local_name"])],
        supports_check_mode=True,
    )
    params = module.params
    # Passwords travel in a dictionary, so they are masked here and not by the argument spec.
    module.no_log_values.update(str(v) for k, v in params["settings"].items() if k.endswith("-pass") and v)
    outcome = Outcome(check=module.check_mode)
    known: dict = {}  # type: ignore[type-arg]  # sanity wants no typing import here
    problems: list[str] = []
    try:
        login = login_of(params)
        if params["state"] == "converged":
            known = converge_sentinel(params, login, outcome)
            if not module.check_mode:
                problems = wait_until(params, login, health_problems)
        else:
            problems = wait_until(params, login, lambda seen: removable_problems(seen, params["local_name"]))
    except ConfigError as error:
        module.fail_json(msg=str(error), refusal="input", problems=problems, **outcome.result(module._diff))
    except RedisError as error:
        module.fail_json(msg=str(error), problems=problems, **outcome.result(module._diff))
    result = {**outcome.result(module._diff), **known, "problems": problems}
    if problems:
        module.fail_json(
            msg=f"{params['sentinel_name']}: expected healthy Sentinels within {params['wait_seconds']:g} s, found: "
            + "; ".join(problems),
            refusal="gate",
            **result,
        )
    module.exit_json(**result)


if __name__ == "__main__":
    main()
