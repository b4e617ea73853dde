# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation shared by the Redis modules."""

from __future__ import annotations


class ModuleDocFragment:
    """Options that say how to reach Redis and Sentinel."""

    DOCUMENTATION = r"""
options:
  login_user:
    description: ACL user.
    type: str
    required: true
  login_password:
    description: Password of O(login_user).
    type: str
    required: true
  ca_file:
    description: Certificates that the server's certificate is verified with.
    type: path
    default: /etc/holdfast/pki/ca.crt
  connect_timeout:
    description: Seconds to wait for a connection or a reply.
    type: float
    default: 5.0
notes:
  - Needs nothing on the host but Python. Connections use TLS; the server's certificate and name are always verified.
"""

    TOPOLOGY = r"""
options:
  members:
    description: All members of the service, each with C(name) and C(address).
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the member, the one in the inventory.
        type: str
        required: true
      address:
        description: Address of the member, in its certificate and in the replication.
        type: str
        required: true
  port:
    description: TLS port of Redis.
    type: int
    default: 6379
  sentinel_port:
    description: TLS port of Sentinel.
    type: int
    default: 26379
  sentinel_name:
    description: The name that Sentinel knows the master by.
    type: str
    required: true
"""
