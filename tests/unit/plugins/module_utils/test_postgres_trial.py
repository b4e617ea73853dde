# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.holdfast.stateful.plugins.module_utils import postgres_trial
from ansible_collections.holdfast.stateful.plugins.module_utils.postgres_host import HostError

# What PostgreSQL prints; the path is shorter.
SAYS = """\
2026-11-23 22:06:32.840 GMT [1] LOG:  skipping missing configuration file "{0}/postgresql.auto.conf"
2026-11-23 22:06:32.840 GMT [1] LOG:  unrecognized configuration parameter "max_conections" in file "{0}/p.conf" line 2
2026-11-23 22:06:32.840 GMT [1] LOG:  invalid value for parameter "work_mem": "4XB"
2026-11-23 22:06:32.840 GMT [1] HINT:  Valid units for this parameter are "B", "kB", "MB", "GB", and "TB".
2026-11-23 22:06:32.840 GMT [1] FATAL:  configuration file "{0}/postgresql.conf" contains errors
"""


def program(folder: Path, code: int, says: str = "") -> str:
    """Make a program that keeps the file it was given, speaks, and ends."""
    made = folder / "postgres"
    (folder / "says").write_text(says)
    made.write_text(
        f'#!/bin/sh\n[ "$1 $2 $3" = "-C data_directory -D" ] || exit 9\ncp "$4/postgresql.conf" {folder}/seen\n'
        f"cat {folder}/says >&2\nexit {code}\n"
    )
    made.chmod(0o755)
    return str(made)


def test_the_program_reads_the_parameters_as_a_file(tmp_path: Path) -> None:
    values = {"archive_command": "cp 'a' b\\c", "jit": False, "work_mem": "4MB", "max_connections": 100, "gone": None}
    assert postgres_trial.bootstrap_blocker(values, program(tmp_path, 0, SAYS.splitlines()[0])) == ""
    assert (tmp_path / "seen").read_text().splitlines() == [
        "archive_command = 'cp ''a'' b\\\\c'",
        "jit = 'off'",
        "max_connections = '100'",
        "work_mem = '4MB'",
    ]


def test_what_it_would_not_take_is_said_without_noise(tmp_path: Path) -> None:
    found = postgres_trial.bootstrap_blocker({"max_conections": 20, "work_mem": "4XB"}, program(tmp_path, 1, SAYS))
    assert found == (
        'no cluster was made: unrecognized configuration parameter "max_conections"; invalid value for parameter'
        ' "work_mem": "4XB"; Valid units for this parameter are "B", "kB", "MB", "GB", and "TB". Correct the declared'
        " parameters (postgres_parameters)"
    )


def test_an_error_without_a_known_word_is_one_too(tmp_path: Path) -> None:
    assert "ended with 3: broken" in postgres_trial.bootstrap_blocker({"jit": "on"}, program(tmp_path, 3, "broken"))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"max_connections": 24}, "expected at least 25, below which Patroni takes its default"),
        ({"bad name": 1}, "bad name: expected the name of a parameter"),
        ({"include": "/etc/shadow"}, "include: expected the name of a parameter"),
        ({"include\n": 1}, "expected the name of a parameter"),
        ({"work_mem": ["4MB"]}, "work_mem: expected one value in one line"),
        ({"work_mem": "4MB'\nfsync = off"}, "work_mem: expected one value in one line"),
    ],
)
def test_what_the_program_is_not_asked_is_refused_too(tmp_path: Path, values: dict[str, Any], said: str) -> None:
    assert said in postgres_trial.bootstrap_blocker(values, program(tmp_path, 0))


def test_a_program_that_is_not_there_is_no_permission(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="expected it to judge the parameters"):
        postgres_trial.bootstrap_blocker({"jit": "on"}, str(tmp_path / "none"))
