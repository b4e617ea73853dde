"""The parts of a lab host that need no host: what it is shown as its size, its name servers and its own description."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from ansible_collections.holdfast.stateful.plugins.module_utils.lab import machine
from ansible_collections.holdfast.stateful.plugins.module_utils.lab.cgroups import HostCgroups
from ansible_collections.holdfast.stateful.plugins.module_utils.lab.identity import identify
from ansible_collections.holdfast.stateful.plugins.module_utils.lab.machine import Machine, Spec, meminfo, resolv_conf
from hypothesis import given
from hypothesis import strategies as st

SPEC = Spec("lab1", "/images/trixie-1", "10.128.1.11", 1536, 1.5, "ssh-ed25519 AAAA me", "/keys/host_lab1")


@given(st.integers(min_value=64, max_value=2**20))
def test_meminfo_is_what_the_kernel_would_write(memory_mb: int) -> None:
    rows = dict(line.split(":") for line in meminfo(memory_mb).splitlines())
    values = {name: int(text.split()[0]) for name, text in rows.items()}
    assert values["MemTotal"] == memory_mb * 1024
    assert values["MemFree"] <= values["MemAvailable"] <= values["MemTotal"]
    assert values["MemFree"] + values["Buffers"] + values["Cached"] <= values["MemTotal"]
    assert values["SwapTotal"] == 0
    assert all(text.endswith(" kB") for name, text in rows.items() if name != "HugePages_Total")


STUB = "nameserver 127.0.0.53\noptions edns0\n"
REAL = "# made by somebody\nnameserver 192.0.2.53\nsearch example.invalid\n"


@pytest.mark.parametrize(
    ("resolved", "plain", "expected"),
    [
        (None, REAL, "nameserver 192.0.2.53\nsearch example.invalid\n"),
        (REAL, STUB, "nameserver 192.0.2.53\nsearch example.invalid\n"),
        (STUB, REAL, "nameserver 192.0.2.53\nsearch example.invalid\n"),
        (None, "nameserver 127.0.0.1\nnameserver 2001:db8::53\n", "nameserver 2001:db8::53\n"),
        (None, "nameserver ::1\n", ""),
        (None, STUB, ""),
        (None, None, ""),
    ],
    ids=["plain file", "beside a stub", "the stub first", "one of two", "loopback of IPv6", "a stub only", "no file"],
)
def test_name_servers_are_ones_that_a_host_on_the_bridge_can_reach(
    resolved: str | None, plain: str | None, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path, text in (("run/systemd/resolve/resolv.conf", resolved), ("etc/resolv.conf", plain)):
        if text is not None:
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_text(text)
    monkeypatch.setattr(machine, "Path", lambda path: tmp_path / path.lstrip("/"))
    assert resolv_conf() == expected


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A host of a lab whose folders are in `tmp_path`; the machine's own cgroups are left alone."""
    (tmp_path / "cgroup").mkdir()
    monkeypatch.setattr(machine, "HostCgroups", lambda name: HostCgroups(name, [(tmp_path / "cgroup", {"unified"})]))
    return Machine(replace(identify(str(tmp_path)), machine_dir=str(tmp_path / "machines")), "lab1")


def test_a_host_that_never_was(host: Machine) -> None:
    assert host.spec() is None
    assert not host.running()
    assert not host.exists()
    assert not host.remove()


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "{}", json.dumps({"name": "lab1"}), json.dumps(asdict(SPEC) | {"more": 1})]
)
def test_a_description_that_was_never_finished_is_none(text: str, host: Machine) -> None:
    host.folder.mkdir(parents=True)
    (host.folder / "spec.json").write_text(text)
    assert host.spec() is None
    assert host.exists()


def test_a_description_is_found_again_and_is_private(host: Machine) -> None:
    host.folder.mkdir(parents=True)
    host._write_spec(SPEC)
    assert host.spec() == SPEC
    assert (host.folder / "spec.json").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in host.folder.iterdir()] == ["spec.json"], "no half-written file stays"


def test_leftover_processes_are_not_a_running_host(host: Machine) -> None:
    group = next(path for path, _controllers in host.cgroups.paths())
    group.mkdir()
    (group / "cgroup.procs").write_text(f"{1}\n")
    assert not host.running()
    assert host.exists()


def test_two_runs_wait_for_each_other(host: Machine) -> None:
    with host.lock():
        assert [path.name for path in Path(host.lab.machine_dir).iterdir()] == [".lab1.lock"]
