"""No package starts a service while ours is in force, and the administrator's policy comes back."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest
from ansible_collections.holdfast.stateful.plugins.module_utils import host_state_policy as policy


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "policy-rc.d"
    monkeypatch.setattr(policy, "POLICY_FILE", str(path))
    return path


def answer(file: Path) -> int:
    return subprocess.run([str(file), "rabbitmq-server", "start"], check=False).returncode


def age(file: Path, minutes: float) -> None:
    then = time.time() - minutes * 60
    os.utime(file, (then, then))


def test_it_refuses_for_its_time_and_then_decides_nothing(file: Path) -> None:
    policy.hold()
    assert answer(file) == 101
    age(file, policy.HOLD_MINUTES - 2)
    assert answer(file) == 101
    age(file, policy.HOLD_MINUTES + 2)
    assert answer(file) == 0


def test_another_hold_begins_its_time_anew(file: Path) -> None:
    policy.hold()
    age(file, policy.HOLD_MINUTES + 2)
    policy.hold()
    assert answer(file) == 101


def test_release_removes_it(file: Path) -> None:
    policy.hold()
    assert policy.release()
    assert not file.exists()
    assert not policy.release()


@pytest.mark.parametrize(("minutes", "released"), [(0, False), (29, False), (31, True)])
def test_only_what_is_over_is_released(file: Path, minutes: float, released: bool) -> None:
    policy.hold()
    age(file, minutes)
    assert policy.release(expired_only=True) is released
    assert file.exists() is not released


def test_the_administrators_policy_is_kept_asked_and_put_back(file: Path) -> None:
    file.write_text("#!/bin/sh\nexit 104\n")
    file.chmod(0o755)
    policy.hold()
    policy.hold()
    assert answer(file) == 101
    age(file, policy.HOLD_MINUTES + 2)
    assert answer(file) == 104
    assert policy.release(expired_only=True)
    assert answer(file) == 104
    assert not policy.release()
