# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""etcd: a client for its JSON gateway, a judge of a cluster's health, and the rule for when a cluster may begin."""

from __future__ import annotations

import base64
import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

REPLACEMENT = "docs/runbooks/replace_etcd_member.md"


# What etcd answers without a user.
OPEN_PATHS = ("/v3/auth/authenticate", "/v3/maintenance/status", "/v3/cluster/member/list")
# etcd's own words (api/v3rpc/rpctypes/error.go); the JSON gateway gives no finer code.
AUTH_OFF = "authentication is not enabled"
BAD_LOGIN = "authentication failed, invalid user ID or password"


class EtcdError(Exception):
    """etcd could not be asked, or refused: a sentence that names the address."""


class LoginRefusedError(EtcdError):
    """The cluster knows the user by another password, or not at all."""


@dataclass(frozen=True)
class Tls:
    """The files of one client: authority, certificate, key."""

    ca: str
    cert: str
    key: str

    def context(self) -> ssl.SSLContext:
        """Return a context that verifies the server and shows our certificate."""
        try:
            context = ssl.create_default_context(cafile=self.ca)
            context.load_cert_chain(self.cert, self.key)
        except OSError as error:
            files = f"{self.ca}, {self.cert}, {self.key}"
            raise EtcdError(f"{files}: expected readable certificate files: {error}") from error
        return context


class EtcdClient:
    """Asks one member at a time through its JSON gateway."""

    def __init__(self, context: ssl.SSLContext, timeout: float, user: str = "", password: str = "") -> None:
        """Keep the context, the seconds one question may take, and who asks where certificates are not enough."""
        self.timeout = timeout
        self.user, self.password = user, password
        self.tokens: dict[str, str] = {}
        # No proxy, whatever the environment says: these addresses are our own members.
        self.opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        )

    @classmethod
    def like(cls, other: EtcdClient, user: str, password: str) -> EtcdClient:
        """Return a client that asks over the same connections as somebody else."""
        made = cls.__new__(cls)
        made.timeout, made.opener = other.timeout, other.opener
        made.user, made.password, made.tokens = user, password, {}
        return made

    def post(self, base: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Ask one question, logged in where a user is given; anything but a JSON object is an error."""
        if self.user and path not in OPEN_PATHS:
            self.login(base)
        token = self.tokens.get(base)
        headers = {"Content-Type": "application/json", **({"Authorization": token} if token else {})}
        request = urllib.request.Request(  # noqa: S310 - the scheme is https, see url_of
            base + path, data=json.dumps(body or {}).encode(), headers=headers
        )
        try:
            with self.opener.open(request, timeout=self.timeout) as answer:
                parsed = json.loads(answer.read())
        except urllib.error.HTTPError as error:
            said = error.read(500).decode("utf-8", "replace").strip()
            raise EtcdError(f"{base}: HTTP {error.code}: {said}") from error
        except (OSError, ValueError) as error:
            raise EtcdError(f"{base}: {getattr(error, 'reason', error)}") from error
        if not isinstance(parsed, dict):
            raise EtcdError(f"{base}: expected a JSON object, found {type(parsed).__name__}")
        return parsed

    def login(self, base: str) -> bool:
        """Get a token from a member; return False when the cluster does not ask for users yet. Raises EtcdError."""
        if base in self.tokens or not self.user:
            return bool(self.user)
        try:
            answer = self.post(base, "/v3/auth/authenticate", {"name": self.user, "password": self.password})
        except EtcdError as error:
            if AUTH_OFF in str(error):
                return False
            if BAD_LOGIN in str(error):
                raise LoginRefusedError(f"{base}: refuses the password of user {self.user}") from None
            raise
        self.tokens[base] = str(answer.get("token", ""))
        return True

    def get(self, base: str, key: str) -> str | None:
        """Return the value of a key by a linearizable read, or None where there is none."""
        found = self.post(base, "/v3/kv/range", {"key": base64.b64encode(key.encode()).decode()})
        values = found.get("kvs") or []
        return base64.b64decode(values[0].get("value", "")).decode("utf-8", "replace") if values else None

    def delete_through_any(self, bases: Sequence[str], key: str) -> bool:
        """Delete one key through the first member that answers; return whether there was one."""
        said: list[str] = []
        for base in bases:
            try:
                done = self.post(base, "/v3/kv/deleterange", {"key": base64.b64encode(key.encode()).decode()})
                return int(done.get("deleted") or 0) > 0
            except EtcdError as error:
                said.append(str(error))
        raise EtcdError("no etcd member takes a write: " + "; ".join(said))

    def put_through_any(self, bases: Sequence[str], key: str, value: str) -> None:
        """Write one key through the first member that answers."""
        pair = {"key": base64.b64encode(key.encode()).decode(), "value": base64.b64encode(value.encode()).decode()}
        said: list[str] = []
        for base in bases:
            try:
                self.post(base, "/v3/kv/put", pair)
            except EtcdError as error:
                said.append(str(error))
            else:
                return
        raise EtcdError("no etcd member takes a write: " + "; ".join(said))

    def get_from_any(self, bases: Sequence[str], key: str) -> str | None:
        """Return the value of a key from the first member that answers."""
        said: list[str] = []
        for base in bases:
            try:
                return self.get(base, key)
            except EtcdError as error:
                said.append(str(error))
        raise EtcdError("no etcd member answers a consistent read: " + "; ".join(said))


def url_of(address: str, port: int) -> str:
    """Return the client address of a member."""
    return f"https://[{address}]:{port}" if ":" in address else f"https://{address}:{port}"


@dataclass
class MemberView:
    """What one member says of itself, or why it could not be asked."""

    name: str
    error: str | None = None
    member_id: str = ""
    leader: str = ""
    version: str = ""
    term: int = 0
    db_bytes: int = 0
    problems: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Return what a result carries."""
        return {
            "name": self.name,
            "healthy": self.error is None and not self.problems and bool(self.leader),
            "error": self.error,
            "version": self.version,
            "term": self.term,
            "db_bytes": self.db_bytes,
            "is_leader": bool(self.leader) and self.leader == self.member_id,
            "problems": self.problems,
        }


def parse_status(name: str, answer: Mapping[str, Any]) -> MemberView:
    """Read the answer of /v3/maintenance/status; the gateway writes 64-bit numbers as strings and leaves zeroes out."""
    header = answer.get("header") or {}
    leader = str(answer.get("leader") or "0")
    return MemberView(
        name=name,
        member_id=str(header.get("member_id") or ""),
        leader="" if leader == "0" else leader,
        version=str(answer.get("version") or ""),
        term=int(answer.get("raftTerm") or 0),
        db_bytes=int(answer.get("dbSize") or 0),
        problems=[str(item) for item in answer.get("errors") or []],
    )


def observe(
    client: EtcdClient, members: Sequence[Mapping[str, Any]], port: int
) -> tuple[list[MemberView], list[dict[str, Any]] | None]:
    """Ask every member for its status, and the first that answers for the list of members."""
    views: list[MemberView] = []
    listed: list[dict[str, Any]] | None = None
    for member in members:
        base = url_of(member["address"], port)
        try:
            view = parse_status(member["name"], client.post(base, "/v3/maintenance/status"))
            if listed is None:
                listed = list(client.post(base, "/v3/cluster/member/list").get("members") or [])
        except EtcdError as error:
            view = MemberView(name=member["name"], error=str(error))
        views.append(view)
    return views, listed


@dataclass
class Verdict:
    """What observed members add up to."""

    quorum: bool
    all_healthy: bool
    leader: str | None
    problems: list[str]
    list_problems: list[str]


def judge(
    views: Sequence[MemberView],
    listed: Sequence[Mapping[str, Any]] | None,
    members: Sequence[Mapping[str, Any]],
    peer_port: int,
) -> Verdict:
    """Judge a cluster: who answers, who leads by agreement, and whether the list of members is the declared one."""
    problems = [f"{view.name}: no answer: {view.error}" for view in views if view.error is not None]
    problems += [f"{view.name}: {problem}" for view in views for problem in view.problems]
    answering = [view for view in views if view.error is None]
    problems += [f"{view.name}: sees no leader" for view in answering if not view.leader]
    leaders = {view.leader for view in answering if view.leader}
    names = {view.member_id: view.name for view in answering}
    if len(leaders) > 1:
        problems.append("members disagree about the leader: " + ", ".join(sorted(names.get(x, x) for x in leaders)))
    agreeing = [view for view in answering if view.leader and not view.problems]
    list_problems = [] if listed is None else compare_list(listed, members, peer_port)
    quorum = len(leaders) == 1 and len(agreeing) >= len(members) // 2 + 1
    leader = names.get(next(iter(leaders))) if len(leaders) == 1 else None
    healthy = quorum and not problems and not list_problems
    return Verdict(quorum, healthy, leader, problems + list_problems, list_problems)


def compare_list(
    listed: Sequence[Mapping[str, Any]], members: Sequence[Mapping[str, Any]], peer_port: int
) -> list[str]:
    """Return how the members differ from the declared ones, by peer address: a name appears only after a start."""
    pairs = [
        (str(url), str(item.get("name") or "(not started)")) for item in listed for url in item.get("peerURLs") or []
    ]
    found = dict(pairs)
    wanted = {url_of(member["address"], peer_port): str(member["name"]) for member in members}
    missing = [f"{wanted[url]} ({url}) is declared but is no member" for url in sorted(set(wanted) - set(found))]
    extra = [f"{found[url]} ({url}) is a member but is not declared" for url in sorted(set(found) - set(wanted))]
    learners = [f"{item.get('name')} is a learner and has no vote" for item in listed if item.get("isLearner")]
    return missing + extra + learners


def plan_start(observed: Mapping[str, Mapping[str, Any] | None], members: Sequence[str]) -> dict[str, Any]:
    """Decide for every member whether it may start, and whether as a part of a new cluster.

    ``observed`` maps a member's name to ``{"has_data", "granted"}``, or to nothing where it could not be observed.
    ``granted`` is the mark of a beginning that was never finished: no client has used that cluster yet.
    """
    unseen = sorted(name for name in members if not observed.get(name))
    seen = {name: observed[name] or {} for name in members if name not in unseen}
    empty = sorted(name for name, item in seen.items() if not item.get("has_data"))
    settled = sorted(name for name, item in seen.items() if item.get("has_data") and not item.get("granted"))
    if empty and unseen:
        blocker = (
            f"{', '.join(empty)}: no etcd data here, and {', '.join(unseen)} could not be observed: only when no member"
            " has data may a new cluster begin. Run with all members of the consensus store"
        )
        return {"begin": [], "blocker": blocker}
    if empty and settled:
        blocker = (
            f"{', '.join(empty)}: no etcd data here, but {', '.join(settled)} already belong to a cluster in use. A"
            " member that lost its data must not come back under its old identity, for it forgot what it voted for:"
            f" replace it, see {REPLACEMENT}"
        )
        return {"begin": [], "blocker": blocker}
    return {"begin": sorted(name for name in seen if name in empty or seen[name].get("granted")), "blocker": ""}
