# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the options that say which cluster a standby cluster follows."""

from __future__ import annotations


class ModuleDocFragment:
    """Where the source is, and how it is asked."""

    DOCUMENTATION = r"""
options:
  sources:
    description: The members of the source. Their order decides nothing.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the member.
        type: str
        required: true
      address:
        description: Its address.
        type: str
        required: true
  source_port:
    description: PostgreSQL's port there.
    type: int
    default: 5432
  source_user:
    description: Role that this host's certificate may be there. It only looks.
    type: str
    default: rewind
  source_ca:
    description: Certificates of the authorities that may have signed the source's certificates.
    type: path
    default: /etc/holdfast/pki/ca.crt
  slot:
    description: The replication slot that the source keeps for this cluster.
    type: str
    required: true
"""
