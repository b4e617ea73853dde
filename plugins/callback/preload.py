# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Does once, before workers are forked, what each of them would do."""

from __future__ import annotations

DOCUMENTATION = r"""
name: preload
type: aggregate
short_description: Does once what every worker would do again
version_added: 0.1.0
author: Holdfast (@holdfast)
description:
  - Ansible runs every task of every host in a process of its own, and reads filters in there. Without this plugin each
    of these processes compiles all filter files of the collection anew, which was half of the controller's work.
  - It also keeps the archives that Ansible makes of modules from one run to the next, in C(holdfast-payloads) beside
    Ansible's temporary folders, under a key that changes with the code.
  - The plugin changes nothing but time. What cannot be loaded is left to the task that needs it, which then says so.
requirements:
  - Enabled in C(callbacks_enabled).
"""

import gc
from contextlib import suppress
from pathlib import Path
from typing import Any

from ansible import constants
from ansible.plugins.callback import CallbackBase
from ansible.plugins.loader import filter_loader, lookup_loader
from ansible.utils.collection_loader import AnsibleCollectionConfig
from ansible_collections.holdfast.stateful.plugins.plugin_utils.payload_store import PayloadStore, signature

COLLECTION = "holdfast.stateful"
PLUGINS = Path(__file__).resolve().parents[1]


class CallbackModule(CallbackBase):  # type: ignore[misc]  # ansible-core ships no types
    """Load what the workers would load."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "holdfast.stateful.preload"
    CALLBACK_NEEDS_ENABLED = True
    payloads: PayloadStore | None = None

    def v2_playbook_on_start(self, playbook: Any) -> None:
        """Load all of it into the process that is forked."""
        del playbook
        with suppress(Exception):
            # Ansible looks into one file after the other until it finds a filter; this one is in none.
            filter_loader.get(f"{COLLECTION}.none_of_them")
        with suppress(Exception):
            lookup_loader.get(f"{COLLECTION}.secret", class_only=True)
        with suppress(Exception):
            self.payloads = PayloadStore(constants.DEFAULT_LOCAL_TMP, code())
            self.payloads.lend()

    def v2_playbook_on_play_start(self, play: Any) -> None:
        """Keep the collector of garbage off what is there: in a fork it would copy every page that it looks at."""
        del play
        gc.freeze()

    def v2_playbook_on_stats(self, stats: Any) -> None:
        """Keep what the workers have packed."""
        del stats
        with suppress(Exception):
            if self.payloads is not None:
                self.payloads.keep()


def code() -> str:
    """Return what identifies the code that archives are made of."""
    collections = [Path(path) / "ansible_collections" for path in AnsibleCollectionConfig.collection_paths]
    return signature(
        [PLUGINS / "modules", PLUGINS / "module_utils"],
        [manifest for path in collections for manifest in sorted(path.glob("community/*/MANIFEST.json"))],
    )
