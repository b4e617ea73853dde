# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.holdfast.stateful.plugins.module_utils.redis_acl import differing_users

HASH = "a" * 64
OTHER = "b" * 64
OFF = "user default off resetchannels -@all"
SHOWN_OFF = "user default off sanitize-payload resetchannels -@all"


@pytest.mark.parametrize(
    ("wanted", "running", "names"),
    [
        (OFF, SHOWN_OFF, []),
        (OFF, "user default on nopass ~* &* +@all", ["default"]),
        ("", "user default on nopass ~* &* +@all", []),
        (f"{OFF}\nuser a on #{HASH} ~* &* +@all", f"{SHOWN_OFF}\nuser a on sanitize-payload #{HASH} ~* &* +@all", []),
        (f"{OFF}\nuser a on #{HASH} ~x ~y -@all +get", f"{OFF}\nuser a on #{HASH} ~y ~x resetchannels -@all +get", []),
        (f"{OFF}\nuser a on #{HASH} +get", f"{OFF}\nuser a on #{OTHER} +get", ["a"]),
        (f"{OFF}\nuser a on #{HASH} #{OTHER} +get", f"{OFF}\nuser a on #{OTHER} #{HASH} +get", []),
        (f"{OFF}\nuser a on #{HASH} +get -set", f"{OFF}\nuser a on #{HASH} -set +get", ["a"]),
        (f"{OFF}\nuser a on #{HASH} allkeys allchannels +get", f"{OFF}\nuser a on #{HASH} ~* &* -@all +get", []),
        (
            f"{OFF}\nuser a on >secret",
            f"{OFF}\nuser a on #2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b",
            [],
        ),
        (OFF, f"{OFF}\nuser intruder on nopass ~* +@all", ["intruder"]),
        (f"{OFF}\nuser a on #{HASH} +get", OFF, ["a"]),
        (f"{OFF}\nuser a on #{HASH} +get", f"{OFF}\nuser a off #{HASH} +get", ["a"]),
        (f"{OFF}\nuser a on +get (~k +set)", f"{OFF}\nuser a on +get (~k +set)", []),
        (f"{OFF}\nuser a on +get (~k +set)", f"{OFF}\nuser a on +get (~j +set)", ["a"]),
    ],
)
def test_differing_users(wanted: str, running: str, names: list[str]) -> None:
    assert differing_users(wanted.splitlines(), running.splitlines()) == names
