"""Package sources are refused before a change when they could not be trusted, and judged by what apt says of them."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.holdfast.stateful.plugins.module_utils.package_sources import (
    BEGIN,
    END,
    deb822,
    policy_problems,
    preferences,
    problems,
)

KEY = f"{BEGIN}\n\nmQINBF\n=abcd\n{END}\n"
SOURCE: dict[str, Any] = {
    "name": "vendor",
    "uris": ["https://packages.example.invalid/db"],
    "suites": ["bookworm-db"],
    "components": ["main"],
    "key": KEY,
    "packages": ["postgresql*", "pgbouncer"],
    "release": "o=Vendor,n=bookworm-db",
}
PINNED = "Pin: release o=Vendor,n=bookworm-db"


def source(**changes: Any) -> dict[str, Any]:
    return {**SOURCE, **changes}


@pytest.mark.parametrize(
    ("kind", "sources"),
    [
        ("distro", []),
        ("vendor", [SOURCE]),
        ("mirror", [source(packages=[], release=None)]),
        (
            "mirror",
            [source(uris=["http://10.0.0.1:8080/debian"], suites=["bookworm", "bookworm-updates"], packages=[])],
        ),
        ("mirror", [source(uris=["file:/srv/mirror"], suites=["./"], components=[], packages=[])]),
    ],
)
def test_what_is_accepted(kind: str, sources: list[dict[str, Any]]) -> None:
    assert problems(kind, sources) == []


@pytest.mark.parametrize(
    ("kind", "sources", "said"),
    [
        ("distro", [SOURCE], "expected no declared sources, found 1"),
        ("vendor", [], "expected at least one declared source"),
        ("vendor", [SOURCE, SOURCE], "source vendor: declared more than once"),
        ("vendor", [source(name="Vendor 1")], "expected a name"),
        ("vendor", [source(uris=[])], "at least one of uris and suites"),
        ("vendor", [source(suites=[])], "at least one of uris and suites"),
        ("vendor", [source(uris=["ftp://packages.example.invalid/"])], "expected uris such as"),
        ("vendor", [source(uris=["https://a.example.invalid/ [trusted=yes]"])], "expected uris such as"),
        ("vendor", [source(uris=["https://a.example.invalid/x\nTrusted: yes"])], "expected uris such as"),
        ("vendor", [source(uris=["https://me:secret@a.example.invalid/"])], "without a user and a password"),
        ("vendor", [source(suites=["a b"])], "expected plain suites and components, found 'a b'"),
        ("vendor", [source(components=["main\nTrusted: yes"])], "expected plain suites and components"),
        ("vendor", [source(components=[])], "expected components, or suites that end with a slash"),
        ("vendor", [source(suites=["./"])], "expected components, or suites that end with a slash"),
        ("vendor", [source(key="")], "found none: no source is read unsigned"),
        ("vendor", [source(key="", key_file="/nowhere")], "found none in /nowhere"),
        ("vendor", [source(key="0xDEADBEEF")], "found something else"),
        ("vendor", [source(key=KEY.replace("PUBLIC", "PRIVATE"))], "expected a public key"),
        ("vendor", [source(packages=[])], "expected the packages that are to come from it"),
        ("vendor", [source(packages=["*"])], "expected names of packages"),
        ("vendor", [source(packages=["/regex/"])], "expected names of packages"),
        ("vendor", [source(release=None)], "expected release as"),
        ("vendor", [source(release="Vendor")], "expected release as"),
        ("vendor", [source(release="o=Vendor\nPin-Priority: 1001")], "expected release as"),
        ("mirror", [source(release=None)], "expected release as"),
        ("mirror", [source(key="", packages=[])], "no source is read unsigned"),
    ],
)
def test_what_is_refused(kind: str, sources: list[dict[str, Any]], said: str) -> None:
    found = problems(kind, sources)
    assert len(found) == 1, found
    assert said in found[0]


def test_all_problems_are_named_at_once() -> None:
    assert len(problems("vendor", [source(key="", packages=[]), source(name="other", uris=["x"])])) == 3


def test_a_source_carries_the_one_key_that_may_sign_it() -> None:
    assert deb822([SOURCE, source(name="flat", suites=["./"], components=[])]).split("\n\n") == [
        "# vendor\nTypes: deb\nURIs: https://packages.example.invalid/db\nSuites: bookworm-db\nComponents: main\n"
        f"Signed-By:\n {BEGIN}\n .\n mQINBF\n =abcd\n {END}",
        "# flat\nTypes: deb\nURIs: https://packages.example.invalid/db\nSuites: ./\n"
        f"Signed-By:\n {BEGIN}\n .\n mQINBF\n =abcd\n {END}\n",
    ]


def test_nothing_but_declared_packages_is_taken() -> None:
    assert preferences([SOURCE, source(packages=[])]) == (
        f"Package: *\n{PINNED}\nPin-Priority: -1\n\nPackage: postgresql* pgbouncer\n{PINNED}\nPin-Priority: 600\n"
    )


POLICY = """\
Package files:
 100 /var/lib/dpkg/status
     release a=now
  -1 https://packages.example.invalid/db bookworm-db/main amd64 Packages
     release o=Vendor,a=bookworm-db,n=bookworm-db,c=main,b=amd64
     origin packages.example.invalid
 500 http://mirror.example.invalid/debian bookworm/main amd64 Packages
     release v=12.1,o=Debian,a=oldstable,n=bookworm,l=Debian,c=main,b=amd64
     origin mirror.example.invalid
Pinned packages:
"""


@pytest.mark.parametrize(
    ("kind", "sources", "policy", "said"),
    [
        ("vendor", [SOURCE], POLICY, []),
        ("vendor", [source(uris=["https://packages.example.invalid/db/"])], POLICY, []),
        ("vendor", [SOURCE], POLICY.replace("  -1 ", " 500 "), ["expected release o=Vendor,n=bookworm-db to match"]),
        ("vendor", [SOURCE], "", ["expected indexes of packages, found none"]),
        (
            "mirror",
            [source(packages=[])],
            POLICY,
            ["http://mirror.example.invalid/debian: expected apt to read the mirror"],
        ),
        ("mirror", [source(uris=["http://mirror.example.invalid/debian", SOURCE["uris"][0]], packages=[])], POLICY, []),
    ],
)
def test_what_apt_says_is_compared(kind: str, sources: list[dict[str, Any]], policy: str, said: list[str]) -> None:
    found = policy_problems(kind, sources, policy)
    assert len(found) == len(said), found
    assert all(part in text for part, text in zip(said, found, strict=True))
