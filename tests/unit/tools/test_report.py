from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

from holdfast.exit_codes import ExitCode
from holdfast.report import report, violation_text
from holdfast.request import RunRequest
from holdfast.runner import run

MakeRequest = Callable[..., RunRequest]
WriteBook = Callable[[str, str], Path]

VIOLATION = {
    "path": "service_catalog.orders-db.budget.rpo_seconds",
    "rule": "rpo-needs-quorum",
    "wrong": "is 0 with 2 members",
    "why": "with one member lost nobody can confirm a write",
    "nearest": {"members": 3},
}


def said(request: RunRequest, *, brief: bool = False) -> str:
    stream = io.StringIO()
    report(run(request), stream, brief=brief)
    return stream.getvalue()


def test_a_violation_is_a_short_paragraph() -> None:
    assert violation_text(VIOLATION) == (
        "service_catalog.orders-db.budget.rpo_seconds: is 0 with 2 members\n"
        "    rule: rpo-needs-quorum\n"
        "    why: with one member lost nobody can confirm a write\n"
        "    nearest that works: {'members': 3}"
    )
    assert violation_text({}) == "(catalog): is wrong"


def test_violations_of_all_hosts_are_said_once(root: Path, playbook: WriteBook, make_request: MakeRequest) -> None:
    (root / "playbooks" / "library").mkdir()
    (root / "playbooks" / "library" / "refuse.py").write_text(
        "#!/usr/bin/python\nfrom ansible.module_utils.basic import AnsibleModule\nimport json\n"
        "m = AnsibleModule(argument_spec={})\n"
        f"m.fail_json(msg='x', refusal='input', violations=json.loads({json.dumps(json.dumps([VIOLATION]))}))\n"
    )
    playbook("site.yml", "- refuse: {}")
    text = said(make_request())
    assert text.count("is 0 with 2 members") == 1
    assert "apply: 2 (the input is wrong" in text


def test_failures_name_hosts_and_are_redacted(playbook: WriteBook, make_request: MakeRequest) -> None:
    playbook("site.yml", "- name: Join\n  ansible.builtin.fail: {msg: 'no token=abcdefgh'}")
    text = said(make_request())
    assert "n1, n2: failed: Join\n    no token=***\n" in text
    assert "see " in text


def test_brief_says_nothing_after_success(playbook: WriteBook, make_request: MakeRequest) -> None:
    playbook("site.yml", "- ansible.builtin.debug: {}")
    assert said(make_request(), brief=True) == ""
    assert said(make_request()).startswith("apply: done; 2 ok")


def test_a_cancelled_run_says_what_was_in_progress(playbook: WriteBook, make_request: MakeRequest) -> None:
    playbook("site.yml", "- ansible.builtin.debug: {}")
    outcome = run(make_request())
    outcome.code, outcome.cancelled_by, outcome.in_progress = ExitCode.CANCELLED, "SIGINT", {"n1": "Join"}
    stream = io.StringIO()
    report(outcome, stream)
    assert "    n1: Join (play: Play one)\n" in stream.getvalue()
    assert "    holdfast apply\n" in stream.getvalue()
