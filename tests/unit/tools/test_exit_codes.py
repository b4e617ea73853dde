from __future__ import annotations

import pytest
from holdfast.exit_codes import MEANINGS, ExitCode, HoldfastError, InputError, decide, table


def test_the_numbers_are_an_interface_and_do_not_change() -> None:
    assert {c.name: int(c) for c in ExitCode} == {
        "OK": 0, "FAILED": 1, "BAD_INPUT": 2, "REFUSED": 3, "UNREACHABLE": 4, "UNHEALTHY": 5, "NOT_PROVEN": 6,
        "INTERNAL": 7, "CANCELLED": 130,
    }  # fmt: skip


def test_every_code_has_a_meaning_and_the_table_shows_it() -> None:
    assert set(MEANINGS) == set(ExitCode)
    for code in ExitCode:
        assert f"{code.value:>3}  {code.meaning}" in table()


@pytest.mark.parametrize(
    ("rc", "cancelled", "parse_error", "refusals", "unreachable", "expected"),
    [
        (0, False, False, set(), False, ExitCode.OK),
        (0, False, False, {"gate"}, True, ExitCode.OK),  # rescued
        (2, False, False, set(), False, ExitCode.FAILED),
        (4, False, False, set(), True, ExitCode.UNREACHABLE),
        (6, False, False, set(), True, ExitCode.UNREACHABLE),
        (2, False, False, {"gate"}, False, ExitCode.REFUSED),
        (2, False, False, {"gate"}, True, ExitCode.REFUSED),
        (2, False, False, {"something new"}, False, ExitCode.REFUSED),
        (2, False, False, {"input"}, False, ExitCode.BAD_INPUT),
        (2, False, False, {"input", "gate"}, True, ExitCode.BAD_INPUT),
        (4, False, True, set(), False, ExitCode.BAD_INPUT),
        (1, False, True, set(), False, ExitCode.BAD_INPUT),
        (250, False, True, set(), False, ExitCode.INTERNAL),
        (127, False, True, set(), False, ExitCode.INTERNAL),
        (None, False, False, set(), False, ExitCode.INTERNAL),
        (99, True, True, {"input", "gate"}, True, ExitCode.CANCELLED),
    ],
)
def test_what_happened_becomes_one_code(
    rc: int | None, cancelled: bool, parse_error: bool, refusals: set[str], unreachable: bool, expected: ExitCode
) -> None:
    code = decide(rc=rc, cancelled=cancelled, parse_error=parse_error, refusals=refusals, unreachable=unreachable)
    assert code is expected


def test_errors_carry_their_code() -> None:
    assert HoldfastError.code is ExitCode.INTERNAL
    assert InputError.code is ExitCode.BAD_INPUT
