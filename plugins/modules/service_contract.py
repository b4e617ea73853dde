#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name; nothing here runs."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: service_contract
short_description: Validates the service catalog and resolves contracts, on the controller
description:
  - Validates every entry of a service catalog against the schema in C(roles/service_contract/meta/argument_specs.yml)
    and against the cross-field rules, and derives what each engine's role configures, with a reason for each value.
  - All violations of all entries are collected, then the task fails once.
  - Runs on the controller and makes no remote call.
version_added: 0.1.0
author:
  - Holdfast maintainers (@holdfast)
options:
  catalog:
    description:
      - The catalog, a dictionary of entries by service id.
      - Without it the variable C(service_catalog) is read, and templates are resolved entry by entry, so that an
        expression that fails is reported beside all other violations.
    type: raw
  service_id:
    description:
      - Return the contract of this service only. The whole catalog is validated in any case.
    type: str
    default: ""
  require_facts:
    description:
      - Refuse members whose memory is not known, instead of skipping the memory rules for them.
    type: bool
    default: false
notes:
  - The address of a member is C(host_baseline_address), else C(ansible_host), else its name in the inventory.
  - The memory of a member is C(host_baseline_memory_mb), else the gathered fact C(memtotal_mb), else unknown.
attributes:
  check_mode:
    description: Can run in check mode, since it never changes anything.
    support: full
"""

EXAMPLES = r"""
- name: Validate the catalog
  holdfast.stateful.service_contract:

- name: Resolve one service, and insist on knowing every member's memory
  holdfast.stateful.service_contract:
    catalog: "{{ service_catalog }}"
    service_id: orders-db
    require_facts: true
  register: resolved

- name: Show why the timers are what they are
  ansible.builtin.debug:
    var: resolved.contracts['orders-db'].decisions
"""

RETURN = r"""
contracts:
  description: The contracts by service id, in the shape that ARCHITECTURE.md describes.
  returned: success
  type: dict
  sample: {"orders-db": {"engine": "postgres", "members": [{"name": "db1", "address": "10.20.0.11"}]}}
refusal:
  description: The word V(input), so that a caller can tell a refused catalog from a failure.
  returned: when the catalog is refused
  type: str
  sample: input
violations:
  description: Every reason for the refusal.
  returned: when the catalog is refused
  type: list
  elements: dict
  contains:
    path:
      description: The offending key.
      type: str
      sample: service_catalog.orders-db.budget.rto_seconds
    rule:
      description: Id of the rule.
      type: str
      sample: rto-below-floor
    wrong:
      description: What is wrong there.
      type: str
    why:
      description: Why the rule exists.
      type: str
    nearest:
      description: The nearest legal choice.
      type: str
"""
