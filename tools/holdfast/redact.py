"""Take secrets out of text and data before they are written or shown.

Three nets, because each has holes: by *name* (a key that says password), by *shape* (PEM blocks, credentials in URLs)
and by *value* (everything known to be a secret, in plain, base64, URL-encoded and escaped forms).
"""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Iterator, Mapping
from urllib.parse import quote, quote_plus

MASK = "***"
# Shorter values would blank out half of every message, and guard nothing.
SHORTEST_SECRET = 6

_WORDS = (
    r"passw(?:or)?d|passwd|passphrase|passcode|secret|token|authorization|credential|requirepass|masterauth|masteruser_pass"
    r"|auth_pass|private_?key|api_?key|access_?key|key_?material|erlang_?cookie|set-cookie|pgpass|rediscli_auth"
)
_NAME = re.compile(_WORDS, re.IGNORECASE)
# Such keys speak *about* a secret: its name, its file, how long it lives.
_ABOUT = re.compile(
    r"(?:name|names|file|files|path|dir|ttl|length|count|enabled|changed|client|size|type|mode|py|j2|ya?ml)$",
    re.IGNORECASE,
)
_PAIR = re.compile(
    rf"""(?P<key>[\w.-]*(?:{_WORDS})[\w.-]*)(?P<close>\\?["']?)(?P<sep>\s*=>?\s*|(?:(?<=["'])\s*)?:\s*)"""
    r"""(?P<value>\\"[^"\\\n]*\\"|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|(?:(?:Bearer|Basic|Digest)\s+)?[^\s"'\\]+)""",
    re.IGNORECASE,
)
_OPTION = re.compile(rf"(?P<key>--?[\w-]*(?:{_WORDS})[\w-]*)(?P<sep>[ =])(?P<value>[^\s\"',]+)", re.IGNORECASE)
_URL = re.compile(r"(?P<head>[A-Za-z][A-Za-z0-9+.-]*://[^\s:/@\"']*):(?P<value>[^\s/@\"']+)@")
_PEM = re.compile(r"-----BEGIN (?P<what>[A-Z0-9 ]+)-----.*?(?:-----END (?P=what)-----|\Z)", re.DOTALL)
_HARMLESS = re.compile(
    r"^(?:\*+|null|none|true|false|yes|no|omit|undefined|\d{1,5}|VALUE_SPECIFIED_IN_NO_LOG_PARAMETER|\{\{.*)$",
    re.IGNORECASE | re.DOTALL,
)


def is_secret_name(key: str) -> bool:
    """Whether a key with this name holds a secret, judged by its name alone."""
    return bool(_NAME.search(key)) and not _ABOUT.search(key)


def forms_of(secret: str) -> set[str]:
    """Every spelling under which a secret may turn up in a log: plain, escaped, URL-encoded, base64, hex."""
    raw = secret.encode("utf-8", "surrogateescape")
    forms = {
        secret,
        quote(secret, safe=""),
        quote(secret),
        quote_plus(secret),
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        repr(secret)[1:-1],
        html.escape(secret, quote=False),
        html.escape(secret),
        raw.hex(),
    }
    forms |= {quote(form, safe="").lower() for form in (secret,) if "%" in quote(form, safe="")}
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        for shift in range(3):  # a secret inside a longer text starts at one of three places in base64's groups of 3
            whole = encode(b"\0" * shift + raw).decode()
            first = (0, 2, 3)[shift]
            last = len(whole.rstrip("=")) - (0 if (len(raw) + shift) % 3 == 0 else 1)
            core = whole[first:last]
            if len(core) >= SHORTEST_SECRET:
                forms.add(core)
    return {form for form in forms if len(form) >= SHORTEST_SECRET}


class Redactor:
    """Knows secrets and takes them out. Learns more of them from every structure it is shown."""

    def __init__(self) -> None:
        """Start knowing nothing by value; names and shapes work at once."""
        self._known: set[str] = set()
        self._pattern: re.Pattern[str] | None = None

    def add(self, secret: object) -> None:
        """Remember a value as secret. What is too short or plainly no secret (``true``, ``5432``) is passed over."""
        if not isinstance(secret, str) or len(secret) < SHORTEST_SECRET or _HARMLESS.match(secret):
            return
        parts = [secret, *(line.strip() for line in secret.splitlines() if len(line.strip()) >= 16)]
        new = {part for part in parts if part not in self._known and not part.startswith("-----")}
        if new:
            self._known |= new
            self._pattern = None

    def add_all(self, tree: object) -> None:
        """Remember every text in a structure, whatever its key: for a decrypted vault file."""
        for _key, value in _leaves(tree, ""):
            self.add(value)

    def learn(self, tree: object) -> None:
        """Remember the values that stand under secret names in a structure, e.g. a task result."""
        for key, value in _leaves(tree, ""):
            if key and isinstance(value, str):
                self.add(value)

    def text(self, text: str) -> str:
        """The text without secrets."""
        if not text:
            return text
        if self._known:
            if self._pattern is None:
                forms = sorted({form for secret in self._known for form in forms_of(secret)}, key=len, reverse=True)
                self._pattern = re.compile("|".join(map(re.escape, forms)))
            text = self._pattern.sub(MASK, text)
        text = _PEM.sub(lambda m: f"-----BEGIN {m['what']}----- {MASK} -----END {m['what']}-----", text)
        text = _URL.sub(rf"\g<head>:{MASK}@", text)
        text = _OPTION.sub(lambda m: m[0] if _ABOUT.search(m["key"]) else f"{m['key']}{m['sep']}{MASK}", text)
        return _PAIR.sub(_mask_pair, text)

    def value(self, tree: object) -> object:
        """The same structure (mappings, lists, texts, numbers) without secrets; anything else becomes redacted text."""
        if isinstance(tree, Mapping):
            return {
                self.text(str(key)): MASK
                if is_secret_name(str(key)) and isinstance(value, (str, bytes, list, tuple, Mapping)) and value
                else self.value(value)
                for key, value in tree.items()
            }
        if isinstance(tree, (list, tuple)):
            return [self.value(item) for item in tree]
        if tree is None or isinstance(tree, (bool, int, float)):
            return tree
        return self.text(tree if isinstance(tree, str) else str(tree))


def _mask_pair(match: re.Match[str]) -> str:
    value = match["value"]
    bare = value.strip("\\\"',;)}]")
    if _ABOUT.search(match["key"]) or not bare or _HARMLESS.match(bare):
        return match[0]
    marks = re.match(r"""\\?["']""", value)
    mark = marks[0] if marks else ""
    return f"{match['key']}{match['close']}{match['sep']}{mark}{MASK}{mark}"


def _leaves(tree: object, name: str) -> Iterator[tuple[str, object]]:
    """(the secret name it stands under or "", value) of every leaf."""
    if isinstance(tree, Mapping):
        for key, value in tree.items():
            yield from _leaves(value, str(key) if is_secret_name(str(key)) else name)
    elif isinstance(tree, (list, tuple)):
        for item in tree:
            yield from _leaves(item, name)
    else:
        yield name, tree
