from __future__ import annotations

from pathlib import Path

import pytest
from holdfast.environment import ansible_environment, keep_allowed


def test_only_what_is_allowed_passes(root: Path) -> None:
    source = {
        "PATH": "/bin", "HOME": "/root", "AWS_SECRET_ACCESS_KEY": "x", "PGPASSWORD": "y", "HOLDFAST_LAB_ID": "7",
        "ANSIBLE_FORKS": "3", "SSH_AUTH_SOCK": "/s", "LD_PRELOAD": "/evil",
        "ANSIBLE_CONFIG": "/other", "ANSIBLE_FORCE_COLOR": "1",
    }  # fmt: skip
    chosen = ansible_environment(root, "abc", source)
    assert set(chosen) == {
        "PATH", "HOME", "LANG", "HOLDFAST_LAB_ID", "HOLDFAST_ROOT", "HOLDFAST_RUN_ID", "ANSIBLE_FORKS", "SSH_AUTH_SOCK",
        "ANSIBLE_CONFIG", "ANSIBLE_NOCOLOR", "ANSIBLE_HOST_KEY_CHECKING", "ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED",
    }  # fmt: skip
    assert chosen["ANSIBLE_CONFIG"] == str(root / "ansible.cfg")
    assert chosen["PATH"].endswith(":/bin")


@pytest.mark.parametrize(
    ("text", "expected"), [("True", "True"), ("False", "False"), ("nonsense", "True"), (None, "True")]
)
def test_host_keys_are_checked_unless_the_project_says_not(root: Path, text: str | None, expected: str) -> None:
    (root / "ansible.cfg").write_text("[defaults]\n" + (f"host_key_checking = {text}\n" if text else ""))
    assert ansible_environment(root, "abc", {})["ANSIBLE_HOST_KEY_CHECKING"] == expected


def test_what_ansible_runner_adds_of_our_environment_is_cut_off() -> None:
    chosen = {"PATH": "/bin", "ANSIBLE_FORKS": "3"}
    kept = keep_allowed(
        {"PATH": "/x", "PGPASSWORD": "y", "AWX_ISOLATED_DATA_DIR": "/d", "ANSIBLE_STDOUT_CALLBACK": "awx_display"},
        chosen,
    )
    assert kept == {**chosen, "AWX_ISOLATED_DATA_DIR": "/d", "ANSIBLE_STDOUT_CALLBACK": "awx_display"}
