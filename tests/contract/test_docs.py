"""The generated pages are those of this commit, and a page that is not would be noticed."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

PROGRAM = Path(__file__).resolve().parents[2] / "tools/dev/gen_docs.py"


@pytest.fixture(scope="module")
def docs() -> ModuleType:
    """The generator as a module."""
    spec = importlib.util.spec_from_file_location("gen_docs", PROGRAM)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_committed_pages_are_up_to_date(ansible: dict[str, str]) -> None:
    command = [sys.executable, str(PROGRAM), "--check"]
    done = subprocess.run(command, env=ansible, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_kind_of_difference_is_named(docs: ModuleType, tmp_path: Path) -> None:
    wanted = {"roles/a.md": "A\n", "roles/b.md": "B\n", "README.md": "index\n"}
    docs.write(wanted, tmp_path)
    assert docs.stale(wanted, tmp_path) == []
    (tmp_path / "roles/a.md").write_text("edited by hand\n")
    (tmp_path / "roles/b.md").unlink()
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules/gone.md").write_text("of a module that was removed\n")
    (tmp_path / "cli.md").write_text("written by hand\n")
    assert docs.stale(wanted, tmp_path) == [
        "docs/roles/a.md is out of date",
        "docs/roles/b.md is missing",
        "docs/modules/gone.md describes nothing that exists",
    ]
    docs.write(wanted, tmp_path)
    assert docs.stale(wanted, tmp_path) == []
    assert (tmp_path / "cli.md").exists(), "pages written by hand stay"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Set O(state=absent) or V(a(b\\)).", "Set `state=absent` or `a(b)`."),
        ("After M(holdfast.stateful.nspawn_lab).", "After [`nspawn_lab`](../modules/nspawn_lab.md)."),
        ("Like M(ansible.builtin.copy).", "Like `ansible.builtin.copy`."),
        ("As P(holdfast.stateful.lab#lookup) says.", "As `holdfast.stateful.lab` says."),
        (
            "B(Never) RV(done), see L(this, https://example.invalid/).",
            "**Never** `done`, see [this](https://example.invalid/).",
        ),
        ("RABBITMQ(x) is no markup", "RABBITMQ(x) is no markup"),
    ],
)
def test_markup(text: str, expected: str, docs: ModuleType) -> None:
    assert docs.markup(text) == expected


def test_a_role_page_shows_entry_points_options_and_real_defaults(docs: ModuleType, tmp_path: Path) -> None:
    role = tmp_path / "roles/thing"
    for name, text in {
        "meta/argument_specs.yml": (
            "argument_specs:\n"
            "  verify: {short_description: See, options: {thing_size: {type: int, description: A|B.}}}\n"
            "  main:\n    short_description: Do\n    description: [Twice.]\n    options:\n"
            "      thing_size: {type: int, description: A|B.}\n"
            "      thing_items: {type: list, elements: dict, required: true, description: All.,\n"
            "        options: {kind: {choices: [x, y], default: x, description: Which.}}}\n"
        ),
        "defaults/main.yml": "thing_size: 3\n",
    }.items():
        (role / name).parent.mkdir(parents=True)
        (role / name).write_text(text)
    lines = docs.role_page(role).splitlines()
    assert lines.index("## main") < lines.index("## verify")
    assert "| `thing_items` | list of dict | **required** | All. |" in lines
    assert "| `thing_items.kind` | str | `x` | Which. One of `x`, `y`. |" in lines
    assert lines.count("| `thing_size` | int | `3` | A\\|B. |") == 2


def test_a_description_that_yaml_read_as_something_else_is_refused(docs: ModuleType) -> None:
    with pytest.raises(SystemExit, match="quote what has a colon"):
        docs.sentences([{"Safe": "at any time"}], "roles/x")
