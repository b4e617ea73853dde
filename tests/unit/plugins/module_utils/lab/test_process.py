"""One way to run a program, with the failure in the message."""

from __future__ import annotations

import sys

import pytest
from ansible_collections.holdfast.stateful.plugins.module_utils.lab.process import LabError, run


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_output_and_input() -> None:
    assert run(python("import sys; print(sys.stdin.read().upper())"), stdin="words").stdout == "WORDS\n"


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import sys; sys.exit('it is broken')", "it is broken"),
        ("import sys; print('said on stdout'); sys.exit(3)", "exit code 3: said on stdout"),
        ("import sys; sys.exit('x' * 5000 + ' the end')", "the end"),
    ],
)
def test_a_failure_says_what_the_program_said(code: str, said: str) -> None:
    with pytest.raises(LabError) as raised:
        run(python(code))
    assert said in str(raised.value)
    assert str(raised.value).count("x") < 1000 + len(code)


def test_a_failure_that_is_expected() -> None:
    assert run(python("raise SystemExit(3)"), check=False).returncode == 3


def test_a_missing_program_is_not_a_traceback() -> None:
    with pytest.raises(LabError, match="make setup"):
        run(["holdfast-has-no-such-program"])


@pytest.mark.parametrize("check", [True, False])
def test_a_program_that_does_not_end(check: bool) -> None:
    with pytest.raises(LabError, match="no end after 0 s"):
        run(["sleep", "60"], timeout=0.2, check=check)
