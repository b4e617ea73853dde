# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest
import yaml
from ansible_collections.holdfast.stateful.plugins.action.vault_secrets import ARGUMENT_SPEC
from ansible_collections.holdfast.stateful.plugins.modules import vault_secrets


def test_documentation_is_the_argument_spec() -> None:
    documented = yaml.safe_load(vault_secrets.DOCUMENTATION)["options"]
    spec = {name: {k: v for k, v in option.items() if k != "description"} for name, option in documented.items()}
    assert spec == ARGUMENT_SPEC


def test_it_refuses_to_run_on_a_host(monkeypatch: pytest.MonkeyPatch) -> None:
    said: dict[str, Any] = {}

    class FakeModule:
        def __init__(self, argument_spec: dict[str, Any], **_: Any) -> None:
            assert argument_spec == ARGUMENT_SPEC

        def fail_json(self, **result: Any) -> None:
            said.update(result)

    monkeypatch.setattr(vault_secrets, "AnsibleModule", FakeModule)
    vault_secrets.main()
    assert "controller" in said["msg"]
