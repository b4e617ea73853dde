# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.holdfast.stateful.plugins.module_utils import host_state_packages as packages
from ansible_collections.holdfast.stateful.plugins.module_utils import host_state_policy as policy
from ansible_collections.holdfast.stateful.plugins.module_utils.host_state import (
    ARGUMENT_SPEC,
    INTERNAL_SPEC,
    HostStateError,
    Run,
    pack_contents,
)
from ansible_collections.holdfast.stateful.plugins.modules import host_state


def options_without(spec: dict[str, Any], *leave_out: str) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for name, option in spec.items():
        kept[name] = {key: value for key, value in option.items() if key not in leave_out}
        if "options" in option:
            kept[name]["options"] = options_without(option["options"], *leave_out)
    return kept


def test_documentation_is_the_argument_spec() -> None:
    documented = yaml.safe_load(host_state.DOCUMENTATION)["options"]

    def as_spec(options: dict[str, Any]) -> dict[str, Any]:
        return {
            name: {
                ("options" if key == "suboptions" else key): (as_spec(value) if key == "suboptions" else value)
                for key, value in option.items()
                if key != "description"
            }
            for name, option in options.items()
        }

    assert as_spec(documented) == options_without({**ARGUMENT_SPEC, **INTERNAL_SPEC}, "no_log", "mutually_exclusive")


@pytest.fixture
def status(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "status"
    path.write_bytes(b"Package: there\nStatus: install ok installed\nVersion: 1\n")
    monkeypatch.setattr(packages, "STATUS_FILE", str(path))
    monkeypatch.setattr(packages, "UPDATES_DIRECTORY", str(tmp_path / "updates"))
    monkeypatch.setattr(policy, "POLICY_FILE", str(tmp_path / "policy"))
    return path


def parameters(tmp_path: Path, **options: Any) -> dict[str, Any]:
    def entry(name: str, stage: str) -> dict[str, Any]:
        return {
            "path": str(tmp_path / name),
            "owner": str(os.getuid()),
            "group": str(os.getgid()),
            "mode": "0644",
            "secret": False,
            "validate": None,
            "create_only": False,
            "defer": False,
            "stage": stage,
        }

    return {
        "packages": ["there"],
        "directories": [],
        "files": [entry("early", "before_packages"), entry("late", "normal")],
        "absent": [],
        "expect": [],
        "units": [],
        "_contents": pack_contents({str(tmp_path / "early"): b"e", str(tmp_path / "late"): b"l"}),
        "packages_ahead": [],
        **options,
    }


@pytest.mark.usefixtures("status")
def test_all_in_one_call(tmp_path: Path) -> None:
    run = Run()
    host_state.converge(parameters(tmp_path), run)
    assert run.changed_files == [str(tmp_path / "early"), str(tmp_path / "late")]
    run = Run()
    host_state.converge(parameters(tmp_path), run)
    assert not run.changed


class Apt:
    """Takes the place of apt-get: writes down what it was asked, and installs unless it is told to fail."""

    def __init__(self, tmp_path: Path, status: Path) -> None:
        self.status, self.early, self.late = status, tmp_path / "early", tmp_path / "late"
        self.verbs: list[str] = []
        self.said = ""

    def __call__(self, *words: str, timeout: float) -> subprocess.CompletedProcess[str]:
        assert timeout > 0
        self.verbs.append(words[1])
        if words[1] == "install":
            assert policy.is_ours(), "nothing may start while packages are installed"
            assert self.early.exists(), "packages read the early files"
            assert not self.late.exists(), "the other files may belong to users that come with the packages"
            if self.said:
                return subprocess.CompletedProcess(words, 100, "", self.said)
            with self.status.open("a") as handle:
                for name in words[words.index("--") + 1 :]:
                    handle.write(f"\nPackage: {name}\nStatus: install ok installed\nVersion: 1\n")
        return subprocess.CompletedProcess(words, 0, "", "")


@pytest.fixture
def apt(tmp_path: Path, status: Path, monkeypatch: pytest.MonkeyPatch) -> Apt:
    fake = Apt(tmp_path, status)
    lists = tmp_path / "lists"
    lists.mkdir()
    os.utime(lists, (0, 0))
    monkeypatch.setattr(packages, "LISTS_DIRECTORY", str(lists))
    monkeypatch.setattr(packages, "SOURCES", (str(tmp_path / "sources.list.d"),))
    monkeypatch.setattr(packages, "call", fake)
    return fake


def test_missing_packages_are_installed_between_the_early_files_and_the_others(tmp_path: Path, apt: Apt) -> None:
    run = Run()
    host_state.converge(parameters(tmp_path, packages=["there", "new"]), run)
    assert run.missing_packages == ["new"]
    assert run.changed_files == [str(tmp_path / "early"), str(tmp_path / "late")]
    assert apt.verbs == ["update", "install"]
    assert not (tmp_path / "policy").exists()
    (tmp_path / "late").unlink()
    host_state.converge(parameters(tmp_path, packages=["there", "new", "newer"]), run)
    assert apt.verbs == ["update", "install", "install"], "the lists are a second old"


def test_the_policy_outlives_an_installation_that_failed(tmp_path: Path, apt: Apt) -> None:
    apt.said = "E: Failed to fetch https://user:tops3cretvalue@mirror.invalid/x.deb  404  Not Found"
    with pytest.raises(HostStateError, match="packages new: expected apt-get to install them") as caught:
        host_state.converge(parameters(tmp_path, packages=["new"]), Run())
    assert "tops3cretvalue" not in str(caught.value)
    host_state.converge(parameters(tmp_path, packages=["there"]), Run())
    assert policy.is_ours(), "another role's call comes while an apt may still be at work"
    apt.said = ""
    (tmp_path / "late").unlink()
    host_state.converge(parameters(tmp_path, packages=["new"]), Run())
    assert not (tmp_path / "policy").exists()


def test_lists_that_are_an_hour_old_get_a_second_chance(tmp_path: Path, apt: Apt) -> None:
    os.utime(packages.LISTS_DIRECTORY)
    apt.said = "404 Not Found"
    with pytest.raises(HostStateError, match="404 Not Found"):
        host_state.converge(parameters(tmp_path, packages=["new"]), Run())
    assert apt.verbs == ["install", "update", "install"]


def test_sources_that_apt_has_not_read_are_read_first(tmp_path: Path, apt: Apt) -> None:
    os.utime(packages.LISTS_DIRECTORY, (time.time() - 60, time.time() - 60))
    (tmp_path / "sources.list.d").mkdir()
    host_state.converge(parameters(tmp_path, packages=["new"]), Run())
    assert apt.verbs == ["update", "install"]


def test_virtual_packages_are_refused(tmp_path: Path, apt: Apt, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        packages, "install", lambda names, kept, sources_changed: apt.verbs.append(f"{names} {kept} {sources_changed}")
    )
    with pytest.raises(HostStateError, match="virtual ones are not supported"):
        host_state.converge(parameters(tmp_path, packages=["new"]), Run())
    assert apt.verbs == ["['new'] [] False"]
    assert not policy.is_ours(), "nothing is at work any more"


@pytest.mark.usefixtures("status")
def test_check_mode_goes_on(tmp_path: Path) -> None:
    run = Run(check=True)
    host_state.converge(parameters(tmp_path, packages=["new"]), run)
    assert run.missing_packages == ["new"]
    assert run.changed_files == [str(tmp_path / "early"), str(tmp_path / "late")]
    assert not (tmp_path / "early").exists()
    assert not (tmp_path / "lib").exists()


def test_packages_ahead_come_along_and_stay_disabled(tmp_path: Path, apt: Apt, monkeypatch: pytest.MonkeyPatch) -> None:
    disabled: list[str] = []
    monkeypatch.setattr(host_state, "disable", disabled.extend)
    monkeypatch.setattr(packages, "INFO_DIRECTORY", str(tmp_path))
    (tmp_path / "ahead.list").write_text("/usr/lib/systemd/system/ahead.service\n")
    run = Run()
    host_state.converge(parameters(tmp_path, packages_ahead=["ahead"]), run)
    assert (run.missing_packages, disabled) == (["ahead"], ["ahead.service"])
    host_state.converge(parameters(tmp_path, packages_ahead=["ahead"]), Run())
    assert disabled == ["ahead.service"], "a later run leaves the units to their role"
    assert apt.verbs == ["update", "install"]


@pytest.mark.usefixtures("status")
def test_removed_before_written(tmp_path: Path) -> None:
    (tmp_path / "late").mkdir()
    run = Run()
    host_state.converge(parameters(tmp_path, absent=[str(tmp_path / "late")]), run)
    assert (tmp_path / "late").read_text() == "l"


def test_what_apt_reads_from_goes_before_packages_are_asked_for(
    tmp_path: Path, apt: Apt, monkeypatch: pytest.MonkeyPatch
) -> None:
    removed: list[str] = []
    monkeypatch.setattr(host_state, "remove_path", lambda entry, _run: removed.append(entry))
    apt.said = "404 Not Found"
    given = {"packages": ["missing"], "absent": ["/etc/apt/apt.conf.d/mirror", "/etc/other/file"]}
    with pytest.raises(HostStateError):
        host_state.converge({**parameters(tmp_path), **given}, Run())
    assert removed == ["/etc/apt/apt.conf.d/mirror"]


@pytest.mark.parametrize(("check", "second"), [(False, ["stay", "go"]), (True, ["stay"])])
@pytest.mark.usefixtures("status")
def test_a_unit_whose_file_goes_is_stopped_before_it_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, check: bool, second: list[str]
) -> None:
    order: list[Any] = []

    class Units:
        def __init__(self, entries: list[dict[str, Any]], _words: set[str], _run: Run) -> None:
            self.names = [entry["name"].partition(".")[0] for entry in entries]

        def converge(self) -> None:
            order.append(self.names)

    monkeypatch.setattr(host_state, "Units", Units)
    monkeypatch.setattr(host_state, "remove_path", lambda entry, _run: order.append(entry))
    units = [{"name": "stay.service", "state": "stopped"}, {"name": "go.service", "state": "stopped"}]
    absent = ["/etc/systemd/system/go.service", "/etc/systemd/system/stay.service.d"]
    host_state.converge(parameters(tmp_path, units=units, absent=absent), Run(check=check))
    assert order[:3] == [["go"], *absent]
    assert sorted(order[3]) == sorted(second)
    assert len(order) == 4
