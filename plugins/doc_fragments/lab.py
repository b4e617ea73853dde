# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation shared by the lab's modules."""

from __future__ import annotations


class ModuleDocFragment:
    """Options that name the lab."""

    DOCUMENTATION = r"""
options:
  lab:
    description: The lab, as P(holdfast.stateful.lab#lookup) returns it; only its name and checkout are read.
    type: dict
    required: true
attributes:
  check_mode:
    description: Can run in check mode and predicts the change without making it.
    support: full
requirements:
  - Debian 12 or newer, root, systemd-container, mmdebstrap, nftables, iproute2
"""
