# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# ruff: noqa: PTH118, PTH120, PTH123
# Strings from the task go straight to system calls: pathlib would only add import time to every call.

"""Controller side of host_state: renders templates, calls the module, and apt in between where packages are missing."""

from __future__ import annotations

import os
from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.module_utils.common.text.converters import to_bytes, to_text
from ansible.plugins.action import ActionBase
from ansible.template import trust_as_template
from ansible_collections.holdfast.stateful.plugins.module_utils.host_state import ARGUMENT_SPEC, pack_contents

APT_ARGUMENTS = {
    "state": "present",
    "install_recommends": False,
    # No policy_rc_d: the module's own policy outlives a controller that is killed, and apt's does not.
    "lock_timeout": 120,
    "update_cache": True,
    "dpkg_options": "force-confdef,force-confold",
}
CACHE_SECONDS = 3600
MODULE = "holdfast.stateful.host_state"
UNION = ("changed_files", "changed_units", "missing_packages", "diff")


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible-core ships no types
    """Converge packages, directories, files and units of one role."""

    TRANSFERS_FILES = False
    _supports_check_mode = True
    _supports_diff = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the task."""
        task_vars = task_vars or {}
        result: dict[str, Any] = super().run(tmp, task_vars)
        _validation, arguments = self.validate_argument_spec(argument_spec=ARGUMENT_SPEC)
        contents: dict[str, bytes] = {}
        files: list[dict[str, Any]] = []
        for entry in arguments["files"]:
            if not entry["defer"]:
                contents[entry["path"]] = self._content(entry, task_vars)
            elif not entry["create_only"]:
                raise AnsibleActionFail(f"{entry['path']}: expected create_only with defer, found defer alone")
            # The content travels in one opaque argument, and nothing of it in the visible ones.
            files.append({key: value for key, value in entry.items() if key not in {"template", "content", "src"}})
        arguments = {
            **arguments,
            "directories": [given(entry) for entry in arguments["directories"]],
            "files": [given(entry) for entry in files],
            "units": [given(entry) for entry in arguments["units"]],
            "_contents": pack_contents(contents),
        }
        try:
            result.update(self._converge(arguments, task_vars))
        finally:
            self._remove_tmp_path(self._connection._shell.tmpdir)
        result.get("invocation", {}).get("module_args", {}).pop("_contents", None)
        if result.get("failed"):
            result["msg"] = f"{task_vars.get('inventory_hostname', '?')}: {result.get('msg', 'no message')}"
        return result

    def _converge(self, arguments: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """Call the module, and apt and the module again when packages are missing."""
        first: dict[str, Any] = self._execute_module(module_name=MODULE, module_args=arguments, task_vars=task_vars)
        missing = first.get("missing_packages")
        if first.get("failed") or not missing or self._task.check_mode:
            return first
        # Also when it was another run that changed them, and was killed before apt read them.
        unread = first.get("lists_older") or any(path.startswith("/etc/apt/") for path in first["changed_files"])
        apt: dict[str, Any] = self._execute_module(
            module_name="ansible.builtin.apt",
            module_args={
                **APT_ARGUMENTS,
                "name": list(missing),
                "cache_valid_time": 0 if unread else CACHE_SECONDS,
            },
            task_vars=task_vars,
        )
        if apt.get("failed"):
            said = "\n".join(filter(None, (apt.get("msg"), *apt.get("stderr_lines", [])[-5:])))
            return {
                **first,
                "failed": True,
                "msg": f"packages {', '.join(missing)}: expected apt to install them, found an error: check the package"
                f" sources, the network and the names, then run again. apt said: {said}",
            }
        last: dict[str, Any] = self._execute_module(
            module_name=MODULE, module_args={**arguments, "_installed": missing}, task_vars=task_vars
        )
        return merge(first, last)

    def _content(self, entry: dict[str, Any], task_vars: dict[str, Any]) -> bytes:
        """Return the content of one file."""
        if entry["content"] is not None:
            return to_bytes(entry["content"])  # type: ignore[no-any-return]
        if entry["src"] is not None:
            with open(self._needle("files", entry["src"], entry), "rb") as handle:
                return handle.read()
        name = entry["template"] or entry["path"].lstrip("/") + ".j2"
        return self._render(self._needle("templates", name, entry), name, entry, task_vars)

    def _needle(self, folder: str, name: str, entry: dict[str, Any]) -> str:
        """Find a file of the role."""
        try:
            return str(self._find_needle(folder, name))
        except AnsibleError as error:
            raise AnsibleActionFail(
                f"{entry['path']}: expected {folder}/{name} in the role, found none: add it, or name another"
            ) from error

    def _render(self, source: str, name: str, entry: dict[str, Any], task_vars: dict[str, Any]) -> bytes:
        """Render a template exactly as ansible.builtin.template does."""
        # The helper is internal, but it is what makes ansible_managed and its neighbours the same as elsewhere.
        from ansible._internal._templating._template_vars import generate_ansible_template_vars

        text = trust_as_template(self._loader.get_text_file_contents(source))
        roots = [*task_vars.get("ansible_search_path", []), self._loader.get_basedir(), os.path.dirname(source)]
        search = [path for root in roots for path in (os.path.join(root, "templates"), root)]
        variables = {
            **task_vars,
            **generate_ansible_template_vars(
                path=name,
                fullpath=source,
                dest_path=entry["path"],
                include_ansible_managed="ansible_managed" not in task_vars,
            ),
        }
        templar = self._templar.copy_with_new_env(searchpath=search, available_variables=variables)
        try:
            rendered = templar.template(text, escape_backslashes=False, overrides={"trim_blocks": True})
        except AnsibleError as error:
            raise AnsibleActionFail(f"{entry['path']}: template {name}: {to_text(error)}") from error
        return to_bytes("" if rendered is None else rendered)  # type: ignore[no-any-return]


def given(entry: dict[str, Any]) -> dict[str, Any]:
    """Leave out what was not given: the module would refuse an explicit null where an option has choices."""
    return {key: value for key, value in entry.items() if value is not None}


def merge(first: dict[str, Any], last: dict[str, Any]) -> dict[str, Any]:
    """Join the results of the calls before and after apt."""
    merged = {**last, "changed": True, "dpkg_repaired": bool(first.get("dpkg_repaired") or last.get("dpkg_repaired"))}
    for key in UNION:
        if key in first or key in last:
            joined = list(first.get(key) or [])
            joined.extend(item for item in last.get(key) or [] if item not in joined)
            merged[key] = joined
    return merged
