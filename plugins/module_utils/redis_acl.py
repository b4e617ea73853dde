# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""ACL rules as values that can be compared: what a file says against what ACL LIST shows."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass
class User:
    """One user, without regard to the order in which keys, channels and passwords were given."""

    name: str
    enabled: bool = False
    any_password: bool = False
    hashes: set[str] = field(default_factory=set)
    keys: set[str] = field(default_factory=set)
    channels: set[str] = field(default_factory=set)
    commands: list[str] = field(default_factory=lambda: ["-@all"])
    selectors: list[str] = field(default_factory=list)
    # What this parser does not know is compared as it is.
    others: set[str] = field(default_factory=set)

    def apply(self, rule: str) -> None:
        """Apply one rule, as Redis does, in order."""
        if rule in {"on", "off"}:
            self.enabled = rule == "on"
        elif rule == "nopass":
            self.any_password, self.hashes = True, set()
        elif rule in {"resetpass", "reset"}:
            self.any_password, self.hashes = False, set()
            if rule == "reset":
                self.enabled, self.keys, self.channels, self.commands = False, set(), set(), ["-@all"]
        elif rule.startswith("#"):
            self.any_password = False
            self.hashes.add(rule[1:])
        elif rule.startswith(">"):
            self.any_password = False
            self.hashes.add(hashlib.sha256(rule[1:].encode()).hexdigest())
        elif rule in {"allkeys", "resetkeys"}:
            self.keys = {"~*"} if rule == "allkeys" else set()
        elif rule in {"allchannels", "resetchannels"}:
            self.channels = {"&*"} if rule == "allchannels" else set()
        elif rule.startswith(("~", "%")):
            self.keys.add(rule)
        elif rule.startswith("&"):
            self.channels.add(rule)
        else:
            self.apply_command(rule)

    def apply_command(self, rule: str) -> None:
        """Apply a rule about commands."""
        aliases = {"allcommands": "+@all", "nocommands": "-@all"}
        rule = aliases.get(rule, rule)
        if rule in {"+@all", "-@all"}:
            self.commands = [rule]
        elif rule.startswith(("+", "-")):
            self.commands.append(rule.lower())
        elif rule.startswith("("):
            self.selectors.append(rule)
        elif rule != "sanitize-payload":
            self.others.add(rule)


def parse(lines: Iterable[str]) -> dict[str, User]:
    """Return the users of an ACL file or of ACL LIST."""
    users: dict[str, User] = {}
    for line in lines:
        words = line.split()
        if len(words) >= 2 and words[0] == "user":
            user = users.setdefault(words[1], User(words[1]))
            for rule in join_selectors(words[2:]):
                user.apply(rule)
    users.setdefault(
        "default", User("default", enabled=True, any_password=True, keys={"~*"}, channels={"&*"}, commands=["+@all"])
    )
    return users


def join_selectors(words: list[str]) -> list[str]:
    """Put the words of a selector in brackets together again."""
    rules: list[str] = []
    for word in words:
        if rules and rules[-1].startswith("(") and not rules[-1].endswith(")"):
            rules[-1] += " " + word
        else:
            rules.append(word)
    return rules


def differing_users(wanted: Iterable[str], running: Iterable[str]) -> list[str]:
    """Return the names of users that a file and a server disagree about."""
    first, second = parse(wanted), parse(running)
    return sorted(name for name in first.keys() | second.keys() if first.get(name) != second.get(name))
