# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the options that the etcd modules share."""

from __future__ import annotations


class ModuleDocFragment:
    """How an etcd cluster is asked."""

    DOCUMENTATION = r"""
options:
  name:
    description: Name of this host's member.
    type: str
    required: true
  members:
    description: The declared members.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the member.
        type: str
        required: true
      address:
        description: Address at which members and clients reach it.
        type: str
        required: true
  client_port:
    description: Port for clients.
    type: int
    default: 2379
  peer_port:
    description: Port for peers.
    type: int
    default: 2380
  user:
    description: Who asks for what needs rights. Health and the list of members need none.
    type: str
    default: ""
  password:
    description: Password of O(user).
    type: str
    default: ""
"""
