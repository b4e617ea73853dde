# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.holdfast.stateful.plugins.module_utils.patroni import MemberView
from ansible_collections.holdfast.stateful.plugins.module_utils.patroni_hold import last_leader, read_hold, report_of
from ansible_collections.holdfast.stateful.plugins.module_utils.postgres_host import HostError

TEMPLATE = Path(__file__).parents[4] / "roles/postgres/templates/etc/systemd/system/patroni.service.d/hold.conf.j2"


def said(hold: str = "", runs: bool = False, position: int | None = 5, **more: Any) -> dict[str, Any]:
    place = {"timeline": 1, "position": position}
    return {"leads": False, "takes_writes": False, "hold": hold, "runs": runs, **place, **more}


LEADS = said(runs=True, leads=True, takes_writes=True)
DOWN = said("a")


def who(reports: list[Any], named: str = "", standby: bool = False) -> str:
    """Return the leader, or the blocker."""
    found = last_leader(dict(zip("abc", reports, strict=True)), "abc", named, standby)
    assert (found["leader"] is None) == bool(found["blocker"])
    return str(found["leader"] or found["blocker"])


@pytest.mark.parametrize(
    "reports",
    [
        [LEADS, said(runs=True), said(runs=True)],  # a first run
        [LEADS, DOWN, said(runs=True)],  # killed between the standbys' stops
        [LEADS, DOWN, DOWN],  # ... before the leader's stop
        [said(runs=True), DOWN, DOWN],  # ... and the leader, alone, has stepped down
        [DOWN, DOWN, DOWN],  # ... after it, or while the store was restored
        [said("a", runs=True), DOWN, DOWN],  # ... between the leader's hold and its stop
        [said(), DOWN, DOWN],  # ... after the hold was taken off, before it led
        [LEADS, DOWN, said(runs=True)],  # ... before the last of the others was started
    ],
)
def test_every_aborted_run_finds_the_one_that_led(reports: list[Any]) -> None:
    assert who(reports) == "a"
    assert who(reports, named="a") == "a"
    assert "found -e led=b" in who(reports, named="b")


def test_a_live_leader_is_worth_more_than_what_an_earlier_run_wrote() -> None:
    assert who([said("b", runs=True), DOWN, {**LEADS, "hold": "a"}]) == "c"


@pytest.mark.parametrize(
    "reports",
    [
        [said(runs=True), DOWN, said(runs=True)],  # c could have led since
        [said(runs=True), DOWN, said("a", runs=True)],  # c was to be stopped, and runs
        [DOWN, said("b"), said("a")],  # two stories
        [said("z"), said("z"), said("z")],  # a name that is no member
        [said(runs=True), said(runs=True), said(runs=True)],
    ],
)
def test_a_hold_is_not_believed_where_another_could_have_led_since(reports: list[Any]) -> None:
    found = who(reports)
    assert "with -e led=<name>" in found
    assert "a 1/0/5, b 1/0/5, c 1/0/5" in found
    assert who(reports, named="b") == "b"


def test_nobody_is_believed_who_holds_less_than_another() -> None:
    more = {"timeline": 2, "position": 1}
    for ahead in (said(position=6), said(**{k: v for k, v in more.items() if k != "position"}, position=1)):
        assert "c holds more" in who([said(), said(), ahead], named="a")
        assert who([said(), said(), ahead], named="c") == "c"
    assert who([said(position=None), said(), said()], named="a") == "a"
    assert "a unknown" in who([said(position=None), said(), said()])


@pytest.mark.parametrize(
    ("reports", "named", "why"),
    [
        ([LEADS, LEADS, said()], "a", "expected one member that says that it leads, found a, b"),
        ([LEADS, None, said()], "", "b: expected every member's own word"),
        ([said(), said(), said()], "x", "with one of a, b, c, found x"),
    ],
)
def test_what_can_not_be_known_stops_nothing(reports: list[Any], named: str, why: str) -> None:
    found = who(reports, named)
    assert why in found
    assert found.endswith("nothing was stopped")


def test_the_catalog_must_know_what_the_live_cluster_is() -> None:
    follows = {**LEADS, "takes_writes": False}
    assert who([follows, said(), said()], standby=True) == "a"
    assert "a takes writes, and the catalog declares a standby cluster" in who([LEADS, said(), said()], standby=True)
    assert "a is a standby cluster, and the catalog declares none" in who([follows, said(), said()])


def test_the_hold_names_who_led(tmp_path: Path) -> None:
    path = tmp_path / "hold.conf"
    assert read_hold(str(path)) == ""
    path.write_text(TEMPLATE.read_text().replace("{{ __postgres_last.leader }}", "db1"))
    assert read_hold(str(path)) == "db1"
    for damaged in ("", "[Unit]\nX-Holdfast-Leader=\n", "X-Holdfast-Leader=a\nX-Holdfast-Leader=b\n"):
        path.write_text(damaged)
        with pytest.raises(HostError, match="expected one line"):
            read_hold(str(path))
    with pytest.raises(HostError, match="expected to read"):
        read_hold(str(tmp_path))


def test_what_a_member_reports() -> None:
    xlog = {"received_location": 0, "replayed_location": 7, "replayed_timestamp": None}
    view = MemberView("a", own={"role": "replica", "state": "running", "timeline": 3, "xlog": xlog})
    found = report_of(view, "b", "active")
    assert (found["timeline"], found["position"], found["runs"], found["leads"]) == (3, 7, True, False)
    gone = report_of(MemberView("a", "no answer"), "", "inactive")
    assert (gone["timeline"], gone["position"], gone["runs"], gone["leads"]) == (None, None, False, False)
    primary = {"role": "primary", "state": "running", "xlog": {"location": 9}}
    assert report_of(MemberView("a", own=primary), "", "active")["takes_writes"]
