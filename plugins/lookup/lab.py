# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lookup: the identity of this checkout's lab."""

from __future__ import annotations

DOCUMENTATION = r"""
name: lab
author: Holdfast maintainers (@holdfast)
version_added: "0.1.0"
short_description: Identity of the checkout's lab
description:
  - Returns id, bridge, network and folders of the lab that belongs to this checkout.
  - E(HOLDFAST_LAB) names one of several labs of a checkout; the default is V(default).
options: {}
"""

EXAMPLES = r"""
- name: Show the lab's network
  ansible.builtin.debug:
    msg: "{{ lookup('holdfast.stateful.lab').network }}"
"""

RETURN = r"""
_raw:
  description: The lab as a dictionary.
  type: list
  elements: dict
"""

import os
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase
from ansible_collections.holdfast.stateful.plugins.module_utils.lab.identity import DEFAULT_NAME, identify

CHECKOUT = str(Path(__file__).resolve().parents[2])


class LookupModule(LookupBase):  # type: ignore[misc]
    """Return the lab of this checkout."""

    def run(self, terms: list[Any], variables: dict[str, Any] | None = None, **kwargs: Any) -> list[dict[str, Any]]:
        """Ignore terms; raise AnsibleError for a name that can't be used."""
        del terms, variables, kwargs
        try:
            return [identify(CHECKOUT, os.environ.get("HOLDFAST_LAB") or DEFAULT_NAME).to_dict()]
        except ValueError as error:
            raise AnsibleError(str(error)) from error
