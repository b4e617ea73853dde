# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.holdfast.stateful.plugins.module_utils import patroni_start
from ansible_collections.holdfast.stateful.plugins.module_utils.postgres_host import DataDirectory, HostError

EMPTY = DataDirectory("/d")
CONFIG = {"postgresql": {"parameters": {"nonsense": 1}}}


def params(**given: Any) -> dict[str, Any]:
    return {"major": "0", "config": CONFIG, "initdb": [], **given}


def test_parameters_are_judged_where_a_cluster_would_be_made(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[Any, str]] = []

    def judge(parameters: Any, program: str) -> str:
        asked.append((parameters, program))
        return "bad"

    monkeypatch.setattr(patroni_start, "bootstrap_blocker", judge)
    assert patroni_start.may_begin(params(), EMPTY, False) == "bad"
    assert asked == [({"nonsense": 1}, "/usr/lib/postgresql/0/bin/postgres")]
    assert patroni_start.may_begin(params(), DataDirectory("/d", 20, "7", "0"), False) == ""
    assert patroni_start.may_begin(params(config=None), EMPTY, False) == ""
    # Only a run in check mode may come before the packages.
    assert patroni_start.may_begin(params(), EMPTY, True) == ""
    assert len(asked) == 1


def test_a_real_run_without_the_program_is_no_permission() -> None:
    with pytest.raises(HostError, match="expected it to judge the parameters"):
        patroni_start.may_begin(params(), EMPTY, False)
