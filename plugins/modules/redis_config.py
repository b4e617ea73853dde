#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Converge the settings, users and certificates of a running Redis."""

from __future__ import annotations

DOCUMENTATION = r"""
module: redis_config
short_description: Converge the settings, users and certificates of a running Redis
version_added: 0.1.0
author: Holdfast (@holdfast)
description:
  - Compares directives with C(CONFIG GET), applies them with C(CONFIG SET) and keeps them with C(CONFIG REWRITE). The
    configuration file belongs to the server; whom it replicates from is never touched.
  - Loads the ACL file again when C(ACL LIST) says something else, and the certificates when the server presents
    others than the files hold.
  - What only a restart can change is reported in RV(pending_restart), and is observed anew in every run.
extends_documentation_fragment: holdfast.stateful.redis
options:
  host:
    description: Address of the server.
    type: str
    default: 127.0.0.1
  port:
    description: TLS port of the server.
    type: int
    default: 6379
  settings:
    description: Directives of redis.conf and their values.
    type: dict
    default: {}
  acl_file:
    description: The server's ACL file.
    type: path
  certificate_file:
    description: The server's certificate.
    type: path
  wait_seconds:
    description: How long to wait for a server that starts or loads its data.
    type: float
    default: 30.0
  offline_file:
    description:
      - Configuration file of a stopped server. Instead of asking the server, O(settings) are written into the file.
      - Refused while the server runs, because it would write its own values over them.
    type: path
attributes:
  check_mode:
    description: Changes nothing and predicts. Which directives need a restart is only known after trying to set them.
    support: full
  diff_mode:
    description: Shows each directive that differs; secrets are not shown.
    support: full
"""

EXAMPLES = r"""
- name: Converge the settings of Redis
  holdfast.stateful.redis_config:
    login_user: admin
    login_password: "{{ lookup('holdfast.stateful.secret', 'sessions/admin') }}"
    settings: {maxmemory: 512mb, appendonly: true}
    acl_file: /etc/redis/users.acl
"""

RETURN = r"""
changed_settings:
  description: Directives that were changed in the running server.
  returned: always
  type: list
  elements: str
pending_restart:
  description: Directives, or V(program) after an upgrade, that only a restart can change.
  returned: always
  type: list
  elements: str
acl_loaded:
  description: Whether the ACL file was loaded again.
  returned: always
  type: bool
certificate_loaded:
  description: Whether the certificates were loaded again.
  returned: always
  type: bool
role:
  description: Part of the server in the replication, V(master) or V(slave).
  returned: when the server runs
  type: str
refusal:
  description: V(input) for a setting that cannot be, V(gate) where safety forbids it.
  returned: on failure
  type: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.holdfast.stateful.plugins.module_utils.redis_client import LOGIN_SPEC, RedisError, login_of
from ansible_collections.holdfast.stateful.plugins.module_utils.redis_config import ConfigError, desired_settings
from ansible_collections.holdfast.stateful.plugins.module_utils.redis_converge import (
    Outcome,
    converge,
    converge_offline,
)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **LOGIN_SPEC,
            "host": {"type": "str", "default": "127.0.0.1"},
            "port": {"type": "int", "default": 6379},
            "settings": {"type": "dict", "default": {}},
            "acl_file": {"type": "path"},
            "certificate_file": {"type": "path"},
            "wait_seconds": {"type": "float", "default": 30.0},
            "offline_file": {"type": "path"},
        },
        supports_check_mode=True,
    )
    params = module.params
    outcome = Outcome(check=module.check_mode)
    try:
        wanted = desired_settings(params["settings"])
        action = converge_offline if params["offline_file"] else converge
        action(params, wanted, login_of(params), outcome)
    except ConfigError as error:
        module.fail_json(msg=str(error), refusal="input", **outcome.result(module._diff))
    except RedisError as error:
        module.fail_json(msg=str(error), **outcome.result(module._diff))
    module.exit_json(**outcome.result(module._diff))


if __name__ == "__main__":
    main()
