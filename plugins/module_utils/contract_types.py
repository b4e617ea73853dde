# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Types of the service contract: what the rules read and what they report."""

from __future__ import annotations

import datetime
import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.holdfast.stateful.plugins.module_utils.contract_object_types import NO_OBJECTS, Objects
from ansible_collections.holdfast.stateful.plugins.module_utils.contract_site_types import Site
from ansible_collections.holdfast.stateful.plugins.module_utils.contract_virtual_types import VirtualAddress

GIVEN_NOTHING: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Host:
    """One inventory host; ``memory_mb`` is None while nobody has asked the host."""

    name: str
    address: str
    memory_mb: int | None = None


Groups = Mapping[str, Sequence[Host]]


@dataclass(frozen=True)
class Violation:
    """One reason to refuse a catalog: where, what, why it matters, and the nearest legal choice."""

    path: str
    rule: str
    wrong: str
    why: str
    nearest: str

    def to_dict(self) -> dict[str, str]:
        """Return the plain dictionary that a result carries."""
        return {"path": self.path, "rule": self.rule, "wrong": self.wrong, "why": self.why, "nearest": self.nearest}

    def text(self) -> str:
        """Return the paragraph an operator reads."""
        return f"{self.path}: {self.wrong}\n    why:   {self.why}\n    do:    {self.nearest}\n    rule:  {self.rule}"


@dataclass(frozen=True)
class Version:
    """Release series, exact target, and whether the target may leave the series."""

    series: str
    target: str
    allow_major: bool


@dataclass(frozen=True)
class DataItem:
    """One row of the statefulness matrix."""

    name: str
    data_class: str
    retention_days: int | None

    def to_dict(self) -> dict[str, Any]:
        """Return the row as the contract carries it."""
        return {"name": self.name, "class": self.data_class, "retention_days": self.retention_days}


@dataclass(frozen=True)
class Budget:
    """The failure budget; a missing replica lag is None until the contract is resolved."""

    rpo_seconds: int
    rto_seconds: int
    planned_outage_ms: int
    max_replica_lag_seconds: int | None


@dataclass(frozen=True)
class AcceptedRisk:
    """A rule that is broken on purpose, by whom and until when."""

    rule: str
    reason: str
    approved_by: str
    expires: str


@dataclass(frozen=True)
class Entry:
    """One catalog entry after the schema was enforced: every key has its type, defaults are filled in."""

    service: str
    engine: str
    version: Version
    environment: str
    owner: str
    escalation: str
    members_group: str
    data: tuple[DataItem, ...]
    budget: Budget
    backup_class: str
    tuning_profile: str | None
    change_window: str | None
    port: int
    ports: Mapping[str, int]
    clients: tuple[str, ...]
    database: str
    app_user: str
    vhost: str
    sentinel_name: str
    dcs_group: str
    dcs_client_port: int
    dcs_peer_port: int
    persistence: str
    eviction: str
    auto_restart: bool | None
    maxmemory_mb: int | None
    wal_level: str
    session_access: bool
    accepted_risks: tuple[AcceptedRisk, ...]
    given: frozenset[str] = GIVEN_NOTHING
    given_ports: frozenset[str] = GIVEN_NOTHING
    objects: Objects = NO_OBJECTS
    standby_of: Site | None = None
    standby_sites: tuple[Site, ...] = ()
    virtual_address: VirtualAddress | None = None

    @property
    def classes(self) -> frozenset[str]:
        """Return the data classes kept here."""
        return frozenset(item.data_class for item in self.data)

    @property
    def keeps_only_copy(self) -> bool:
        """Say whether something kept here exists nowhere else."""
        return bool(self.classes & {"durable", "retained"})

    @property
    def production(self) -> bool:
        """Say whether the rules for production apply."""
        return self.environment == "production"


@dataclass(frozen=True)
class Placed:
    """An entry together with the hosts that carry it."""

    entry: Entry
    members: tuple[Host, ...]
    dcs: tuple[Host, ...]

    @property
    def hosts(self) -> tuple[Host, ...]:
        """Return every host that carries a part of the service, once."""
        return tuple(dict.fromkeys((*self.members, *self.dcs)))


@dataclass(frozen=True)
class View:
    """Everything a rule may look at: one service, its hosts, the other services, and the calendar."""

    here: Placed
    groups: Groups
    others: tuple[Placed, ...] = ()
    require_facts: bool = False
    today: datetime.date = field(default_factory=lambda: datetime.datetime.now(tz=datetime.UTC).date())

    @property
    def entry(self) -> Entry:
        """Return the entry under judgement."""
        return self.here.entry

    @property
    def members(self) -> tuple[Host, ...]:
        """Return the members of the service under judgement."""
        return self.here.members

    @property
    def everyone(self) -> tuple[Placed, ...]:
        """Return this service and all others, in the order of the catalog."""
        return tuple(sorted((self.here, *self.others), key=lambda placed: placed.entry.service))


@dataclass(frozen=True)
class Problem:
    """What a rule found: the key below the entry, what is wrong there, and what would be legal."""

    key: str
    wrong: str
    nearest: str


@dataclass(frozen=True)
class Decision:
    """One derived value and the reason for it."""

    setting: str
    value: Any
    because: str

    def to_dict(self) -> dict[str, Any]:
        """Return the decision as the contract carries it."""
        return {"setting": self.setting, "value": self.value, "because": self.because}


@dataclass
class Derived:
    """Collects settings so that none can be set without a reason."""

    settings: dict[str, Any] = field(default_factory=dict)
    decisions: list[Decision] = field(default_factory=list)
    advisories: list[str] = field(default_factory=list)

    def put(self, section: str, name: str, value: Any, because: str) -> None:
        """Set ``settings.<section>.<name>`` (or ``settings.<name>``) and record why."""
        target = self.settings.setdefault(section, {}) if section else self.settings
        target[name] = value
        self.decisions.append(Decision(".".join(x for x in ("settings", section, name) if x), value, because))

    def put_all(self, section: str, because: str, **values: Any) -> None:
        """Set several values that share one reason."""
        for name, value in values.items():
            self.put(section, name, value, because)


def show(value: object, limit: int = 60) -> str:
    """Return a short, printable form of any value a YAML file can hold, without ever failing."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false"}.get(value, "no value") if value is not None else "no value"
    if isinstance(value, int):
        return str(value) if -(10**18) < value < 10**18 else f"a number of {value.bit_length()} bits"
    if isinstance(value, Mapping):
        return f"a dictionary of {len(value)} keys"
    if isinstance(value, (list, tuple, set, frozenset)):
        return f"a list of {len(value)} items"
    text = repr(str(value)) if isinstance(value, str) else repr(value)
    return text if len(text) <= limit else text[: limit - 3] + "..."


def printable(text: str) -> str:
    """Return text that any terminal and any encoder takes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def did_you_mean(word: object, known: Iterable[str]) -> str:
    """Return the nearest known word as a sentence, or the list of all known words."""
    names = sorted(known)
    close = difflib.get_close_matches(str(word)[:80], names, n=1, cutoff=0.6) if isinstance(word, str) else []
    if close:
        return f"did you mean '{close[0]}'?"
    return "one of " + ", ".join(names) if names else "remove it"
