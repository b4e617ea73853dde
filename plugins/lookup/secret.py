# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Lookup: a generated secret."""

from __future__ import annotations

DOCUMENTATION = r"""
name: secret
short_description: A secret from the vault-encrypted file of generated secrets
version_added: 0.1.0
author: Holdfast (@holdfast)
description:
  - Returns secrets that M(holdfast.stateful.vault_secrets) generated.
  - The file is named by the variable C(holdfast_secrets_file). It is decrypted once per process.
  - In check mode a name that would only be generated in a real run returns a placeholder, so that a first run can be
    predicted.
notes:
  - A secret is an ordinary string once it is in a template. Every task that carries one needs C(no_log), or a module
    that keeps it out of its result, such as M(holdfast.stateful.host_state) with C(secret=true). Never put it into a
    fact or a registered variable.
options:
  _terms:
    description: Names of secrets.
    type: list
    elements: str
    required: true
  default:
    description: What is returned for a name that the file does not have; without it such a name is an error.
    type: str
"""

EXAMPLES = r"""
- name: Create the application's user
  community.postgresql.postgresql_user:
    name: app
    password: "{{ lookup('holdfast.stateful.secret', 'orders-db/app') }}"
  no_log: true
"""

RETURN = r"""
_raw:
  description: The secrets.
  type: list
  elements: str
"""

from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase
from ansible_collections.holdfast.stateful.plugins.plugin_utils.secrets_file import read_cached

FILE_VARIABLE = "holdfast_secrets_file"
PLACEHOLDER = "generated-by-the-first-real-run"


class LookupModule(LookupBase):  # type: ignore[misc]  # ansible-core ships no types
    """Return secrets by name."""

    def run(self, terms: list[str], variables: dict[str, Any] | None = None, **kwargs: Any) -> list[str]:
        """Return one secret per term."""
        self.set_options(var_options=variables, direct=kwargs)
        variables = variables or {}
        if FILE_VARIABLE not in variables:
            raise AnsibleError(
                f"secret: expected the variable {FILE_VARIABLE}, found none: set it to the path of the secrets file"
            )
        path = Path(self._loader.path_dwim(str(self._templar.template(variables[FILE_VARIABLE]))))
        table = read_cached(path, self._loader._vault.secrets)
        default = kwargs.get("default")
        if default is not None:
            return [table.get(term, default) for term in terms]
        return [self._pick(path, table, term, bool(variables.get("ansible_check_mode"))) for term in terms]

    def _pick(self, path: Path, table: dict[str, str], term: str, check_mode: bool) -> str:
        """Return one secret."""
        if term in table:
            return table[term]
        if check_mode:
            return PLACEHOLDER
        raise AnsibleError(
            f"secret: expected {term!r} in {path}, found {'no such name' if path.exists() else 'no such file'}: add the"
            " name to secrets_names, and run the secrets role before the task that reads it"
        )
