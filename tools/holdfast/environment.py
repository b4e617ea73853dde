"""What of the operator's environment reaches ansible: an allow-list, because ansible-runner records all of it."""

from __future__ import annotations

import configparser
import os
from collections.abc import Mapping
from pathlib import Path

from holdfast.project import scripts_dir

_NAMES = frozenset({"PATH", "HOME", "LANG", "TERM", "USER", "LOGNAME", "SSH_AUTH_SOCK"})
_PREFIXES = ("HOLDFAST_", "ANSIBLE_")
# ansible-runner's own, needed by its display callback
_RUNNER = ("AWX_ISOLATED_DATA_DIR", "RUNNER_OMIT_EVENTS", "RUNNER_ONLY_FAILED_EVENTS", "ORIGINAL_STDOUT_CALLBACK")
RUN_ID = "HOLDFAST_RUN_ID"


def ansible_environment(root: Path, run_id: str, source: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment for ansible's programs.

    Args:
        root: the checkout, whose ``ansible.cfg`` is the one used.
        run_id: marks the processes of this run.
        source: where to take values from; the process's environment by default.
    """
    source = os.environ if source is None else source
    chosen = {k: v for k, v in source.items() if k in _NAMES or k.startswith(_PREFIXES)}
    chosen.setdefault("LANG", "C.UTF-8")
    chosen["PATH"] = f"{scripts_dir()}{os.pathsep}{chosen.get('PATH', os.defpath)}"
    chosen["HOLDFAST_ROOT"] = str(root)
    chosen[RUN_ID] = run_id
    chosen["ANSIBLE_CONFIG"] = str(root / "ansible.cfg")
    chosen["ANSIBLE_NOCOLOR"] = "1"
    chosen.pop("ANSIBLE_FORCE_COLOR", None)
    # ansible-runner switches host key checking off unless it is told; the project's ansible.cfg has the say here.
    chosen.setdefault("ANSIBLE_HOST_KEY_CHECKING", str(_checks_host_keys(root / "ansible.cfg")))
    # A broken inventory file is an error, not a warning followed by a run against fewer hosts.
    chosen.setdefault("ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED", "True")
    return chosen


def keep_allowed(environment: Mapping[str, str], chosen: Mapping[str, str]) -> dict[str, str]:
    """Cut an environment that ansible-runner put together down to what was chosen and what its callback needs."""
    own = ("ANSIBLE_STDOUT_CALLBACK", "ANSIBLE_CALLBACK_PLUGINS", "ANSIBLE_RETRY_FILES_ENABLED", *_RUNNER)
    return {**chosen, **{k: environment[k] for k in own if k in environment}}


def _checks_host_keys(config: Path) -> bool:
    parser = configparser.ConfigParser(interpolation=None, strict=False, allow_no_value=True)
    try:
        parser.read(config, encoding="utf-8")
        return parser.getboolean("defaults", "host_key_checking", fallback=True)
    except (configparser.Error, ValueError, UnicodeDecodeError):
        return True
