"""Real runs of small playbooks through ansible-runner."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from holdfast.exit_codes import ExitCode
from holdfast.progress import PlainProgress
from holdfast.request import RunRequest
from holdfast.runner import run

MakeRequest = Callable[..., RunRequest]
WriteBook = Callable[[str, str], Path]


def test_a_good_run_counts_publishes_and_leaves_no_private_folder(
    playbook: WriteBook, make_request: MakeRequest
) -> None:
    playbook(
        "site.yml",
        """
        - name: Change
          ansible.builtin.command: "true"
        - name: Look
          ansible.builtin.debug: {msg: "{{ holdfast_service }}"}
        - name: Publish
          ansible.builtin.set_stats: {data: {status: {services: [{service: "{{ holdfast_service }}"}]}}}
        """,
    )
    outcome = run(make_request(service="orders-db"))
    assert outcome.code is ExitCode.OK, outcome.complaint
    assert outcome.published == {"status": {"services": [{"service": "orders-db"}]}}
    assert {host: (c["changed"], c["ok"]) for host, c in outcome.log.counts.items()} == {"n1": (1, 2), "n2": (1, 2)}
    assert not list(Path("/dev/shm").glob(f"holdfast-{os.getpid()}-*"))  # noqa: S108


TASKS = {
    "a failed task": ("- ansible.builtin.fail: {msg: no}", ExitCode.FAILED),
    "a rescued failure": (
        "- block: [{ansible.builtin.fail: {msg: x}}]\n  rescue: [{ansible.builtin.debug: {}}]",
        ExitCode.OK,
    ),
    "an ignored failure": ("- ansible.builtin.fail: {msg: x}\n  ignore_errors: true", ExitCode.OK),
    "an unreachable host": (
        "- ansible.builtin.ping: {}\n  vars: {ansible_connection: ssh, ansible_host: 127.0.0.1, ansible_port: 1}",
        ExitCode.UNREACHABLE,
    ),
    "a failure on one host and another unreachable": (
        "- ansible.builtin.fail: {msg: no}\n  when: inventory_hostname == 'n1'\n"
        "- ansible.builtin.ping: {}\n  vars: {ansible_connection: ssh, ansible_host: 127.0.0.1, ansible_port: 1}",
        ExitCode.UNREACHABLE,
    ),
    "a broken playbook": ("- ansible.builtin.fail: {msg: no\n", ExitCode.BAD_INPUT),
    "an unknown module": ("- no.such.module: {}\n", ExitCode.BAD_INPUT),
}


@pytest.mark.parametrize(("tasks", "expected"), TASKS.values(), ids=TASKS.keys())
def test_how_a_run_ends_becomes_its_code(
    playbook: WriteBook, make_request: MakeRequest, tasks: str, expected: ExitCode
) -> None:
    playbook("site.yml", tasks)
    outcome = run(make_request())
    assert outcome.code is expected, (outcome.rc, outcome.complaint, outcome.log.results)
    if expected is ExitCode.BAD_INPUT:
        assert "ERROR" in outcome.complaint


REFUSING = """
#!/usr/bin/python
from ansible.module_utils.basic import AnsibleModule
m = AnsibleModule(argument_spec={"kind": {"type": "str"}})
m.fail_json(msg="refused", refusal=m.params["kind"], violations=[{"path": "a.b", "wrong": "is 3", "nearest": "5"}])
"""


@pytest.mark.parametrize(
    ("tasks", "expected"),
    [
        ("- refuse: {kind: input}", ExitCode.BAD_INPUT),
        ("- refuse: {kind: gate}", ExitCode.REFUSED),
        ("- refuse: {kind: '{{ item }}'}\n  loop: [gate, input]", ExitCode.BAD_INPUT),
        ("- refuse: {kind: \"{{ 'gate' if inventory_hostname == 'n1' else 'input' }}\"}", ExitCode.BAD_INPUT),
        ("- block: [{refuse: {kind: gate}}]\n  rescue: [{ansible.builtin.debug: {}}]", ExitCode.OK),
    ],
)
def test_refusals_have_their_own_codes(
    root: Path, playbook: WriteBook, make_request: MakeRequest, tasks: str, expected: ExitCode
) -> None:
    (root / "playbooks" / "library").mkdir()
    (root / "playbooks" / "library" / "refuse.py").write_text(REFUSING.lstrip())
    playbook("site.yml", tasks)
    assert run(make_request()).code is expected


@pytest.mark.parametrize("text", ["all: [oops", "all: {hosts: [wrong shape]}"])
def test_a_broken_inventory_is_bad_input(root: Path, playbook: WriteBook, make_request: MakeRequest, text: str) -> None:
    playbook("site.yml", "- ansible.builtin.debug: {}")
    (root / "inventories" / "lab" / "hosts.yml").write_text(text)
    outcome = run(make_request())
    assert outcome.code is ExitCode.BAD_INPUT
    assert "hosts.yml" in outcome.complaint


def test_a_limit_that_matches_nothing_is_bad_input(playbook: WriteBook, make_request: MakeRequest) -> None:
    playbook("site.yml", "- ansible.builtin.debug: {}")
    outcome = run(make_request(limit="nobody"))
    assert outcome.code is ExitCode.BAD_INPUT
    assert "no hosts to target" in outcome.complaint


def test_ansible_sees_only_the_allowed_environment_and_the_projects_config(
    root: Path, playbook: WriteBook, make_request: MakeRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary")
    monkeypatch.setenv("HOLDFAST_LAB_ID", "seven")
    playbook("site.yml", "- ansible.builtin.shell: env > {{ playbook_dir }}/env-{{ inventory_hostname }}; pwd")
    assert run(make_request()).code is ExitCode.OK
    seen = dict(line.split("=", 1) for line in (root / "playbooks" / "env-n1").read_text().splitlines() if "=" in line)
    assert "AWS_SECRET_ACCESS_KEY" not in seen
    assert seen["HOLDFAST_LAB_ID"] == "seven"
    assert seen["ANSIBLE_HOST_KEY_CHECKING"] == "True"
    assert seen["ANSIBLE_CONFIG"] == str(root / "ansible.cfg")
    assert "ANSIBLE_CACHE_PLUGIN" not in seen


def test_a_judge_has_the_last_word_on_success_and_on_what_was_published(
    playbook: WriteBook, make_request: MakeRequest
) -> None:
    def judge(published: Mapping[str, Any]) -> ExitCode:
        return ExitCode.UNHEALTHY if published.get("bad") else ExitCode.OK

    playbook("site.yml", "- ansible.builtin.set_stats: {data: {bad: true}}\n- ansible.builtin.fail: {msg: x}")
    assert run(make_request(), judge=judge).code is ExitCode.UNHEALTHY
    playbook("site.yml", "- ansible.builtin.set_stats: {data: {bad: false}}\n- ansible.builtin.fail: {msg: x}")
    assert run(make_request(), judge=judge).code is ExitCode.FAILED


def test_an_error_in_our_own_code_does_not_leave_ansible_running(
    playbook: WriteBook, make_request: MakeRequest
) -> None:
    class Broken(PlainProgress):
        def on_event(self, *_: object) -> None:
            raise RuntimeError("broken view")

    from holdfast.cancel import left_over
    from holdfast.exit_codes import HoldfastError

    playbook("site.yml", "- ansible.builtin.command: sleep 60")
    with pytest.raises(HoldfastError, match="broken view"):
        run(make_request(), lambda redactor: Broken(open(os.devnull, "w"), redactor))  # noqa: SIM115, PTH123
    assert not left_over("")


def test_check_and_diff_reach_ansible(root: Path, playbook: WriteBook, make_request: MakeRequest) -> None:
    playbook("site.yml", "- ansible.builtin.copy: {content: new, dest: '{{ playbook_dir }}/made', mode: '0600'}")
    outcome = run(make_request(check=True, diff=True, limit="n1"))
    assert outcome.code is ExitCode.OK
    assert not (root / "playbooks" / "made").exists()
    assert outcome.folder is not None
    assert "+new" in (outcome.folder / "stdout.log").read_text()
    assert json.loads((outcome.folder / "summary.json").read_text())["changed_tasks"] == [
        {"task": "ansible.builtin.copy", "host": "n1"}
    ]
