# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The action plugin as Ansible runs it, on this machine, below a temporary folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.holdfast.stateful.plugins.action import host_state
from ansible_collections.holdfast.stateful.plugins.action.host_state import given, merge

CHECKOUT = Path(__file__).resolve().parents[4]

TASKS = """
- name: Reference
  ansible.builtin.template:
    src: "{{ target | regex_replace('^/', '') }}/app.conf.j2"
    dest: "{{ target }}/reference.conf"
    mode: "0644"
  when: with_reference | default(false)
- name: Converge
  holdfast.stateful.host_state:
    directories:
      - {path: "{{ target }}/d", owner: "{{ me }}", group: "{{ us }}", mode: "0750"}
    files:
      - {path: "{{ target }}/app.conf", owner: "{{ me }}", group: "{{ us }}"}
      - {path: "{{ target }}/d/secret", owner: "{{ me }}", group: "{{ us }}", mode: "0600", secret: true,
         content: "password {{ password }}"}
      - {path: "{{ target }}/raw", owner: "{{ me }}", group: "{{ us }}", src: raw}
      - {path: "{{ target }}/once", create_only: true, defer: true}
    units: "{{ units | default([]) }}"
  register: converged
- name: Result
  ansible.builtin.copy:
    content: "{{ converged | to_json }}"
    dest: "{{ result }}"
    mode: "0600"
  check_mode: false
  diff: false
"""

TEMPLATE = """# {{ ansible_managed }}
{% for number in [1, 2] %}
  value = {{ number }} \\n {{ template_destpath | basename | length > 0 }}
{% endfor %}
{% include 'part.j2' %}
{% if true %}end{% endif %}

"""


class Sandbox:
    """A role, a playbook and a target folder."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.target = base / "target"
        self.target.mkdir()
        role = base / "roles" / "demo"
        templates = role / "templates" / str(self.target).lstrip("/")
        templates.mkdir(parents=True)
        (templates / "app.conf.j2").write_text(TEMPLATE)
        (role / "templates" / "part.j2").write_text("included {{ target }}\n")
        (role / "files").mkdir()
        (role / "files" / "raw").write_bytes(b"{{ untouched }}\xff\n")
        (role / "tasks").mkdir()
        (role / "tasks" / "main.yml").write_text(TASKS)
        (base / "ansible.cfg").touch()
        (base / "play.yml").write_text("- hosts: localhost\n  gather_facts: false\n  roles: [demo]\n")

    def run(self, *options: str, **variables: Any) -> tuple[int, str, dict[str, Any]]:
        result = self.base / "result.json"
        result.unlink(missing_ok=True)
        given_variables = {
            "target": str(self.target),
            "result": str(result),
            "me": str(os.getuid()),
            "us": str(os.getgid()),
            "password": "tops3cretvalue",
            "ansible_python_interpreter": sys.executable,
            **variables,
        }
        (self.base / "variables.json").write_text(json.dumps(given_variables))
        done = subprocess.run(
            [
                str(Path(sys.executable).with_name("ansible-playbook")),
                *("-i", "localhost,", "-c", "local", "-e", f"@{self.base / 'variables.json'}"),
                *options,
                str(self.base / "play.yml"),
            ],
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(self.base),
                "ANSIBLE_CONFIG": str(self.base / "ansible.cfg"),
                "ANSIBLE_COLLECTIONS_PATH": str(CHECKOUT / "collections"),
                "ANSIBLE_PIPELINING": "True",
                "LC_ALL": "C.UTF-8",
            },
            capture_output=True,
            text=True,
            check=False,
        )
        table = json.loads(result.read_text()) if result.exists() else {}
        return done.returncode, done.stdout + done.stderr, table


@pytest.fixture
def sandbox(tmp_path: Path) -> Sandbox:
    return Sandbox(tmp_path)


def test_predict_converge_rest(sandbox: Sandbox) -> None:
    code, output, predicted = sandbox.run("--check", "--diff")
    assert code == 0, output
    assert list(sandbox.target.iterdir()) == []

    code, output, real = sandbox.run("--diff", "-vvvvv", with_reference=True)
    assert code == 0, output
    assert "tops3cretvalue" not in output
    assert "content differs (secret)" in output
    target = str(sandbox.target)
    assert real["changed_files"] == [f"{target}/d", f"{target}/app.conf", f"{target}/d/secret", f"{target}/raw"]
    assert real["absent"] == [f"{target}/once"]
    assert {key: predicted[key] for key in predicted if key != "invocation"} == {
        key: real[key] for key in real if key != "invocation"
    }
    rendered, reference = (sandbox.target / name for name in ("app.conf", "reference.conf"))
    assert rendered.read_text() == reference.read_text()
    assert (sandbox.target / "raw").read_bytes() == b"{{ untouched }}\xff\n"
    assert (sandbox.target / "d" / "secret").read_text() == "password tops3cretvalue"

    code, output, again = sandbox.run()
    assert code == 0, output
    assert again["changed"] is False
    assert again["changed_files"] == []


def test_a_one_letter_secret_blanks_nothing(sandbox: Sandbox) -> None:
    code, output, result = sandbox.run(password="e")
    assert code == 0, output
    assert result["changed_files"][0] == f"{sandbox.target}/d"


def test_errors_name_the_host_and_keep_what_is_done(sandbox: Sandbox) -> None:
    unit = {"name": "holdfast-no-such-unit.service", "enabled": True}
    code, output, _result = sandbox.run(units=[unit])
    assert code == 2
    assert "localhost: " in output
    assert "holdfast-no-such-unit.service: expected" in output
    assert (sandbox.target / "app.conf").exists()


def test_a_missing_template_is_named(sandbox: Sandbox) -> None:
    (sandbox.base / "roles/demo/templates" / str(sandbox.target).lstrip("/") / "app.conf.j2").unlink()
    code, output, _result = sandbox.run()
    assert code == 2
    assert f"{sandbox.target}/app.conf: expected templates/" in output


def test_an_undefined_variable_is_named(sandbox: Sandbox) -> None:
    template = sandbox.base / "roles/demo/templates" / str(sandbox.target).lstrip("/") / "app.conf.j2"
    template.write_text("{{ no_such_variable }}\n")
    code, output, _result = sandbox.run()
    assert code == 2
    assert "no_such_variable" in output
    assert list(sandbox.target.iterdir()) == []


def test_merge_joins_the_calls_around_apt() -> None:
    first = {"changed": True, "changed_files": ["/a"], "missing_packages": ["p"], "dpkg_repaired": True, "absent": []}
    last = {"changed": False, "changed_files": ["/b", "/a"], "missing_packages": [], "absent": ["/c"], "failed": False}
    assert merge(first, last) == {
        "changed": True,
        "changed_files": ["/a", "/b"],
        "missing_packages": ["p"],
        "dpkg_repaired": True,
        "absent": ["/c"],
        "failed": False,
    }


def test_given_leaves_out_nulls_only() -> None:
    assert given({"a": None, "b": False, "c": ""}) == {"b": False, "c": ""}


@pytest.mark.parametrize(
    ("first", "seconds"),
    [
        ({"changed_files": ["/etc/x/y"]}, 3600),
        ({"changed_files": ["/etc/apt/sources.list.d/x.sources"]}, 0),
        ({"changed_files": [], "lists_older": True}, 0),
    ],
)
def test_apt_reads_its_sources_where_they_changed(first: dict[str, Any], seconds: int) -> None:
    asked: list[tuple[str, dict[str, Any]]] = []

    def execute(module_name: str, module_args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        del task_vars
        asked.append((module_name, module_args))
        return {**first, "missing_packages": ["x"]} if len(asked) == 1 else {"changed_files": []}

    action = object.__new__(host_state.ActionModule)
    action._task = SimpleNamespace(check_mode=False)
    action._execute_module = execute
    action._converge({}, {})
    assert [name for name, _given in asked] == [host_state.MODULE, "ansible.builtin.apt", host_state.MODULE]
    assert asked[1][1]["cache_valid_time"] == seconds
