# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a cluster is made with for good: encoding, locales, checksums; as declared, as a host knows it, as it is."""

from __future__ import annotations

import locale
from collections.abc import Mapping, Sequence
from typing import Any

PROVIDERS = {"b": "builtin", "c": "libc", "i": "icu"}
LOOK = (
    "SELECT d.datname::text, pg_encoding_to_char(d.encoding)::text, d.datlocprovider::text, d.datcollate::text,"
    " d.datctype::text, (to_jsonb(d) ->> 'datlocale'), (to_jsonb(d) ->> 'daticulocale'),"
    " current_setting('data_checksums')"
    " FROM pg_database d WHERE d.datname = 'template1'"
)


def options(initdb: Sequence[Any]) -> dict[str, str]:
    """Return options of initdb, written as Patroni takes them: words, and dictionaries."""
    found: dict[str, str] = {}
    for item in initdb:
        found.update({str(k): str(v) for k, v in item.items()} if isinstance(item, Mapping) else {str(item): ""})
    return found


def merged(initdb: Sequence[Any], instead: Sequence[Any]) -> list[Any]:
    """Return options of initdb with some replaced, or added."""
    both = {**options(initdb), **options(instead)}
    return [{name: value} if value else name for name, value in both.items()]


def normal(name: str) -> str:
    """Return a locale or an encoding as it is compared: de_DE.utf8 is de_DE.UTF-8."""
    return name.lower().replace("-", "").replace("_", "")


def is_known(name: str) -> bool:
    """Say whether the C library of this host has a locale: what initdb and the server ask, too."""
    before = locale.setlocale(locale.LC_CTYPE)
    try:
        locale.setlocale(locale.LC_CTYPE, name)
    except locale.Error:
        return False
    finally:
        locale.setlocale(locale.LC_CTYPE, before)
    return True


def unknown(initdb: Sequence[Any]) -> str:
    """Return why no cluster can be made or started here, or "" where the host has every declared locale."""
    declared = options(initdb)
    names = {value for key, value in declared.items() if key == "locale" or key.startswith("lc-")}
    missing = sorted(name for name in names if not is_known(name))
    if not missing:
        return ""
    return (
        f"expected this host to have the locale {', '.join(missing)}, found it unknown ('locale -a' lists what there"
        " is). Generate it on every member, or correct postgres_initdb; nothing was started"
    )


def look(cursor: Any) -> dict[str, str]:
    """Return how the live cluster was made."""
    cursor.execute(LOOK)
    _name, encoding, provider, collate, ctype, named, icu, checksums = cursor.fetchone()
    return {
        "encoding": encoding,
        "locale-provider": PROVIDERS.get(provider, provider),
        "lc-collate": collate,
        "lc-ctype": ctype,
        "builtin-locale": (named or "") if provider == "b" else "",
        "icu-locale": (named or icu or "") if provider == "i" else "",
        "data-checksums": checksums,
    }


def problems(initdb: Sequence[Any], live: Mapping[str, str]) -> list[str]:
    """Return where the live cluster is not what is declared."""
    declared = options(initdb)
    wanted = {key: declared[key] for key in ("encoding", "builtin-locale", "icu-locale") if declared.get(key)}
    wanted["locale-provider"] = declared.get("locale-provider", "libc")
    for key in ("lc-collate", "lc-ctype"):
        if declared.get(key) or declared.get("locale"):
            wanted[key] = declared.get(key) or declared["locale"]
    if "data-checksums" in declared:
        wanted["data-checksums"] = "on"
    return [
        f"{key}: expected {value}, found {live.get(key) or 'none'}"
        for key, value in wanted.items()
        if normal(live.get(key) or "") != normal(value)
    ]
