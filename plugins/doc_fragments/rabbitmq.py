# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation shared by the RabbitMQ modules."""

from __future__ import annotations


class ModuleDocFragment:
    """Options that say how to reach the cluster."""

    DOCUMENTATION = r"""
options:
  member:
    description: Name of the member that runs on this host, without the Erlang prefix.
    type: str
    required: true
  members:
    description: All members that the cluster must have.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the member.
        type: str
        required: true
      address:
        description: Address of its management API.
        type: str
        required: true
  port:
    description: Port of the management API over TLS.
    type: int
    default: 15671
  ca_file:
    description: The authority that signed the members' certificates.
    type: path
    default: /etc/holdfast/pki/ca.crt
  monitor_password:
    description: Password of the user C(monitor).
    type: str
    required: true
  timeout:
    description: Deadline in seconds. Nothing waits longer.
    type: int
    default: 120
attributes:
  check_mode:
    description: Changes nothing and predicts.
    support: full
requirements:
  - Runs on a member, and reads and writes through the management API over verified TLS.
"""
