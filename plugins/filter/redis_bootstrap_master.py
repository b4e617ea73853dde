# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter: the member that a new Redis member joins."""

from __future__ import annotations

DOCUMENTATION = r"""
name: redis_bootstrap_master
short_description: The member that a new Redis member joins
version_added: 0.1.0
author: Holdfast (@holdfast)
description:
  - Decides from what every host of the play observed, never from the inventory.
  - A live master is joined. Where nothing exists anywhere, the first member becomes master.
  - Everything else is an error.
options:
  _input:
    description: Results of M(holdfast.stateful.redis_topology_info) by host name.
    type: dict
    required: true
  live_only:
    description: Only a live master will do, as a Sentinel needs one to watch.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Decide whom to join
  ansible.builtin.set_fact:
    join: "{{ observations | holdfast.stateful.redis_bootstrap_master }}"
"""

RETURN = r"""
_value:
  description: Name of the member.
  type: str
"""

from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.holdfast.stateful.plugins.module_utils.redis_topology import TopologyError, decide_master


def redis_bootstrap_master(observations: dict[str, Any], live_only: bool = False) -> str:
    """Return the name of the member to join; every host's observation must lead to the same one."""
    try:
        files = {name: item["files"] for name, item in observations.items()}
        decided = {decide_master(item["members"], files, live_only) for item in observations.values()}
    except (TopologyError, KeyError) as error:
        raise AnsibleFilterError(f"redis: {error}") from error
    if len(decided) != 1:
        raise AnsibleFilterError(
            f"redis: expected all hosts to see one master, found {', '.join(sorted(decided))}: run again"
        )
    return decided.pop()


class FilterModule:
    """Register the filter."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filter by name."""
        return {"redis_bootstrap_master": redis_bootstrap_master}
