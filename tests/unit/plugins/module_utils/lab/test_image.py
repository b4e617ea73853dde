"""The image's sources come from the controlling machine's own apt configuration."""

from __future__ import annotations

import pytest
from ansible_collections.holdfast.stateful.plugins.module_utils.lab.image import AptSource, os_release, own_sources
from ansible_collections.holdfast.stateful.plugins.module_utils.lab.process import LabError

MAIN, SECURITY = "http://a.example.invalid/debian", "http://b.example.invalid/security"
BOOKWORM = f"""\
{MAIN}|bookworm|main
{MAIN}|bookworm|contrib
{MAIN}|bookworm-updates|main
{SECURITY}|bookworm-security|main
http://other.example.invalid/repo|stable|main
"""


@pytest.mark.parametrize(
    ("targets", "suite", "expected"),
    [
        (BOOKWORM, "trixie", [(MAIN, "trixie"), (MAIN, "trixie-updates"), (SECURITY, "trixie-security")]),
        (BOOKWORM, "bookworm", [(MAIN, "bookworm"), (MAIN, "bookworm-updates"), (SECURITY, "bookworm-security")]),
        (BOOKWORM, "sid", [(MAIN, "sid")]),
        (f"{MAIN}|bookworm|main\n", "trixie", [(MAIN, "trixie")]),
        (f"{MAIN}|bookworm\n", "trixie", [(MAIN, "trixie")]),
        (f"{MAIN}|bookworm|main\nhttp://second.example.invalid/|bookworm|main\n", "trixie", [(MAIN, "trixie")]),
        (f"\n\n{MAIN}|bookworm|main\n{MAIN}|bookworm-backports|main\n", "trixie", [(MAIN, "trixie")]),
    ],
    ids=[
        "next suite",
        "same suite",
        "no pockets of sid",
        "main alone",
        "no component",
        "first mirror wins",
        "backports",
    ],
)
def test_sources_of_a_suite(targets: str, suite: str, expected: list[tuple[str, str]]) -> None:
    assert own_sources(targets, "bookworm", suite) == [AptSource(uri, name, "main") for uri, name in expected]


@pytest.mark.parametrize(
    "targets",
    ["", f"{SECURITY}|bookworm-security|main\n", f"{MAIN}|trixie|main\n", "nonsense\n"],
)
def test_without_a_main_archive_the_remedy_is_named(targets: str) -> None:
    with pytest.raises(LabError, match=r"sources\.list\.d"):
        own_sources(targets, "bookworm", "trixie")


def test_os_release() -> None:
    text = (
        'PRETTY_NAME="Debian GNU/Linux 13 (trixie)"\nID=debian\nVERSION_CODENAME=trixie\nURL="https://x/?a=b"\n\n# c\n'
    )
    found = os_release(text)
    assert (found["ID"], found["VERSION_CODENAME"], found["URL"]) == ("debian", "trixie", "https://x/?a=b")
    assert found["PRETTY_NAME"] == "Debian GNU/Linux 13 (trixie)"
