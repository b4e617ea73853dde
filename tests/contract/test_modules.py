"""What a module documents is what it takes: options, types, choices and defaults; action plugins likewise."""

from __future__ import annotations

import ast
import contextlib
import importlib
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.module_utils.basic import AnsibleModule
from ansible.plugins.action import ActionBase

PLUGINS = Path(__file__).resolve().parents[2] / "plugins"
COLLECTION = "holdfast.stateful"
PACKAGE = "ansible_collections.holdfast.stateful.plugins"
COMPARED = ("type", "elements", "choices", "required", "default")

Findings = list[str]
Options = dict[str, dict[str, Any]]


def names(kind: str) -> list[str]:
    return sorted(path.stem for path in (PLUGINS / kind).glob("*.py") if path.stem != "__init__")


# -- the three documents -----------------------------------------------------------------------------------------------


def documents(source: str) -> dict[str, str]:
    """Return the strings DOCUMENTATION, EXAMPLES and RETURN of a module's source."""
    found = {}
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            name = node.targets[0].id
            if name in ("DOCUMENTATION", "EXAMPLES", "RETURN"):
                found[name] = str(ast.literal_eval(node.value))
    return found


def check_documents(name: str, source: str) -> Findings:
    texts, found = documents(source), []
    for kind in ("DOCUMENTATION", "EXAMPLES", "RETURN"):
        try:
            content = yaml.safe_load(texts.get(kind, ""))
        except yaml.YAMLError as error:
            found.append(f"{kind} can't be parsed: {error}")
            continue
        if not content:
            found.append(f"{kind} is missing or empty")
        elif kind == "DOCUMENTATION":
            keys = ("author", "version_added", "short_description", "description")
            found += [f"{kind} has no {key}" for key in keys if not content.get(key)]
            if content.get("module") != name:
                found.append(f"{kind} is about {content.get('module')}")
        elif kind == "EXAMPLES":
            used = {key for task in content for key in task}
            if f"{COLLECTION}.{name}" not in used:
                found.append(f"{kind} never call {COLLECTION}.{name}")
        elif kind == "RETURN":
            found += [
                f"{kind}: {key} has no description" for key, item in content.items() if not item.get("description")
            ]
    return found


@pytest.mark.parametrize("name", names("modules"))
def test_documents(name: str) -> None:
    assert check_documents(name, (PLUGINS / "modules" / f"{name}.py").read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("name", names("action"))
def test_action_plugin_has_a_module_that_documents_it(name: str) -> None:
    assert (PLUGINS / "modules" / f"{name}.py").exists()


# -- options -----------------------------------------------------------------------------------------------------------


class Captured(Exception):  # noqa: N818 - not an error
    """Carries the argument spec out of the module."""

    def __init__(self, spec: Options) -> None:
        self.spec = spec


def module_spec(name: str, monkeypatch: pytest.MonkeyPatch) -> Options | None:
    """Return what the module gives to AnsibleModule; None when it is documentation for an action plugin only."""

    def capture(_self: Any, argument_spec: Options, **_others: Any) -> None:
        raise Captured(argument_spec)

    module = importlib.import_module(f"{PACKAGE}.modules.{name}")
    monkeypatch.setattr(AnsibleModule, "__init__", capture)
    if not hasattr(module, "main"):
        return None
    with contextlib.suppress(SystemExit):
        try:
            module.main()
        except Captured as captured:
            return captured.spec
    raise AssertionError(f"{name}: main() never makes an AnsibleModule")


def action_spec(name: str, monkeypatch: pytest.MonkeyPatch) -> Options:
    """Return what the action plugin validates its arguments with."""

    def capture(_self: Any, argument_spec: Options, **_others: Any) -> None:
        raise Captured(argument_spec)

    plugin = importlib.import_module(f"{PACKAGE}.action.{name}").ActionModule
    monkeypatch.setattr(ActionBase, "run", lambda *_arguments, **_named: {})
    monkeypatch.setattr(ActionBase, "validate_argument_spec", capture)
    with pytest.raises(Captured) as captured:
        plugin.__new__(plugin).run(None, {})
    return captured.value.spec


def normal(option: dict[str, Any], nested: str) -> dict[str, Any]:
    """Bring both notations to one: a missing default is None, a missing type a string."""
    found = {key: option.get(key) for key in COMPARED}
    found["type"] = found["type"] or "str"
    found["required"] = bool(found["required"])
    found["choices"] = sorted(map(str, found["choices"])) if found["choices"] else None
    found["aliases"] = sorted(option.get("aliases") or [])
    if found["default"] is not None and found["type"] in ("int", "float"):
        found["default"] = float(found["default"])
    inner = option.get(nested) or {}
    found["options"] = {name: normal(item, nested) for name, item in inner.items()}
    return found


def differences(spec: Options, documented: Options) -> Findings:
    """Compare an argument spec with documented options. What begins with "_" is between an action and its module."""
    public, documented = (
        {name: option for name, option in options.items() if not name.startswith("_")} for options in (spec, documented)
    )
    found = [f"{name} is taken, but not documented" for name in sorted(set(public) - set(documented))]
    found += [f"{name} is documented, but not taken" for name in sorted(set(documented) - set(public))]
    for name in sorted(set(public) & set(documented)):
        taken, said = normal(public[name], "options"), normal(documented[name], "suboptions")
        found += [
            f"{name}: {key} is {taken[key]!r}, documented is {said[key]!r}" for key in taken if taken[key] != said[key]
        ]
    return found


@pytest.fixture(scope="session")
def documented(root: Path, ansible: dict[str, str]) -> dict[str, Options]:
    """The options of all modules as Ansible reads them, shared fragments included."""
    command = ["ansible-doc", "--json", "--type", "module", *(f"{COLLECTION}.{name}" for name in names("modules"))]
    done = subprocess.run(command, cwd=root, env=ansible, capture_output=True, text=True, check=True)
    return {name.rpartition(".")[2]: item["doc"].get("options") or {} for name, item in json.loads(done.stdout).items()}


@pytest.mark.parametrize("name", names("modules"))
def test_options_of_module(name: str, documented: dict[str, Options], monkeypatch: pytest.MonkeyPatch) -> None:
    spec = module_spec(name, monkeypatch)
    if spec is None:
        assert name in names("action"), "neither a module nor an action plugin does anything"
    else:
        assert differences(spec, documented[name]) == []


@pytest.mark.parametrize("name", names("action"))
def test_options_of_action(name: str, documented: dict[str, Options], monkeypatch: pytest.MonkeyPatch) -> None:
    assert differences(action_spec(name, monkeypatch), documented[name]) == []


# -- the checks themselves ---------------------------------------------------------------------------------------------

GOOD = '''
DOCUMENTATION = r"""
module: thing
author: Me (@me)
version_added: "0.1.0"
short_description: A thing
description: [It does it.]
"""
EXAMPLES = r"""
- name: Do it
  holdfast.stateful.thing:
"""
RETURN = r"""
done: {description: Whether, type: bool, returned: success}
"""
'''


def test_good_documents_pass() -> None:
    assert check_documents("thing", GOOD) == []


@pytest.mark.parametrize(
    ("part", "instead"),
    [
        ("DOCUMENTATION", "SOMETHING"),
        ("EXAMPLES", "SOMETHING"),
        ("RETURN", "SOMETHING"),
        ("module: thing", "module: [thing"),
        ("module: thing", "module: other"),
        ("author: Me (@me)", ""),
        ('version_added: "0.1.0"', ""),
        ("holdfast.stateful.thing", "thing"),
        ("description: Whether, ", ""),
    ],
)
def test_damaged_documents_do_not(part: str, instead: str) -> None:
    assert check_documents("thing", GOOD.replace(part, instead))


SPEC: Options = {
    "name": {"required": True},
    "_internal": {"type": "str"},
    "size": {"type": "float", "default": 3},
    "items": {"type": "list", "elements": "dict", "options": {"state": {"choices": ["a", "b"], "default": "a"}}},
}
DOCUMENTED: Options = {
    "name": {"type": "str", "required": True},
    "size": {"type": "float", "default": 3.0},
    "items": {
        "type": "list",
        "elements": "dict",
        "suboptions": {"state": {"type": "str", "choices": ["a", "b"], "default": "a"}},
    },
}


def test_equal_options_pass() -> None:
    assert differences(SPEC, DOCUMENTED) == []


@pytest.mark.parametrize(
    "damage",
    [
        {"name": {"type": "str"}},
        {"name": {"type": "int", "required": True}},
        {"size": {"type": "float", "default": 4}},
        {"more": {"type": "str"}},
        {"items": {**DOCUMENTED["items"], "elements": "str"}},
        {"items": {**DOCUMENTED["items"], "suboptions": {}}},
        {"items": {**DOCUMENTED["items"], "suboptions": {"state": {"choices": ["a"], "default": "a"}}}},
    ],
)
def test_different_options_do_not(damage: Options) -> None:
    assert differences(SPEC, DOCUMENTED | damage)


def test_an_undocumented_option_is_noticed() -> None:
    assert differences(SPEC | {"more": {"type": "str"}}, DOCUMENTED) == ["more is taken, but not documented"]
