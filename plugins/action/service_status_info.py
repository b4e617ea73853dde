# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Controller side of service_status_info: picks the services on this host and their monitoring passwords.

Here and not in templates, because every host's worker would load filters and lookups anew: that took a tenth of the
time that `holdfast status` may take. For a host without a service there is no remote call.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.holdfast.stateful.plugins.module_utils.service_status import (
    ARGUMENT_SPEC,
    status_requests,
)
from ansible_collections.holdfast.stateful.plugins.plugin_utils.secrets_file import read_cached


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible-core ships no types
    """Observe the members of all services on one host."""

    TRANSFERS_FILES = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the task."""
        variables = task_vars or {}
        result: dict[str, Any] = super().run(tmp, variables)
        _validation, arguments = self.validate_argument_spec(argument_spec=ARGUMENT_SPEC)
        if arguments["contracts"] is None or arguments["secrets_file"] is None:
            raise AnsibleActionFail("service_status_info: expected contracts and secrets_file, found one empty")
        path = Path(self._loader.path_dwim(arguments["secrets_file"]))
        table = read_cached(path, self._loader._vault.secrets)
        services, unasked = status_requests(arguments["contracts"], str(variables["inventory_hostname"]), table)
        problem = f"not asked: {path} holds no monitoring password of it; run site.yml, which generates one"
        unknown = {service: {"state": "unknown", "problems": [problem]} for service in unasked}
        if not services:
            result.update(changed=False, services=unknown)
            return result
        answer = self._execute_module(
            module_name="holdfast.stateful.service_status_info",
            module_args={"services": services, "timeout": arguments["timeout"]},
            task_vars=variables,
        )
        result.update(answer)
        if "services" in result:
            result["services"] = {**result["services"], **unknown}
        return result
