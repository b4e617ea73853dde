# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""PostgreSQL parameters judged before there is a server: by the installed program, which reads them and ends."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible_collections.holdfast.stateful.plugins.module_utils.postgres_host import HostError
from ansible_collections.holdfast.stateful.plugins.module_utils.postgres_settings import floor_problems

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_$]*(\.[A-Za-z_][A-Za-z0-9_$]*)*")
# Words of a configuration file that are no parameters.
DIRECTIVES = {"include", "include_dir", "include_if_exists"}
# What the program says of a parameter; after the last of these it only says that there were errors.
SAID = re.compile(r" (?:LOG|ERROR|FATAL|HINT):  (.*)$")
NOISE = ("skipping missing configuration file", "configuration file ")
TIMEOUT = 30


def quoted(value: Any) -> str:
    """Return a value as postgresql.conf has it."""
    text = ("on" if value else "off") if isinstance(value, bool) else str(value)
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


def unwritable(parameters: Mapping[str, Any]) -> list[str]:
    """Return what can't even be written into a file."""
    wrong = [
        f"{name}: expected the name of a parameter"
        for name in sorted(parameters)
        if not NAME.fullmatch(name) or name.lower() in DIRECTIVES
    ]
    for name, value in sorted(parameters.items()):
        if isinstance(value, (dict, list)) or "\n" in str(value):
            wrong.append(f"{name}: expected one value in one line, found {value!r}")
    return wrong


def trial(parameters: Mapping[str, Any], program: str) -> list[str]:
    """Have the program read the parameters, with no data directory, and return what it would not take.

    ``-C`` prints one parameter and ends; it makes no server, and root may ask.
    """
    with tempfile.TemporaryDirectory(prefix="holdfast-") as folder:
        conf = Path(folder) / "postgresql.conf"
        conf.write_text("".join(f"{name} = {quoted(value)}\n" for name, value in sorted(parameters.items())), "utf-8")
        try:
            done = subprocess.run(
                [program, "-C", "data_directory", "-D", folder],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=TIMEOUT,
                check=False,
                env={**os.environ, "LC_ALL": "C"},
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise HostError(f"{program}: expected it to judge the parameters, found: {error}") from error
    if done.returncode == 0:
        return []
    lines = [found[1] for line in done.stderr.splitlines() if (found := SAID.search(line))]
    said = [re.sub(r' in file "[^"]*" line \d+', "", line).rstrip(".") for line in lines if not line.startswith(NOISE)]
    return said or [f"{program}: ended with {done.returncode}: {done.stderr.strip()[-300:] or 'no word'}"]


def bootstrap_blocker(declared: Mapping[str, Any], program: str) -> str:
    """Return why no cluster may be made with these parameters, or "": Patroni would drop the bad ones in silence."""
    parameters = {name: value for name, value in declared.items() if value is not None}
    wrong = unwritable(parameters) or [*trial(parameters, program), *floor_problems(parameters)]
    if not wrong:
        return ""
    return "no cluster was made: " + "; ".join(wrong) + ". Correct the declared parameters (postgres_parameters)"
