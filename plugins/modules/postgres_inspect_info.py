#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Inspect one PostgreSQL member as a role that may only read statistics."""

from __future__ import annotations

DOCUMENTATION = r"""
module: postgres_inspect_info
short_description: Inspect one PostgreSQL member as a role that may only read statistics
version_added: 0.1.0
author: Holdfast maintainers (@holdfast)
description:
  - Reports connection pressure, long and idle transactions, lock chains, wraparound, replication slots, checkpoints,
    dead rows and bloat, and indexes that are duplicate, invalid, unused or wanted, as data and as findings.
  - Needs a login that is a member of C(pg_monitor), never a superuser. Every question is bounded by O(timeout), and
    none waits for a lock longer than half a second.
  - Texts of statements are not read, because they may hold secrets.
  - A question without an answer is listed in RV(unobserved), and never counts as "nothing found".
  - An index is only unused when no member used it, so RV(databases) lists candidates and the filter
    C(holdfast.stateful.postgres_inspection) judges them.
options:
  address:
    description: Address of the member, which its certificate names.
    type: str
    required: true
  port:
    description: Port of PostgreSQL.
    type: int
    default: 5432
  databases:
    description: Databases to look into.
    type: list
    elements: str
    required: true
  user:
    description: The login.
    type: str
    default: holdfast_monitor
  password:
    description: Password of O(user).
    type: str
    required: true
  ca:
    description: Certificate of the authority that signed the member's certificate.
    type: path
    default: /etc/holdfast/pki/ca.crt
  timeout:
    description: Seconds that a question may take.
    type: float
    default: 5
  thresholds:
    description: From where on something is a finding. Keys that are not given keep their defaults.
    type: dict
    default: {}
    suboptions:
      long_transaction_seconds:
        description: Age of a transaction, or of a prepared one.
        type: int
        default: 300
      idle_in_transaction_seconds:
        description: How long a transaction does nothing.
        type: int
        default: 60
      lock_wait_seconds:
        description: How long somebody waits for a lock.
        type: int
        default: 5
      connections_percent:
        description: Connections in use, of the cluster's or of a role's limit.
        type: int
        default: 80
      wraparound_percent:
        description: Age of the oldest transaction, of what PostgreSQL can count.
        type: int
        default: 30
      slot_retained_mb:
        description: WAL that a replication slot holds, in MiB.
        type: int
        default: 1024
      requested_checkpoints_percent:
        description: Checkpoints that did not come by the clock.
        type: int
        default: 50
      table_mb:
        description: Size from which a table is judged, in MiB.
        type: int
        default: 64
      index_mb:
        description: Size from which an unused index is reported, in MiB.
        type: int
        default: 8
      dead_percent:
        description: Dead rows of a table.
        type: int
        default: 20
      bloat_percent:
        description: Dead and free space of a table.
        type: int
        default: 40
      scans:
        description: How often a large table was read as a whole.
        type: int
        default: 100
      unused_days:
        description: How old statistics must be before they say that an index is unused.
        type: int
        default: 14
attributes:
  check_mode:
    description: Only reads.
    support: full
"""

EXAMPLES = r"""
- name: Inspect this member
  holdfast.stateful.postgres_inspect_info:
    address: 10.20.0.11
    databases: [orders]
    password: "{{ lookup('holdfast.stateful.secret', 'orders-db/monitor') }}"
    thresholds: {long_transaction_seconds: 60}
"""

RETURN = r"""
cluster:
  description: What is true of the whole member; an answer that is missing is null.
  returned: success
  type: dict
databases:
  description: What is true of each database.
  returned: success
  type: dict
findings:
  description: What is over a threshold.
  returned: success
  type: list
  elements: dict
  contains:
    severity:
      description: V(critical), V(warning) or V(info).
      type: str
    kind:
      description: What it is about, such as V(lock_chain).
      type: str
    thing:
      description: Which session, table, index, slot or role.
      type: str
    seen:
      description: What was observed.
      type: str
    expected:
      description: What would be no finding.
      type: str
    do:
      description: What to do about it.
      type: str
unobserved:
  description: Questions without an answer, each with the reason.
  returned: success
  type: list
  elements: str
thresholds:
  description: The thresholds that were used.
  returned: success
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.holdfast.stateful.plugins.module_utils.postgres_findings import THRESHOLDS, judge
from ansible_collections.holdfast.stateful.plugins.module_utils.postgres_inspect import inspect
from ansible_collections.holdfast.stateful.plugins.module_utils.postgres_objects import ObjectsError


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "address": {"type": "str", "required": True},
            "port": {"type": "int", "default": 5432},
            "databases": {"type": "list", "elements": "str", "required": True},
            "user": {"type": "str", "default": "holdfast_monitor"},
            "password": {"type": "str", "required": True, "no_log": True},
            "ca": {"type": "path", "default": "/etc/holdfast/pki/ca.crt"},
            "timeout": {"type": "float", "default": 5},
            "thresholds": {
                "type": "dict",
                "default": {},
                "options": {name: {"type": "int", "default": value} for name, value in THRESHOLDS.items()},
            },
        },
        supports_check_mode=True,
    )
    params = module.params
    limits = {**THRESHOLDS, **{name: value for name, value in params["thresholds"].items() if value is not None}}
    try:
        found = inspect({**params, "thresholds": limits})
    except ObjectsError as error:
        module.fail_json(msg=str(error))
    module.exit_json(
        changed=False,
        cluster=found.cluster,
        databases=found.databases,
        findings=judge(found.cluster, found.databases, limits),
        unobserved=found.unobserved,
        thresholds=limits,
    )


if __name__ == "__main__":
    main()
