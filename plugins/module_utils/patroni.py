# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Patroni: a client for its REST API, a judge of a cluster's health, and the difference of its configuration."""

from __future__ import annotations

import http.client
import json
import re
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

# The first Patroni that says of a standby whether it streams; before, only the leader's list of WAL senders does.
TELLS_STREAMING = (3, 0, 4)
LEADER_ROLES = {"leader", "primary", "master", "standby_leader"}
SYNC_ROLES = {"sync_standby", "quorum_standby"}


class PatroniError(Exception):
    """Patroni could not be asked, or refused: a sentence that names the member."""


class Api:
    """One member's REST API, over one connection."""

    def __init__(self, address: str, port: int, context: ssl.SSLContext, timeout: float) -> None:
        """Prepare; the connection is made with the first question."""
        self.where = f"https://{address}:{port}"
        self.connection = http.client.HTTPSConnection(address, port, context=context, timeout=timeout)

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Return the status and the answer: parsed where it is JSON, text where not."""
        data = None if body is None else json.dumps(body).encode()
        try:
            self.connection.request(method, path, body=data, headers={"Content-Type": "application/json"})
            answer = self.connection.getresponse()
            text = answer.read().decode("utf-8", "replace")
        except (OSError, http.client.HTTPException) as error:
            self.connection.close()
            raise PatroniError(f"{self.where}{path}: {type(error).__name__}: {error}") from error
        try:
            return answer.status, json.loads(text)
        except ValueError:
            return answer.status, text.strip()

    def get(self, path: str) -> dict[str, Any]:
        """Return a JSON object, whatever the status says: a replica answers some paths with 503."""
        status, parsed = self.ask("GET", path)
        if not isinstance(parsed, dict):
            raise PatroniError(f"{self.where}{path}: expected a JSON object, found HTTP {status}: {str(parsed)[:200]}")
        return parsed


@dataclass
class MemberView:
    """What one member says of itself and of the cluster, or why it could not be asked."""

    name: str
    error: str | None = None
    own: dict[str, Any] = field(default_factory=dict)
    cluster: dict[str, Any] = field(default_factory=dict)
    # The leader's WAL senders where somebody else was asked; nothing where they are not known.
    senders: list[dict[str, Any]] | None = None

    @property
    def listed(self) -> list[dict[str, Any]]:
        """Return the members that this member sees, each in the words of a Patroni that knows who streams."""
        found = [item for item in self.cluster.get("members") or [] if isinstance(item, dict)]
        return found if self.tells_streaming else [{**item, "state": self._state(item)} for item in found]

    @property
    def tells_streaming(self) -> bool:
        """Say whether this member's Patroni tells a standby that streams from one that merely runs."""
        numbers = re.match(r"(\d+)\.(\d+)\.(\d+)", str((self.own.get("patroni") or {}).get("version")))
        return numbers is None or tuple(int(number) for number in numbers.groups()) >= TELLS_STREAMING

    def _state(self, item: Mapping[str, Any]) -> Any:
        """Return a member's state; a standby that runs streams if the leader sends to one of its name."""
        senders = self.own.get("replication") if self.senders is None else self.senders
        streaming = {row.get("application_name") for row in senders or [] if row.get("state") == "streaming"}
        standby = item.get("state") == "running" and item.get("role") not in LEADER_ROLES
        return "streaming" if standby and item.get("name") in streaming else item.get("state")

    @property
    def leader(self) -> str | None:
        """Return the name of the leader that this member sees."""
        found = [str(item.get("name")) for item in self.listed if item.get("role") in LEADER_ROLES]
        return found[0] if len(found) == 1 else None

    @property
    def leads(self) -> bool:
        """Say whether this member says that it leads: a cluster that takes writes, or a standby cluster."""
        return self.own.get("role") in LEADER_ROLES and self.own.get("state") == "running"

    @property
    def takes_writes(self) -> bool:
        """Say whether this member says that it takes writes, which the leader of a standby cluster does not."""
        return self.leads and self.own.get("role") != "standby_leader"

    @property
    def scope(self) -> str:
        """Return the scope this member belongs to."""
        return str((self.own.get("patroni") or {}).get("scope") or "")

    def to_dict(self) -> dict[str, Any]:
        """Return what a result carries."""
        return {
            "name": self.name,
            "error": self.error,
            "role": self.own.get("role"),
            "state": self.own.get("state"),
            "timeline": self.own.get("timeline"),
            "leader_seen": self.leader,
            "server_version": self.own.get("server_version"),
            "patroni_version": (self.own.get("patroni") or {}).get("version"),
            "pending_restart": bool(self.own.get("pending_restart")),
            "postmaster_start_time": self.own.get("postmaster_start_time"),
        }


def observe(
    members: Sequence[Mapping[str, Any]], port: int, context: ssl.SSLContext, timeout: float
) -> list[MemberView]:
    """Ask every member for itself and for the cluster."""
    views: list[MemberView] = []
    for member in members:
        api = Api(member["address"], port, context, timeout)
        try:
            views.append(MemberView(member["name"], None, api.get("/patroni"), api.get("/cluster")))
        except PatroniError as error:
            views.append(MemberView(member["name"], str(error)))
        finally:
            api.connection.close()
    return views


def without_tags(views: Sequence[MemberView], tags: Mapping[str, Any]) -> list[str]:
    """Return who does not list the given tags of itself, and what it lists: they were written after its last reload."""
    missing = []
    for view in views:
        own = [item for item in view.listed if item.get("name") == view.name]
        found = (own[0].get("tags") or {}) if own else {}
        wrong = {tag: found.get(tag) for tag, value in tags.items() if found.get(tag) != value}
        if view.error or wrong:
            missing.append(f"{view.name}: {view.error or wrong}")
    return missing


@dataclass
class Verdict:
    """What observed members add up to."""

    leader: str | None = None
    problems: list[str] = field(default_factory=list)
    paused: bool = False
    pending_restart: list[str] = field(default_factory=list)
    sync_standbys: list[str] = field(default_factory=list)

    @property
    def healthy(self) -> bool:
        """Say whether there is nothing to complain about."""
        return self.leader is not None and not self.problems


def judge(views: Sequence[MemberView], scope: str, sync_nodes: int, leaving: Sequence[str] = ()) -> Verdict:
    """Judge a cluster: one leader by agreement and by its own word, everybody else streaming on its timeline."""
    verdict = Verdict()
    say = verdict.problems.append
    answering = [view for view in views if view.error is None]
    for view in views:
        if view.error is not None:
            say(f"{view.name}: no answer: {view.error}")
        elif view.scope != scope:
            say(f"{view.name}: expected scope {scope}, found {view.scope or 'none'}")
    seen = {view.leader for view in answering}
    primaries = [view for view in answering if view.leads]
    if len(primaries) > 1:
        say("more than one member says that it leads: " + ", ".join(view.name for view in primaries))
    if not answering or seen == {None}:
        say("no member sees a leader")
    elif len(seen) > 1:
        say("members see different leaders: " + ", ".join(f"{view.name} sees {view.leader}" for view in answering))
    else:
        name = seen.pop()
        if [view.name for view in primaries] == [name]:
            verdict.leader = name
            _judge_members(views, primaries[0], sync_nodes, verdict, leaving)
        else:
            say(f"{name} holds the leader key but does not say that it takes writes")
    verdict.paused = any(bool(view.cluster.get("pause")) for view in answering)
    verdict.pending_restart = sorted(view.name for view in answering if view.own.get("pending_restart"))
    return verdict


def _judge_members(
    views: Sequence[MemberView], leader: MemberView, sync_nodes: int, verdict: Verdict, leaving: Sequence[str]
) -> None:
    """Judge the list of members as the leader sees it."""
    say = verdict.problems.append
    listed = {str(item.get("name")): item for item in leader.listed}
    declared = {view.name for view in views}
    for name in sorted(declared - set(listed)):
        say(f"{name}: declared, but not a member of the cluster")
    for name in sorted(set(listed) - declared - set(leaving)):
        say(f"{name}: a member of the cluster that is not declared")
    timeline = leader.own.get("timeline")
    for name in sorted(declared & set(listed)):
        item = listed[name]
        if name != leader.name and item.get("state") != "streaming":
            say(f"{name}: expected to stream from {leader.name}, found state {item.get('state')}")
        if item.get("timeline") != timeline:
            say(f"{name}: expected timeline {timeline}, found {item.get('timeline')}")
    identifiers = {view.own.get("database_system_identifier") for view in views if view.error is None}
    if len(identifiers) > 1:
        say(f"members have different system identifiers: {sorted(map(str, identifiers))}")
    # Whoever is neither declared nor announced to leave may be gone at any moment: its word is no promise.
    counted = declared | set(leaving)
    verdict.sync_standbys = sorted(name for name in counted & set(listed) if listed[name].get("role") in SYNC_ROLES)
    wanted = min(sync_nodes, len(declared) - 1)
    if len(verdict.sync_standbys) < wanted:
        say(f"expected {wanted} synchronous standby, found {len(verdict.sync_standbys)}")


def same(current: Any, wanted: Any) -> bool:
    """Compare two settings; PostgreSQL parameters may be written in more than one way."""
    if isinstance(current, bool) or isinstance(wanted, bool):
        words = {"true": True, "on": True, "yes": True, "1": True}
        words.update({"false": False, "off": False, "no": False, "0": False})
        return words.get(str(current).lower()) is words.get(str(wanted).lower()) is not None
    if isinstance(current, (dict, list)) or isinstance(wanted, (dict, list)):
        return bool(current == wanted)
    return str(current) == str(wanted)


def undeclared_slots(current: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each permanent slot of the live configuration that is not declared (any more)."""
    surplus = sorted(set(current.get("slots") or {}) - set(wanted.get("slots") or {}))
    return [
        f"replication slot {name} is in Patroni's configuration and not declared: it keeps WAL for nobody, up to"
        f" max_slot_wal_keep_size; patronictl edit-config --set slots.{name}=null drops it"
        for name in surplus
    ]


def config_patch(current: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Return what to send so that every wanted key has its value; null removes, undeclared keys stay as they are."""
    patch: dict[str, Any] = {}
    for key, value in wanted.items():
        found = current.get(key)
        if value is None:
            if found is not None:
                patch[key] = None
            continue
        if isinstance(value, Mapping):
            below = config_patch(found if isinstance(found, Mapping) else {}, value)
            if below:
                patch[key] = below
        elif key not in current or not same(found, value):
            patch[key] = value
    return patch


def pick(current: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of the current configuration that a patch replaces, for a diff."""
    part: dict[str, Any] = {}
    for key, value in patch.items():
        found = current.get(key)
        part[key] = pick(found if isinstance(found, Mapping) else {}, value) if isinstance(value, Mapping) else found
    return part


def choose_candidate(leader: MemberView, sync_mode: bool, wanted: str | None = None) -> tuple[str | None, list[str]]:
    """Choose who leads next: streaming, on the timeline, allowed; synchronous where the cluster is; least lag first."""
    reasons: list[str] = []
    fit: list[tuple[bool, int, str]] = []
    for item in leader.listed:
        name = str(item.get("name"))
        tags = item.get("tags") or {}
        lag = item.get("lag")
        if name == leader.name:
            continue
        if wanted is not None and name != wanted:
            continue
        if item.get("state") != "streaming":
            reasons.append(f"{name}: state {item.get('state')}, not streaming")
        elif item.get("timeline") != leader.own.get("timeline"):
            reasons.append(f"{name}: timeline {item.get('timeline')} instead of {leader.own.get('timeline')}")
        elif tags.get("nofailover"):
            reasons.append(f"{name}: tagged nofailover")
        elif not isinstance(lag, int):
            reasons.append(f"{name}: lag unknown")
        elif sync_mode and item.get("role") not in SYNC_ROLES:
            reasons.append(f"{name}: not a synchronous standby")
        else:
            fit.append((item.get("role") not in SYNC_ROLES, lag, name))
    if wanted is not None and not fit and not reasons:
        reasons.append(f"{wanted}: not a standby of this cluster")
    return (min(fit)[2] if fit else None), reasons
