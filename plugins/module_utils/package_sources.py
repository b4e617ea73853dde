# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a host's packages come from: declared sources judged, written as apt reads them, and seen in what apt says."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

BEGIN, END = "-----BEGIN PGP PUBLIC KEY BLOCK-----", "-----END PGP PUBLIC KEY BLOCK-----"
URI = re.compile(
    r"(https?://[A-Za-z0-9\[][A-Za-z0-9.\[\]:-]*(/[A-Za-z0-9._~/+%-]*)?|file:/[A-Za-z0-9._~/+%-]+)", re.ASCII
)
WORD = re.compile(r"[A-Za-z0-9./][A-Za-z0-9.+:~_/-]*", re.ASCII)
PATTERN = re.compile(r"[a-z0-9][a-z0-9.+*?-]*", re.ASCII)
RELEASE = re.compile(
    r"[abclnov]=[A-Za-z0-9][A-Za-z0-9 ._:+~/-]*(,[abclnov]=[A-Za-z0-9][A-Za-z0-9 ._:+~/-]*)*", re.ASCII
)
# Of a vendor: above what the distribution offers (500), and below what would go back to an older version (1000).
PREFERRED, NEVER = 600, -1
# A line of `apt-cache policy`: priority, address, suite and component.
OFFER = re.compile(r"^ *(-?\d+) (\S+:/\S*) (.*)$", re.MULTILINE)

Source = Mapping[str, Any]


def problems(kind: str, sources: Sequence[Source]) -> list[str]:
    """Return everything that stands against the declared sources; each of them has its key as text under ``key``."""
    if kind == "distro":
        return [f"package source distro: expected no declared sources, found {len(sources)}"] if sources else []
    if not sources:
        return [f"package source {kind}: expected at least one declared source, found none"]
    names = [str(source.get("name")) for source in sources]
    found = [f"source {name}: declared more than once" for name in sorted({n for n in names if names.count(n) > 1})]
    for source in sources:
        found += [f"source {source.get('name')}: {problem}" for problem in _of_one(kind, source)]
    return found


def _of_one(kind: str, source: Source) -> Iterator[str]:
    if not re.fullmatch(r"[a-z][a-z0-9-]{0,40}", str(source.get("name")), re.ASCII):
        yield "expected a name of small letters, digits and dashes"
    if not source.get("uris") or not source.get("suites"):
        yield "expected at least one of uris and suites, found none"
    for uri in source.get("uris") or ():
        if "@" in str(uri).partition("//")[2].partition("/")[0]:
            yield "expected uris without a user and a password: every user of the host could read them"
        elif not URI.fullmatch(str(uri)):
            yield f"expected uris such as https://packages.example.invalid/debian or file:/srv/mirror, found {uri!r}"
    flat = [suite for suite in source.get("suites") or () if str(suite).endswith("/")]
    for word in [*(source.get("suites") or ()), *(source.get("components") or ())]:
        if not WORD.fullmatch(str(word)):
            yield f"expected plain suites and components, found {word!r}"
    if bool(flat) == bool(source.get("components")):
        yield "expected components, or suites that end with a slash and none"
    yield from _of_key(source)
    for pattern in source.get("packages") or ():
        if not PATTERN.fullmatch(str(pattern)) or not str(pattern).strip("*?"):
            yield f"expected names of packages, with * and ? where needed, found {pattern!r}"
    if kind == "vendor" and not source.get("packages"):
        yield "expected the packages that are to come from it, found none: a vendor may replace nothing else"
    if source.get("packages") and not RELEASE.fullmatch(str(source.get("release") or "")):
        yield "expected release as 'apt-cache policy' shows it, for example o=Vendor,n=suite, to pin packages by"


def _of_key(source: Source) -> Iterator[str]:
    key = str(source.get("key") or "").strip()
    where = f" in {source['key_file']}" if source.get("key_file") else ""
    if "PRIVATE KEY" in key:
        yield f"expected a public key, found a private one{where}: it belongs on no host"
    elif not key.startswith(BEGIN) or not key.endswith(END):
        found = "something else" if key else "none"
        yield f"expected the signing key as text ({BEGIN}…), found {found}{where}: no source is read unsigned"


def deb822(sources: Sequence[Source]) -> str:
    """Return the sources as apt reads them, each with the one key that may sign it (sources.list(5), deb822 style)."""
    stanzas = []
    for source in sources:
        key = [f" {line.strip() or '.'}" for line in str(source["key"]).strip().splitlines()]
        components = [f"Components: {' '.join(source['components'])}"] if source.get("components") else []
        stanzas.append(
            [
                f"# {source['name']}",
                "Types: deb",
                f"URIs: {' '.join(source['uris'])}",
                f"Suites: {' '.join(source['suites'])}",
                *components,
                "Signed-By:",
                *key,
            ]
        )
    return "\n\n".join("\n".join(stanza) for stanza in stanzas) + "\n"


def preferences(sources: Sequence[Source]) -> str:
    """Return the pins: of a source with declared packages nothing else is ever taken (apt_preferences(5))."""
    records = []
    for source in sources:
        if source.get("packages"):
            pin = f"Pin: release {source['release']}"
            records.append(f"Package: *\n{pin}\nPin-Priority: {NEVER}\n")
            records.append(f"Package: {' '.join(source['packages'])}\n{pin}\nPin-Priority: {PREFERRED}\n")
    return "\n".join(records)


def policy_problems(kind: str, sources: Sequence[Source], policy: str) -> list[str]:
    """Return how what apt says (``apt-cache policy``) differs from what was declared."""
    offers: dict[str, list[tuple[int, str]]] = {}
    for priority, uri, rest in OFFER.findall(policy):
        offers.setdefault(uri.rstrip("/"), []).append((int(priority), rest))
    found = []
    for source in sources:
        for uri in (str(item).rstrip("/") for item in source["uris"]):
            if uri not in offers:
                found.append(f"{uri}: expected indexes of packages, found none: apt could not read or verify it")
            for priority, rest in offers.get(uri, []):
                if source.get("packages") and priority != NEVER:
                    found.append(
                        f"{uri} {rest}: expected release {source['release']} to match, so that nothing but"
                        f" {' '.join(source['packages'])} comes from it, found that it does not"
                    )
    declared = {str(uri).rstrip("/") for source in sources for uri in source["uris"]}
    if kind == "mirror":
        found += [
            f"{uri}: expected apt to read the mirror alone, found this too" for uri in sorted(set(offers) - declared)
        ]
    return found
