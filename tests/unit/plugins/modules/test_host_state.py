# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
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
        "units": [],
        "_contents": pack_contents({str(tmp_path / "early"): b"e", str(tmp_path / "late"): b"l"}),
        "packages_ahead": [],
        "_installed": [],
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


@pytest.mark.usefixtures("status")
def test_missing_packages_stop_after_the_early_files(tmp_path: Path) -> None:
    run = Run()
    host_state.converge(parameters(tmp_path, packages=["there", "new"]), run)
    assert run.missing_packages == ["new"]
    assert run.changed_files == [str(tmp_path / "early")]
    assert not (tmp_path / "late").exists()
    assert policy.is_ours()


@pytest.mark.usefixtures("status")
def test_the_policy_outlives_a_killed_run_and_ends_with_the_one_that_repeats_it(tmp_path: Path) -> None:
    host_state.converge(parameters(tmp_path, packages=["there", "new"]), Run())
    host_state.converge(parameters(tmp_path, packages=["there"]), Run())
    assert policy.is_ours(), "another role's call comes while the killed run's apt may still be at work"
    host_state.converge(parameters(tmp_path, packages=["there"], _installed=["there"]), Run())
    assert not (tmp_path / "policy").exists()


@pytest.mark.usefixtures("status")
def test_check_mode_goes_on(tmp_path: Path) -> None:
    run = Run(check=True)
    host_state.converge(parameters(tmp_path, packages=["new"]), run)
    assert run.missing_packages == ["new"]
    assert run.changed_files == [str(tmp_path / "early"), str(tmp_path / "late")]
    assert not (tmp_path / "early").exists()
    assert not (tmp_path / "lib").exists()


@pytest.mark.usefixtures("status")
def test_packages_that_apt_did_not_bring(tmp_path: Path) -> None:
    with pytest.raises(HostStateError, match="expected apt to install them"):
        host_state.converge(parameters(tmp_path, packages=["virtual"], _installed=["virtual"]), Run())


@pytest.mark.usefixtures("status")
def test_packages_ahead_come_along_and_stay_disabled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disabled: list[str] = []
    monkeypatch.setattr(host_state, "disable", disabled.extend)
    monkeypatch.setattr(packages, "INFO_DIRECTORY", str(tmp_path))
    run = Run()
    host_state.converge(parameters(tmp_path, packages_ahead=["ahead"]), run)
    assert run.missing_packages == ["ahead"]
    with (tmp_path / "status").open("ab") as handle:
        handle.write(b"\nPackage: ahead\nStatus: install ok installed\nVersion: 1\n")
    (tmp_path / "ahead.list").write_text("/usr/lib/systemd/system/ahead.service\n")
    host_state.converge(parameters(tmp_path, packages_ahead=["ahead"], _installed=["ahead"]), Run())
    assert disabled == ["ahead.service"]
    host_state.converge(parameters(tmp_path, packages_ahead=["ahead"]), Run())
    assert disabled == ["ahead.service"], "a later run leaves the units to their role"


@pytest.mark.usefixtures("status")
def test_removed_before_written(tmp_path: Path) -> None:
    (tmp_path / "late").mkdir()
    run = Run()
    host_state.converge(parameters(tmp_path, absent=[str(tmp_path / "late")]), run)
    assert (tmp_path / "late").read_text() == "l"


def test_what_apt_reads_from_goes_before_packages_are_asked_for(
    tmp_path: Path, status: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del status
    removed: list[str] = []
    monkeypatch.setattr(host_state, "remove_path", lambda entry, _run: removed.append(entry))
    given = {"packages": ["missing"], "absent": ["/etc/apt/apt.conf.d/mirror", "/etc/other/file"]}
    run = Run()
    host_state.converge({**parameters(tmp_path), **given}, run)
    assert run.missing_packages == ["missing"]
    assert removed == ["/etc/apt/apt.conf.d/mirror"]
