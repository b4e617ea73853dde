# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Loads the collection's filters once, before workers are forked."""

from __future__ import annotations

DOCUMENTATION = r"""
name: preload
type: aggregate
short_description: Loads the collection's filters before workers are forked
version_added: 0.1.0
author: Holdfast (@holdfast)
description:
  - Ansible runs every task of every host in a process of its own, and reads filters in there. Without this plugin each
    of these processes compiles all filter files of the collection anew, which was half of the controller's work.
  - The plugin changes nothing but time. What cannot be loaded is left to the task that needs it, which then says so.
requirements:
  - Enabled in C(callbacks_enabled).
"""

from contextlib import suppress
from typing import Any

from ansible.plugins.callback import CallbackBase
from ansible.plugins.loader import filter_loader, lookup_loader

COLLECTION = "holdfast.stateful"


class CallbackModule(CallbackBase):  # type: ignore[misc]  # ansible-core ships no types
    """Load what the workers would load."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "holdfast.stateful.preload"
    CALLBACK_NEEDS_ENABLED = True

    def v2_playbook_on_start(self, playbook: Any) -> None:
        """Load all of it into the process that is forked."""
        del playbook
        with suppress(Exception):
            # Ansible looks into one file after the other until it finds a filter; this one is in none.
            filter_loader.get(f"{COLLECTION}.none_of_them")
        with suppress(Exception):
            lookup_loader.get(f"{COLLECTION}.secret", class_only=True)
