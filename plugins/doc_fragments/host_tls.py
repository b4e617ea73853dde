# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the certificate options that engine modules share."""

from __future__ import annotations


class ModuleDocFragment:
    """Certificate options."""

    DOCUMENTATION = r"""
options:
  ca:
    description: Certificate of the authority that signed the members' certificates.
    type: path
    default: /etc/holdfast/pki/ca.crt
  cert:
    description: Certificate that this host shows.
    type: path
    default: /etc/holdfast/pki/host.crt
  key:
    description: Private key of O(cert).
    type: path
    default: /etc/holdfast/pki/host.key
"""
