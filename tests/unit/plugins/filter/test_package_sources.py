"""The filters read keys on the controller, and hand problems on instead of half a configuration."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.holdfast.stateful.plugins.filter.package_sources import FilterModule
from ansible_collections.holdfast.stateful.plugins.module_utils.package_sources import BEGIN, END

FILTERS = FilterModule().filters()
SOURCE = {"name": "m", "uris": ["file:/srv/mirror"], "suites": ["./"]}


def test_a_key_is_read_on_the_controller(tmp_path: Path) -> None:
    key = tmp_path / "key.asc"
    key.write_text(f"{BEGIN}\nabc\n{END}\n")
    found = FILTERS["package_sources"]([{**SOURCE, "key_file": str(key)}], "mirror")
    assert found["problems"] == []
    assert f"Signed-By:\n {BEGIN}\n abc\n {END}\n" in found["sources"]
    assert found["preferences"] == ""


def test_a_key_that_is_not_there_leaves_nothing_to_write(tmp_path: Path) -> None:
    binary = tmp_path / "key.gpg"
    binary.write_bytes(b"\x99\x01\xff")
    for path in (tmp_path / "none", binary):
        found = FILTERS["package_sources"]([{**SOURCE, "key_file": str(path)}], "mirror")
        assert len(found["problems"]) == 1
        assert str(path) in found["problems"][0]
        assert (found["sources"], found["preferences"]) == ("", "")


def test_the_distribution_needs_nothing() -> None:
    assert FILTERS["package_sources"]([], "distro") == {"problems": [], "sources": "", "preferences": ""}


def test_what_apt_says_is_judged() -> None:
    assert len(FILTERS["package_policy_problems"]("", [SOURCE], "mirror")) == 1
