# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The certificate options that engine modules share."""

from __future__ import annotations

from typing import Any

PKI = "/etc/holdfast/pki"

TLS_SPEC: dict[str, dict[str, Any]] = {
    "ca": {"type": "path", "default": f"{PKI}/ca.crt"},
    "cert": {"type": "path", "default": f"{PKI}/host.crt"},
    # The path of a key is no secret.
    "key": {"type": "path", "default": f"{PKI}/host.key", "no_log": False},
}
