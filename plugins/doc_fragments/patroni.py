# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the options that the Patroni modules share."""

from __future__ import annotations


class ModuleDocFragment:
    """Options that say which cluster, and which member this host is."""

    DOCUMENTATION = r"""
options:
  name:
    description: Name of this host's member.
    type: str
    required: true
  scope:
    description: Patroni's scope.
    type: str
    required: true
  members:
    description: The declared members. Their order decides nothing.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the member.
        type: str
        required: true
      address:
        description: Address of its REST API.
        type: str
        required: true
  restapi_port:
    description: Port of the REST API.
    type: int
    default: 8008
  synchronous_nodes:
    description: How many synchronous standbys a healthy cluster has.
    type: int
    default: 0
  leaving:
    description: Members that are no longer declared and still there, because others are to take their place first.
    type: list
    elements: str
    default: []
"""
