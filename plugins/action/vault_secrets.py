# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Controller side of vault_secrets: everything happens here, no host is called."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.plugins.action import ActionBase
from ansible_collections.holdfast.stateful.plugins.plugin_utils.secrets_file import ensure, store

ARGUMENT_SPEC: dict[str, dict[str, Any]] = {
    "path": {"type": "path", "required": True},
    "names": {"type": "list", "elements": "str", "required": True},
    "renew": {"type": "list", "elements": "str", "default": []},
    "values": {"type": "dict", "default": {}},
    "length": {"type": "int", "default": 32},
    "vault_id": {"type": "str", "default": "default"},
}


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible-core ships no types
    """Ensure that a vault-encrypted file holds a random secret for every name."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the task."""
        result: dict[str, Any] = super().run(tmp, task_vars or {})
        _validation, arguments = self.validate_argument_spec(argument_spec=ARGUMENT_SPEC)
        path = Path(self._loader.path_dwim(arguments["path"]))
        try:
            changed, generated = ensure(
                path,
                arguments["names"],
                arguments["length"],
                self._loader._vault.secrets,
                arguments["vault_id"],
                bool(self._task.check_mode),
            )
            stored = store(
                path,
                arguments["renew"],
                arguments["values"],
                arguments["length"],
                self._loader._vault.secrets,
                arguments["vault_id"],
                bool(self._task.check_mode),
            )
        except AnsibleError as error:
            raise AnsibleActionFail(str(error)) from error
        except OSError as error:
            raise AnsibleActionFail(
                f"{path}: expected to write the secrets, found {error.strerror}: check the folder's owner and mode"
            ) from error
        result.update(changed=changed or bool(stored), generated=generated, stored=stored)
        return result
