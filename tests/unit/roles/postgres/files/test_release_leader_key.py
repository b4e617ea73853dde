"""The leader key is released only when this member's PostgreSQL is proven dead and another member can take over."""

from __future__ import annotations

import base64
import copy
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

SCRIPT = Path(__file__).resolve().parents[5] / "roles/postgres/files/release_leader_key.py"


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("release_leader_key", SCRIPT)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


hook = load()


def item(value: Any, **more: Any) -> dict[str, Any]:
    text = value if isinstance(value, str) else json.dumps(value)
    return {"value": base64.b64encode(text.encode()).decode(), **more}


def keys() -> dict[str, dict[str, Any]]:
    """A synchronous cluster that h1 leads and whose synchronous standby is h2."""
    return {
        "leader": item("h1", lease="7587", mod_revision="41"),
        "config": item({"ttl": 20, "synchronous_mode": True}),
        "sync": item({"leader": "h1", "sync_standby": "h2"}),
        "members/h1": item({"state": "running", "role": "primary"}),
        "members/h2": item({"state": "streaming", "role": "replica"}),
        "members/h3": item({"state": "streaming", "role": "replica"}),
    }


Change = Callable[[dict[str, dict[str, Any]]], Any]
LEFT_ALONE: list[tuple[str, Change, str]] = [
    ("another leads", lambda found: found.update(leader=item("h2", lease="1", mod_revision="2")), "the leader is h2"),
    ("nobody leads", lambda found: found.pop("leader"), "the leader is nobody"),
    ("no lease", lambda found: found["leader"].pop("lease"), "no lease"),
    ("paused", lambda found: found.update(config=item({"pause": True})), "paused"),
    ("no configuration", lambda found: found.pop("config"), "config"),
    ("broken configuration", lambda found: found.update(config=item("{")), "config"),
    ("single member", lambda found: (found.pop("members/h2"), found.pop("members/h3")), "no other member"),
    ("synchronous standby gone", lambda found: found.pop("members/h2"), "no other member"),
    (
        "synchronous standby barred",
        lambda found: found.update({"members/h2": item({"state": "streaming", "tags": {"nofailover": True}})}),
        "no other member",
    ),
    (
        "synchronous standby stopped",
        lambda found: found.update({"members/h2": item({"state": "stopped"})}),
        "no other member",
    ),
    (
        "no synchronous standby",
        lambda found: found.update(sync=item({"leader": "h1", "sync_standby": None})),
        "no other",
    ),
    ("sync key of another", lambda found: found.update(sync=item({"leader": "h3", "sync_standby": "h2"})), "no other"),
    ("sync key lost", lambda found: found.pop("sync"), "sync"),
    ("broken member", lambda found: found.update({"members/h3": item("[]x")}), "members/h3"),
]


def test_the_key_of_a_dead_leader_is_released_when_a_synchronous_standby_can_take_over() -> None:
    assert hook.judge(keys(), "h1")["mod_revision"] == "41"


def test_an_asynchronous_cluster_needs_any_other_member() -> None:
    found = keys()
    found["config"] = item({"ttl": 20})
    del found["sync"], found["members/h2"]
    assert hook.judge(found, "h1")["lease"] == "7587"


@pytest.mark.parametrize(("change", "said"), [row[1:] for row in LEFT_ALONE], ids=[row[0] for row in LEFT_ALONE])
def test_the_key_is_left_alone(change: Change, said: str) -> None:
    found = copy.deepcopy(keys())
    change(found)
    with pytest.raises(hook.LeaveKeyError, match=said):
        hook.judge(found, "h1")


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    return folder


@pytest.fixture
def server(tmp_path: Path, data_dir: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Start programs called postgres in a data directory."""
    program = tmp_path / "postgres"
    shutil.copy(shutil.which("sleep") or "", program)
    started: list[subprocess.Popen[bytes]] = []

    def start(cwd: Path = data_dir) -> subprocess.Popen[bytes]:
        process = subprocess.Popen([program, "60"], cwd=cwd)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


def test_a_living_postmaster_is_left_alone(server: Any, data_dir: Path) -> None:
    postmaster, backend = server(), server()
    (data_dir / "postmaster.pid").write_text(f"{postmaster.pid}\n{data_dir}\n")
    with pytest.raises(hook.LeaveKeyError, match="lives on"):
        hook.prove_dead(str(data_dir))
    assert postmaster.poll() is None
    assert backend.poll() is None


def test_a_postmaster_that_dies_a_moment_later_is_waited_for(server: Any, data_dir: Path) -> None:
    postmaster = server()
    (data_dir / "postmaster.pid").write_text(f"{postmaster.pid}\n")
    killer = subprocess.Popen(["sh", "-c", f"sleep 0.2; kill -9 {postmaster.pid}"])
    hook.prove_dead(str(data_dir))
    killer.wait()
    assert postmaster.wait(1) == -signal.SIGKILL


def test_orphans_of_a_dead_postmaster_are_killed_and_others_are_not(
    server: Any, data_dir: Path, tmp_path: Path
) -> None:
    postmaster, orphan = server(), server()
    elsewhere = server(tmp_path)
    (data_dir / "postmaster.pid").write_text(f"{postmaster.pid}\n")
    postmaster.kill()
    postmaster.wait()
    hook.prove_dead(str(data_dir))
    assert orphan.wait(1) == -signal.SIGKILL
    assert elsewhere.poll() is None
    assert hook.processes_of(str(data_dir)) == {}


def process(proc: Path, number: int, command: str, group: str, cwd: Path) -> None:
    """Write what the kernel tells of a process."""
    entry = proc / str(number)
    entry.mkdir(parents=True)
    (entry / "stat").write_text(f"{number} ({command}) S 1 1")
    (entry / "cgroup").write_text(f"1:name=systemd:/lab1\n0::{group}\n")
    (entry / "cwd").symlink_to(cwd)


def test_what_may_still_become_postgresql_is_one_of_its_processes(tmp_path: Path, data_dir: Path) -> None:
    proc, unit = tmp_path / "proc", "/system.slice/patroni.service"
    process(proc, 11, "python3", unit, tmp_path)
    process(proc, 12, "postgres", unit, tmp_path)  # has not entered its directory yet
    process(proc, 13, "patroni", f"{unit}/.control", tmp_path)
    process(proc, 14, "pgbackrest", unit, tmp_path)
    process(proc, 15, "python3", "/system.slice/cron.service", tmp_path)
    process(proc, 16, "postgres", "/system.slice/other.service", tmp_path)
    process(proc, 17, "postgres", "/system.slice/other.service", data_dir)
    assert sorted(hook.processes_of(str(data_dir), f"{unit}/", str(proc))) == [11, 12, 13, 17]
    assert sorted(hook.processes_of(str(data_dir), "", str(proc))) == [17]


def test_an_orphan_of_patroni_that_would_start_postgresql_is_killed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, data_dir: Path
) -> None:
    program = tmp_path / "python3-starter"
    shutil.copy(shutil.which("sleep") or "", program)
    orphan = subprocess.Popen([program, "60"])
    monkeypatch.setattr(hook, "group_of", lambda entry: "unit" if entry.name == str(orphan.pid) else "")
    try:
        hook.prove_dead(str(data_dir), "unit")
        assert orphan.wait(1) == -signal.SIGKILL
    finally:
        orphan.kill()


def test_what_starts_after_the_proof_keeps_the_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    deleted = []

    class Store:
        def __init__(self, _settings: Any) -> None:
            pass

        def prefix(self, _prefix: str) -> dict[str, dict[str, Any]]:
            return keys()

        def delete_unchanged(self, key: str, _item: Any) -> bool:
            deleted.append(key)
            return True

    config = {
        "data_dir": str(tmp_path),
        "bin_dir": "",
        "namespace": "/service/",
        "scope": "s",
        "name": "h1",
        "etcd": {},
    }
    monkeypatch.delenv("SERVICE_RESULT", raising=False)
    monkeypatch.setattr(hook, "Etcd", Store)
    monkeypatch.setattr(hook, "own_group", lambda: "unit")
    monkeypatch.setattr(hook, "prove_dead", lambda *_known: None)
    monkeypatch.setattr(hook, "prove_crashed", lambda *_known: None)
    monkeypatch.setattr(hook, "processes_of", lambda *_known: {77: "S"})
    with pytest.raises(hook.LeaveKeyError, match=r"processes \[77\] came meanwhile"):
        hook.release(config)
    assert deleted == []
    monkeypatch.setattr(hook, "processes_of", lambda *_known: {})
    assert "is released" in hook.release(config)
    assert deleted == ["/service/s/leader"]


def test_outside_of_the_unit_the_key_is_left_alone() -> None:
    with pytest.raises(hook.LeaveKeyError, match=r"control group of patroni\.service"):
        hook.own_group()


def test_a_program_of_another_name_is_no_postgresql(data_dir: Path) -> None:
    with subprocess.Popen(["sleep", "60"], cwd=data_dir) as shell:
        hook.prove_dead(str(data_dir))
        assert shell.poll() is None
        shell.kill()


def test_a_data_directory_that_is_not_there_proves_nothing(tmp_path: Path) -> None:
    with pytest.raises(hook.LeaveKeyError, match="can't be looked at"):
        hook.prove_dead(str(tmp_path / "none"))


@pytest.fixture
def bin_dir(tmp_path: Path) -> Callable[[str], str]:
    """Return a folder whose pg_controldata prints what it is given."""

    def make(text: str) -> str:
        program = tmp_path / "bin" / "pg_controldata"
        program.parent.mkdir()
        program.write_text(f"#!/bin/sh\ncat <<'END'\n{text}\nEND\n")
        program.chmod(0o755)
        return str(program.parent)

    return make


def test_a_primary_that_crashed_is_in_production_by_its_control_file(bin_dir: Any, data_dir: Path) -> None:
    hook.prove_crashed(
        str(data_dir), bin_dir("pg_control version number: 1700\nDatabase cluster state:   in production")
    )


@pytest.mark.parametrize("state", ["shut down", "shut down in recovery", "in archive recovery", "shutting down", ""])
def test_a_shutdown_or_a_standby_is_no_crashed_primary(bin_dir: Any, data_dir: Path, state: str) -> None:
    with pytest.raises(hook.LeaveKeyError, match="did not crash"):
        hook.prove_crashed(str(data_dir), bin_dir(f"Database cluster state:   {state}"))


def test_without_pg_controldata_nothing_is_proven(data_dir: Path) -> None:
    with pytest.raises(hook.LeaveKeyError, match="says nothing"):
        hook.prove_crashed(str(data_dir), "/none")


def run_hook(tmp_path: Path, result: str, **settings: Any) -> tuple[str, float]:
    config = tmp_path / "hook.json"
    etcd = {
        "urls": ["https://127.0.0.1:9"],
        "ca": "/none",
        "cert": "/none",
        "key": "/none",
        "user": "u",
        "password": "p",
    }
    found = {
        "scope": "s",
        "namespace": "/service",
        "name": "h1",
        "data_dir": str(tmp_path),
        "deadline": 4,
        "etcd": etcd,
    }
    config.write_text(json.dumps({**found, **settings}))
    begin = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-I", SCRIPT, config],
        env={"PATH": os.environ["PATH"], "SERVICE_RESULT": result},
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    return done.stdout + done.stderr, time.monotonic() - begin


@pytest.mark.parametrize("result", ["success", "timeout", "start-limit-hit", ""])
def test_a_stop_is_patronis_own_to_finish(tmp_path: Path, result: str) -> None:
    said, _seconds = run_hook(tmp_path, result)
    assert "it did not die" in said


@pytest.mark.parametrize("result", ["signal", "exit-code", "oom-kill", "core-dump", "watchdog"])
def test_without_etcd_the_key_is_left_alone(tmp_path: Path, result: str) -> None:
    said, seconds = run_hook(tmp_path, result)
    assert "left alone" in said
    assert "password" not in said
    assert seconds < 4


def test_a_broken_file_is_no_reason_to_fail(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, SCRIPT, tmp_path / "none"], capture_output=True, text=True, check=True)
    assert "left alone" in done.stdout
