#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ensure that a vault-encrypted file on the controller holds a random secret for every name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: vault_secrets
short_description: Ensure that a vault-encrypted file on the controller holds a random secret for every name
version_added: 0.1.0
author: Holdfast (@holdfast)
description:
  - Generates a secret for every name that has none, and changes one that exists only where O(renew) or O(values) name
    it.
  - Works on the controller only, through its action plugin, so no host ever sees the file.
  - The file is encrypted with the vault passwords of the run, written completely or not at all, and only one run at a
    time writes it. A file that cannot be decrypted is never overwritten.
  - Read the secrets with P(holdfast.stateful.secret#lookup).
options:
  path:
    description:
      - The file, relative paths start at the playbook. Its folder is made with mode 0700 when it does not exist.
    type: path
    required: true
  names:
    description: Names of the secrets, such as V(orders-db/app).
    type: list
    elements: str
    required: true
  renew:
    description: Names that get a new secret in every run.
    type: list
    elements: str
    default: []
  values:
    description: Values beside the secrets that say which of them is in force. Texts by name.
    type: dict
    default: {}
  length:
    description: Number of letters and digits of a new secret, at least 16.
    type: int
    default: 32
  vault_id:
    description: Vault identity to encrypt with. Any password of the run may decrypt.
    type: str
    default: default
attributes:
  check_mode:
    description: Generates nothing and predicts what would be.
    support: full
  diff_mode:
    description: There is nothing to show of a secret.
    support: none
"""

EXAMPLES = r"""
- name: Generate the secrets of the orders database
  holdfast.stateful.vault_secrets:
    path: "{{ inventory_dir }}/.holdfast/secrets.yml"
    names: [orders-db/superuser, orders-db/app]
  run_once: true
"""

RETURN = r"""
generated:
  description: Names that got a new secret, never the secrets.
  returned: always
  type: list
  elements: str
stored:
  description: Names that were renewed or got another value, never the values.
  returned: always
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule


def main() -> None:
    """Refuse to run on a host."""
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "names": {"type": "list", "elements": "str", "required": True},
            "renew": {"type": "list", "elements": "str", "default": []},
            "values": {"type": "dict", "default": {}},
            "length": {"type": "int", "default": 32},
            "vault_id": {"type": "str", "default": "default"},
        },
        supports_check_mode=True,
    )
    module.fail_json(
        msg="vault_secrets: expected to run on the controller through its action plugin, found itself on a host:"
        " call it as holdfast.stateful.vault_secrets"
    )


if __name__ == "__main__":
    main()
