# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Cross-field rules about versions: series, target, and whether the target may leave the series."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ansible_collections.holdfast.stateful.plugins.module_utils.contract_data import CURRENT, SERIES, SERIES_DEPTH
from ansible_collections.holdfast.stateful.plugins.module_utils.contract_registry import rule
from ansible_collections.holdfast.stateful.plugins.module_utils.contract_types import (
    Entry,
    Problem,
    View,
    did_you_mean,
    show,
)

Found = Iterator[Problem]


@rule("version-series-unknown", "rules, defaults and upgrade paths are known per series; for this one nothing is")
def version_series_unknown(view: View) -> Found:
    """A series nobody has heard of."""
    engine, series = view.entry.engine, view.entry.version.series
    if series not in SERIES[engine]:
        close = did_you_mean(series, [known for known, origin in SERIES[engine].items() if origin])
        yield Problem("version.series", f"{engine} {show(series)} is not known", f'"{CURRENT[engine]}" ({close})')


@rule(
    "version-series-unsupported", "no package of this series is tested here, so no promise about it would be measured"
)
def version_series_unsupported(view: View) -> Found:
    """A real series that is packaged nowhere Holdfast is tested."""
    engine, series = view.entry.engine, view.entry.version.series
    if series in SERIES[engine] and SERIES[engine][series] is None:
        packaged = ", ".join(f'"{name}" ({origin})' for name, origin in SERIES[engine].items() if origin)
        yield Problem("version.series", f"{engine} {series} is not packaged for a supported Debian", packaged)


def target_series(entry: Entry) -> tuple[int, ...] | None:
    """Return the series an exact target belongs to, () for latest, None where it is no version."""
    target = entry.version.target.strip()
    if target.lower() == "latest":
        return ()
    match = re.match(r"^(?:\d{1,3}:)?(\d{1,4}(?:\.\d{1,4}){0,3})(?:[-+~][A-Za-z0-9.+~-]*)?$", target, re.ASCII)
    if not match:
        return None
    parts = tuple(int(part) for part in match[1].split("."))
    depth = SERIES_DEPTH[entry.engine]
    return parts[:depth] if len(parts) >= depth else None


def _numbers(series: str) -> tuple[int, ...]:
    return (
        tuple(int(part) for part in series.split(".")) if re.fullmatch(r"\d{1,4}(\.\d{1,4})?", series, re.ASCII) else ()
    )


@rule("version-target-invalid", "the package manager would find nothing, in the middle of the work")
def version_target_invalid(view: View) -> Found:
    """A target that is no version."""
    if target_series(view.entry) is None:
        yield Problem(
            "version.target", f"{show(view.entry.version.target)} is no version", "latest, or an exact version"
        )


@rule("version-major-not-allowed", "another series changes files on disk: there is no way back but a restore")
def version_major_not_allowed(view: View) -> Found:
    """A target outside of the series without leave."""
    version, target, series = view.entry.version, target_series(view.entry), _numbers(view.entry.version.series)
    if target and series and target != series and not version.allow_major:
        wrong = f"target {show(version.target)} is not in series {version.series}, and allow_major is false"
        yield Problem(
            "version.target", wrong, f"latest of series {version.series}, or allow_major: true after a rehearsal"
        )


@rule("version-downgrade", "no engine here can read what a newer series wrote")
def version_downgrade(view: View) -> Found:
    """A target older than the series."""
    version, target, series = view.entry.version, target_series(view.entry), _numbers(view.entry.version.series)
    if target and series and target < series and version.allow_major:
        wrong = f"target {show(version.target)} is older than series {version.series}"
        yield Problem("version.target", wrong, "latest, or restore a backup into a new service of the older series")


@rule("version-major-unsupported", "a major upgrade has to end in a series that is tested here")
def version_major_unsupported(view: View) -> Found:
    """A major upgrade into a series that is not supported."""
    entry, target, series = view.entry, target_series(view.entry), _numbers(view.entry.version.series)
    if target and series and target > series and entry.version.allow_major:
        name = ".".join(str(part) for part in target)
        if not SERIES[entry.engine].get(name):
            known = [name for name, origin in SERIES[entry.engine].items() if origin and _numbers(name) > series]
            nearest = " or ".join(known) if known else f"stay in series {entry.version.series}"
            yield Problem("version.target", f"{entry.engine} {name} is not supported", nearest)
