from __future__ import annotations

import base64
import json
import stat
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote
from xml.etree import ElementTree

import pytest
from holdfast import artifacts
from holdfast.exit_codes import ExitCode
from holdfast.request import RunRequest
from holdfast.runner import run

MakeRequest = Callable[..., RunRequest]
WriteBook = Callable[[str, str], Path]
CANARIES = {name: f"CANARY/{name}+{name[::-1]}=&%" for name in ("vault", "env", "extra", "result", "nolog", "url")}

# The same secret turns up plainly, escaped, encoded, in arguments, results, messages and warnings.
LEAKY = """
- name: Show {{ app_password }}
  ansible.builtin.debug: {msg: "the value is {{ lookup('ansible.builtin.file', playbook_dir ~ '/plain') }}"}
- name: As argument
  ansible.builtin.command:
    argv: ["echo", "{{ app_password }}", "{{ lookup('ansible.builtin.env', 'HOLDFAST_API_TOKEN') }}"]
- name: Encoded
  ansible.builtin.debug:
    msg: "{{ app_password | b64encode }} {{ ('user:' ~ app_password) | b64encode }} {{ app_password | urlencode }}"
- name: In a result, under a telling name, and later plainly
  ansible.builtin.set_fact: {admin_password: "@result@"}
- name: Later plainly
  ansible.builtin.debug: {msg: "said @result@ again"}
- name: Hidden
  ansible.builtin.command: {argv: [echo, "{{ lookup('ansible.builtin.file', playbook_dir ~ '/hidden') }}"]}
  no_log: true
- name: In an error message
  ansible.builtin.fail:
    msg: >-
      cannot reach postgres://app:hunter2hunter2@db/x as @vault@; token=@env@;
      https://x/?q={{ '@vault@' | urlencode }}
"""


@pytest.fixture
def leaked(
    root: Path,
    playbook: WriteBook,
    make_request: MakeRequest,
    vault_file: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> dict[str, bytes]:
    """Every byte of every artifact of a run that leaks as much as it can."""
    vault_file(f"orders_db_app: '{CANARIES['vault']}'\n")
    (root / "playbooks" / "plain").write_text(CANARIES["vault"])
    (root / "playbooks" / "hidden").write_text(CANARIES["nolog"])
    monkeypatch.setenv("HOLDFAST_API_TOKEN", CANARIES["env"])
    monkeypatch.setenv("PGPASSWORD", CANARIES["url"])
    text = LEAKY
    for name, value in CANARIES.items():
        text = text.replace(f"@{name}@", value)
    playbook("site.yml", text)
    outcome = run(make_request(extravars=(("app_password", CANARIES["extra"]),), verbosity=4, diff=True))
    assert outcome.code is ExitCode.FAILED
    assert outcome.vault_note == "read 1 file(s)"
    return {str(p): p.read_bytes() for p in (root / ".holdfast" / "runs").rglob("*") if p.is_file()}


def test_no_artifact_holds_a_secret_in_any_form(leaked: dict[str, bytes]) -> None:
    assert {Path(p).name for p in leaked} == {"summary.json", "junit.xml", "stdout.log"}
    for path, content in leaked.items():
        assert b"hunter2hunter2" not in content, path
        for name, secret in CANARIES.items():
            raw = secret.encode()
            forms = {
                secret, quote(secret), quote(secret, safe=""), json.dumps(secret)[1:-1], secret.replace("&", "&amp;"),
                base64.b64encode(raw).decode().rstrip("="), base64.urlsafe_b64encode(raw).decode().rstrip("="),
                base64.b64encode(b"user:" + raw).decode()[8:-4], f"CANARY/{name}",
            }  # fmt: skip
            assert not [form for form in forms if form.encode() in content], (path, name)


def test_what_is_left_can_still_be_read(leaked: dict[str, bytes]) -> None:
    log = next(content for path, content in leaked.items() if path.endswith("stdout.log")).decode()
    assert "the value is ***" in log
    assert "cannot reach postgres://app:***@db/x as ***" in log
    assert "TASK [Hidden]" in log


def test_the_folder_is_private_and_the_summary_says_what_happened(
    playbook: WriteBook, make_request: MakeRequest
) -> None:
    playbook(
        "site.yml",
        "- name: Change\n  ansible.builtin.command: 'true'\n"
        "- name: Fail\n  ansible.builtin.fail: {msg: because}\n  when: inventory_hostname == 'n2'\n",
    )
    outcome = run(make_request(tags="all"))
    folder = outcome.folder
    assert folder is not None
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(p.stat().st_mode) for p in folder.iterdir()} == {0o600}
    assert folder.name.endswith(f"Z-apply-{outcome.run_id}")
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["exit_code"] == 1
    assert summary["exit_meaning"] == ExitCode.FAILED.meaning
    assert summary["inventory"] == "inventories/lab"
    assert summary["start"] < summary["end"]
    assert summary["hosts"]["n2"] == {"ok": 0, "changed": 1, "failed": 1, "unreachable": 0, "skipped": 0, "ignored": 0}
    assert summary["failed_tasks"] == [
        {
            "play": "Play one",
            "task": "Fail",
            "host": "n2",
            "outcome": "failed",
            "message": "because",
            "refusal": None,
            "violations": [],
        }
    ]
    assert {(t["task"], t["host"]) for t in summary["changed_tasks"]} == {("Change", "n1"), ("Change", "n2")}
    suite = ElementTree.fromstring((folder / "junit.xml").read_text())  # noqa: S314
    assert {k: suite.get(k) for k in ("tests", "failures", "errors", "skipped")} == {
        "tests": "4",
        "failures": "1",
        "errors": "0",
        "skipped": "1",
    }
    assert [c.get("name") for c in suite if c.find("failure") is not None] == ["[n2] Fail"]


def test_a_run_that_could_not_start_is_an_error_in_junit(playbook: WriteBook, make_request: MakeRequest) -> None:
    playbook("site.yml", "- no.such.module: {}")
    outcome = run(make_request())
    assert outcome.folder is not None
    suite = ElementTree.fromstring((outcome.folder / "junit.xml").read_text())  # noqa: S314
    assert suite.get("errors") == "1"
    assert "no.such.module" in json.loads((outcome.folder / "summary.json").read_text())["complaint"]


def test_control_characters_do_not_break_the_xml(playbook: WriteBook, make_request: MakeRequest) -> None:
    playbook("site.yml", '- ansible.builtin.fail: {msg: "\\u0000bell\\u0007 <&> \\u001b[31m"}')
    outcome = run(make_request())
    assert outcome.folder is not None
    ElementTree.fromstring((outcome.folder / "junit.xml").read_text())  # noqa: S314


def test_folders_of_polling_verbs_are_thinned_out(
    root: Path, playbook: WriteBook, make_request: MakeRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(artifacts, "KEEP_READ_ONLY", 2)
    playbook("show_status.yml", "- ansible.builtin.debug: {}")
    runs = root / ".holdfast" / "runs"
    for name in (
        "20200101T000000Z-status-aaaaaaaa",
        "20200102T000000Z-status-bbbbbbbb",
        "20200101T000000Z-apply-cccccccc",
        "other",
    ):
        (runs / name).mkdir(parents=True)
    run(make_request("show_status.yml", verb="status", read_only=True, reads_vault=False))
    left = sorted(p.name for p in runs.iterdir())
    assert "20200101T000000Z-status-aaaaaaaa" not in left
    assert {"20200102T000000Z-status-bbbbbbbb", "20200101T000000Z-apply-cccccccc", "other"} < set(left)
