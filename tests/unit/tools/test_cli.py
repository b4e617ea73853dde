from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from holdfast.cli import build_parser, main
from holdfast.exit_codes import ExitCode
from holdfast.verbs import VERBS

TOOLS = str(Path(__file__).resolve().parents[3] / "tools")


def test_help_lists_every_code(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    for code in ExitCode:
        assert f"{code.value:>3}  {code.meaning}" in text


@pytest.mark.parametrize(
    ("words", "verb"),
    [
        (["apply"], "apply"), (["check"], "check"), (["connect", "x"], "connect"), (["explain"], "explain"),
        (["lab", "up"], "lab up"), (["lab", "down"], "lab down"), (["lab", "status"], "lab status"),
        (["lab", "ssh", "h"], "lab ssh"), (["prove"], "prove"), (["status", "x"], "status"),
    ],
)  # fmt: skip
def test_words_become_a_verb_that_exists(words: list[str], verb: str) -> None:
    assert build_parser().parse_args(words).verb == verb
    assert verb in VERBS


@pytest.mark.parametrize(
    "words", [["-i", "x", "-vv", "status"], ["status", "-i", "x", "-vv"], ["-i", "x", "status", "-vv"]]
)
def test_global_options_stand_before_or_after_the_verb(words: list[str]) -> None:
    args = build_parser().parse_args(words)
    assert (args.inventory, args.verbose, args.no_color) == ("x", 2, False)


@pytest.mark.parametrize(
    "words", [[], ["nonsense"], ["lab"], ["connect"], ["apply", "--", "x"], ["connect", "x", "--uri", "--json"]]
)
def test_unusable_words_are_bad_input(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == ExitCode.BAD_INPUT
    assert "usage:" in capsys.readouterr().err


def test_errors_become_a_line_and_a_code(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["apply"]) == ExitCode.BAD_INPUT
    assert "holdfast: no playbook" in capsys.readouterr().err
    assert main(["-i", str(root / "nowhere"), "apply"]) == ExitCode.BAD_INPUT


def test_nothing_heavy_is_imported_before_it_is_needed() -> None:
    code = (
        "import sys, json; sys.path.insert(0, sys.argv[1]); import holdfast.cli, holdfast.verbs;"
        "holdfast.cli.build_parser(); print(json.dumps([m for m in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code, TOOLS], capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in json.loads(done.stdout)}
    assert not loaded & {
        "ansible",
        "ansible_runner",
        "rich",
        "yaml",
        "pexpect",
        "psycopg",
        "redis",
        "pika",
        "cryptography",
    }


def test_python_dash_m_works(holdfast: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    assert holdfast("--version").stdout.startswith("holdfast ")
