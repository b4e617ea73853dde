# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from ansible_collections.holdfast.stateful.plugins.filter.etcd import FilterModule

plan = FilterModule().filters()["etcd_start_plan"]
MEMBERS = [{"name": "a"}, {"name": "b"}]


def test_what_was_not_registered_was_not_observed() -> None:
    empty = {"has_data": False, "granted": False}
    assert plan({"a": {"x": empty}, "b": {"x": empty}}, MEMBERS, "x")["begin"] == ["a", "b"]
    for other in ({}, {"x": {"failed": True}}, {"x": "text"}):
        assert "b could not be observed" in plan({"a": {"x": empty}, "b": other}, MEMBERS, "x")["blocker"]
    assert "b could not be observed" in plan({"a": {"x": empty}}, MEMBERS, "x")["blocker"]
