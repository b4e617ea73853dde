# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import locale
from typing import Any

import pytest
from ansible_collections.holdfast.stateful.plugins.module_utils import postgres_locale as where

DEBIAN_13 = [
    "data-checksums",
    {"encoding": "UTF8"},
    {"locale": "C.UTF-8"},
    {"locale-provider": "builtin"},
    {"builtin-locale": "C.UTF-8"},
]
DEBIAN_12 = ["data-checksums", {"encoding": "UTF8"}, {"locale": "C.UTF-8"}]


class Cursor:
    def __init__(self, *row: Any) -> None:
        self.row = row

    def execute(self, _sql: str) -> None:
        return None

    def fetchone(self) -> tuple[Any, ...]:
        return self.row


BUILTIN = where.look(Cursor("template1", "UTF8", "b", "C.UTF-8", "C.UTF-8", "C.UTF-8", None, "on"))
LIBC = where.look(Cursor("template1", "UTF8", "c", "C.UTF-8", "C.UTF-8", None, None, "on"))
ICU = where.look(Cursor("template1", "UTF8", "i", "C.UTF-8", "C.UTF-8", None, "de-DE", "on"))


@pytest.mark.parametrize(("initdb", "live"), [(DEBIAN_13, BUILTIN), (DEBIAN_12, LIBC)])
def test_a_cluster_as_declared_has_no_problem(initdb: list[Any], live: dict[str, str]) -> None:
    assert where.problems(initdb, live) == []


@pytest.mark.parametrize(
    ("instead", "live", "said"),
    [
        ([{"locale": "de_DE.UTF-8"}], BUILTIN, "lc-collate: expected de_DE.UTF-8, found C.UTF-8"),
        ([{"encoding": "LATIN1"}], BUILTIN, "encoding: expected LATIN1, found UTF8"),
        ([{"lc-ctype": "C"}], BUILTIN, "lc-ctype: expected C, found C.UTF-8"),
        ([], LIBC, "locale-provider: expected builtin, found libc"),
        ([], ICU, "builtin-locale: expected C.UTF-8, found none"),
        ([{"locale-provider": "icu"}, {"icu-locale": "en-US"}], ICU, "icu-locale: expected en-US, found de-DE"),
        ([], {**BUILTIN, "data-checksums": "off"}, "data-checksums: expected on, found off"),
    ],
)
def test_every_difference_is_named(instead: list[Any], live: dict[str, str], said: str) -> None:
    assert said in where.problems(where.merged(DEBIAN_13, instead), live)


def test_two_spellings_of_one_locale_are_one() -> None:
    assert where.problems([{"locale": "C.utf8"}, {"encoding": "utf-8"}], LIBC) == []


def test_options_replace_those_of_the_distribution() -> None:
    found = where.merged(DEBIAN_12, [{"locale": "de_DE.UTF-8"}, "no-sync"])
    assert found == ["data-checksums", {"encoding": "UTF8"}, {"locale": "de_DE.UTF-8"}, "no-sync"]


def test_a_locale_that_the_host_does_not_have_is_named_and_nothing_else_changes() -> None:
    before = locale.setlocale(locale.LC_ALL)
    assert where.unknown(DEBIAN_13) == ""
    said = where.unknown([{"locale": "xx_YY.UTF-8"}, {"lc-messages": "C"}])
    assert "locale xx_YY.UTF-8" in said
    assert locale.setlocale(locale.LC_ALL) == before
