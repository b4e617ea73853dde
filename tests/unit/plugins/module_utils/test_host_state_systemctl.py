# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import subprocess
from typing import Any

import pytest
from ansible_collections.holdfast.stateful.plugins.module_utils import host_state_systemctl as systemctl
from ansible_collections.holdfast.stateful.plugins.module_utils.host_state import HostStateError, Run


class FakeSystemd:
    """Answers systemctl from a table and records the verbs."""

    def __init__(self, **tables: dict[str, str]) -> None:
        self.tables = {f"{name}.service": table for name, table in tables.items()}
        self.verbs: list[str] = []
        self.failing: set[str] = set()
        self.dies = False

    def __call__(self, *words: str) -> subprocess.CompletedProcess[str]:
        if words[0] == "journalctl":
            return subprocess.CompletedProcess(words, 0, "bad line tops3cretvalue\n", "")
        verb, names = words[1], [word for word in words[2:] if not word.startswith("--")]
        if verb == "show":
            blocks = ["\n".join(f"{key}={value}" for key, value in self.tables[name].items()) for name in names]
            return subprocess.CompletedProcess(words, 0, "\n\n".join(blocks) + "\n", "")
        options = [word for word in words[2:] if word.startswith("--") and word not in {"--", "--quiet"}]
        self.verbs.append(" ".join([verb, *options, *names]))
        if verb in self.failing:
            return subprocess.CompletedProcess(words, 1, "", "Job failed, see tops3cretvalue")
        if verb in {"start", "restart"}:
            self.tables[names[0]]["ActiveState"] = "failed" if self.dies else "active"
        if verb == "daemon-reload":
            for table in self.tables.values():
                table.update(NeedDaemonReload="no", LoadState="loaded")
        return subprocess.CompletedProcess(words, 0, "", "")


def table(**properties: str) -> dict[str, str]:
    return {
        "LoadState": "loaded",
        "ActiveState": "active",
        "SubState": "running",
        "UnitFileState": "enabled",
        "CanReload": "yes",
        "NeedDaemonReload": "no",
        "ActiveEnterTimestampMonotonic": "110000000",
        "StateChangeTimestampMonotonic": "110000000",
        **properties,
    }


def entry(name: str, **options: Any) -> dict[str, Any]:
    return {
        "name": f"{name}.service",
        "enabled": True,
        "state": "started",
        "masked": None,
        "no_block": False,
        "reload_on": [],
        "restart_on": [],
        "pending_restart_on": [],
        **options,
    }


@pytest.fixture(autouse=True)
def _booted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os.path, "isdir", lambda path: path == "/run/systemd/system")
    monkeypatch.setattr(systemctl, "SETTLE_SECONDS", 0)


def converge(
    monkeypatch: pytest.MonkeyPatch, fake: FakeSystemd, *entries: dict[str, Any], run: Run | None = None
) -> Run:
    run = run or Run()
    monkeypatch.setattr(systemctl, "call", fake)
    systemctl.Units(list(entries), {"tops3cretvalue"}, run).converge()
    return run


def test_nothing_to_do_is_one_show(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeSystemd(a=table(), b=table())
    assert not converge(monkeypatch, fake, entry("a"), entry("b")).changed
    assert fake.verbs == []


def test_first_start(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeSystemd(a=table(ActiveState="inactive", UnitFileState="disabled"))
    run = converge(monkeypatch, fake, entry("a"), run=Run(want_diff=True))
    assert fake.verbs == ["enable --no-reload a.service", "daemon-reload", "start a.service"]
    assert (run.started_units, run.changed_units) == (["a.service"], ["a.service"])
    assert run.diff[0]["before"] == "disabled, inactive\n"


def test_units_are_enabled_together_and_systemd_reads_them_once(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeSystemd(a=table(UnitFileState="disabled", NeedDaemonReload="yes"), b=table(UnitFileState="disabled"))
    assert converge(monkeypatch, fake, entry("a"), entry("b")).changed_units == ["a.service", "b.service"]
    assert fake.verbs == ["enable --no-reload a.service b.service", "daemon-reload"]


def test_what_can_not_be_enabled_says_so_by_its_own_name(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeSystemd(a=table(UnitFileState="disabled"))
    fake.failing = {"enable"}
    with pytest.raises(HostStateError, match=r"a\.service: expected systemctl enable to succeed"):
        converge(monkeypatch, fake, entry("a"))


@pytest.mark.parametrize(("kind", "looks"), [("notify", 1), ("oneshot", 1), ("", 1), ("simple", 3)])
def test_only_a_service_that_says_nothing_of_itself_is_watched(
    monkeypatch: pytest.MonkeyPatch, kind: str, looks: int
) -> None:
    moments = iter([0.0, 0.1, 0.2, 9.0])
    monkeypatch.setattr(systemctl, "SETTLE_SECONDS", 0.6)
    monkeypatch.setattr(systemctl.time, "monotonic", lambda: next(moments))
    monkeypatch.setattr(systemctl.time, "sleep", lambda _seconds: None)
    monkeypatch.setattr(systemctl, "clock_offset", lambda: 0.0)
    seen: list[tuple[str, ...]] = []
    fake = FakeSystemd(a=table(ActiveState="inactive", Type=kind))

    def call(*words: str) -> subprocess.CompletedProcess[str]:
        seen.append(words)
        return fake(*words)

    monkeypatch.setattr(systemctl, "call", call)
    systemctl.Units([entry("a")], set(), Run()).converge()
    started = next(at for at, words in enumerate(seen) if words[1] == "start")
    assert len([words for words in seen[started:] if words[1] == "show"]) == looks


def test_check_mode_only_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeSystemd(a=table(ActiveState="failed", NeedDaemonReload="yes"))
    run = converge(monkeypatch, fake, entry("a"), run=Run(check=True, want_diff=True))
    assert fake.verbs == []
    assert (run.started_units, run.daemon_reloaded) == (["a.service"], True)
    assert run.diff[0]["before"] == "enabled, failed\n"
    assert run.diff[0]["after"] == "enabled, active\n"


def test_failed_unit_is_reset(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeSystemd(a=table(ActiveState="failed"))
    converge(monkeypatch, fake, entry("a", no_block=True))
    assert fake.verbs == ["reset-failed a.service", "start --no-block a.service"]


def test_daemon_reload_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeSystemd(a=table(ActiveState="inactive", LoadState="not-found"))
    run = Run()
    run.file_changed("/etc/systemd/system/a.service")
    converge(monkeypatch, fake, entry("a"), run=run)
    assert fake.verbs == ["daemon-reload", "start a.service"]


def test_reload_and_restart_of_this_runs_files(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeSystemd(a=table(), b=table(), c=table())
    run = Run()
    run.file_changed("/etc/a/x")
    run = converge(
        monkeypatch,
        fake,
        entry("a", reload_on=["/etc/a"]),
        entry("b", restart_on=["/etc/a"]),
        entry("c", pending_restart_on=["/etc/a"]),
        run=run,
    )
    assert fake.verbs == ["reload a.service", "restart b.service"]
    assert (run.reloaded_units, run.restarted_units, run.pending_restart) == (
        ["a.service"],
        ["b.service"],
        ["c.service"],
    )
    assert run.changed_units == ["a.service", "b.service"]


def test_stop_disable_mask_in_this_order(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeSystemd(a=table())
    converge(monkeypatch, fake, entry("a", enabled=False, state="stopped", masked=True))
    assert fake.verbs == ["stop a.service", "mask a.service", "disable a.service"]


@pytest.mark.parametrize(
    ("found", "wanted", "message"),
    [
        ({"LoadState": "not-found", "ActiveState": "inactive"}, {}, "LoadState=not-found"),
        ({"LoadState": "masked", "ActiveState": "inactive"}, {"enabled": None}, "set masked: false"),
        ({"CanReload": "no", "ReloadResult": "timeout"}, {"reload_on": ["/etc/a"]}, "no ExecReload"),
    ],
)
def test_refusals(monkeypatch: pytest.MonkeyPatch, found: dict[str, str], wanted: dict[str, Any], message: str) -> None:
    with pytest.raises(HostStateError, match=message):
        converge(monkeypatch, FakeSystemd(a=table(**found)), entry("a", **wanted))


def test_a_unit_that_is_not_there_is_stopped_already(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeSystemd(a=table(LoadState="not-found", ActiveState="inactive", UnitFileState=""))
    assert not converge(monkeypatch, fake, entry("a", enabled=False, state="stopped")).changed


def test_a_unit_of_a_missing_package_is_predicted(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeSystemd(a=table(LoadState="not-found", ActiveState="inactive", UnitFileState=""))
    run = converge(monkeypatch, fake, entry("a"), run=Run(check=True, lenient=True))
    assert run.started_units == ["a.service"]


@pytest.mark.parametrize("dies", [False, True])
def test_a_failed_start_tells_without_secrets(monkeypatch: pytest.MonkeyPatch, dies: bool) -> None:
    fake = FakeSystemd(a=table(ActiveState="inactive"))
    fake.dies = dies
    fake.failing = set() if dies else {"start"}
    with pytest.raises(HostStateError) as caught:
        converge(monkeypatch, fake, entry("a"))
    assert "a.service: expected systemctl start to succeed, found ActiveState=" in str(caught.value)
    assert "bad line ********" in str(caught.value)
    assert "tops3cretvalue" not in str(caught.value)


def test_no_systemd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os.path, "isdir", lambda _path: False)
    with pytest.raises(HostStateError, match="another init"):
        converge(monkeypatch, FakeSystemd(), entry("a"))
    assert not converge(monkeypatch, FakeSystemd(), entry("a"), run=Run(check=True, lenient=True)).changed
