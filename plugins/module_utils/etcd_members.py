# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One etcd member joins, is replaced, or leaves: which steps that takes, and the steps themselves."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible_collections.holdfast.stateful.plugins.module_utils.etcd import EtcdError, MemberView, url_of
from ansible_collections.holdfast.stateful.plugins.module_utils.etcd_watch import INTERVAL, UNIT, Watch
from ansible_collections.holdfast.stateful.plugins.module_utils.systemd_unit import systemctl

REPLACE = "replace it with playbooks/replace_etcd_member.yml"
# Seconds after which a member that does not answer is taken as lost: more than a restart of one that is well takes.
SILENCE = 10.0
Listed = Sequence[Mapping[str, Any]]


def entry_of(listed: Listed, url: str) -> Mapping[str, Any] | None:
    """Return the membership entry of a peer address: the name appears only after a first start."""
    return next((item for item in listed if url in (item.get("peerURLs") or [])), None)


def others_blocker(views: Sequence[MemberView], listed: Listed | None, name: str, url: str) -> str:
    """Return why the membership must not change now, or "": every other member has to be healthy, and none half way."""
    others = [view for view in views if view.name != name]
    if listed is None or not others:
        return "no other member answers, so nobody can say who is a member"
    wrong = [f"{view.name}: {view.error or '; '.join(view.problems) or 'sees no leader'}" for view in others
             if view.error or view.problems or not view.leader]  # fmt: skip
    leaders = {view.leader for view in others if view.leader}
    if len(leaders) > 1:
        wrong.append("the other members disagree about the leader")
    for item in listed:
        if url not in (item.get("peerURLs") or []) and (item.get("isLearner") or not item.get("name")):
            wrong.append(f"{item.get('name') or (item.get('peerURLs') or ['?'])[0]} has not finished joining")
    return "; ".join(wrong)


def plan_join(entry: Mapping[str, Any] | None, has_data: bool, answers: bool, replace: bool) -> list[str]:
    """Return the steps until this member votes: ``remove``, ``set_aside``, ``add``, ``start``, ``promote``.

    A member that lost its data must get a new identity, for the old one forgot what it voted for. So must one whose
    data nobody trusts. Both only on request: ``replace``.
    """
    started = bool(entry and entry.get("name"))
    new = ["add", "start", "promote"]
    if entry is None:
        if has_data and not replace:
            raise EtcdError(f"found data of a cluster that this member is not part of: {REPLACE}")
        return (["set_aside"] if has_data else []) + new
    if answers and started:
        if replace:
            raise EtcdError("expected a member that is lost, found one that answers: nothing to replace")
        return ["promote"] if entry.get("isLearner") else []
    if started != has_data:
        if not replace:
            raise EtcdError(f"{'lost its data' if started else 'found data of another life'}: {REPLACE}")
        return ["remove"] + (["set_aside"] if has_data else []) + new
    if started and replace:
        return ["remove", "set_aside", *new]
    return ["start", *(["promote"] if entry.get("isLearner") else [])]


def initial_cluster(listed: Listed, name: str, url: str) -> str:
    """Return what a joining member must be told: exactly the members there are, under the names they have."""
    pairs = [f"{name if peer == url else item.get('name')}={peer}" for item in listed for peer in item["peerURLs"]]
    return ",".join(sorted(pairs))


class Membership:
    """Takes the steps for this host's member, through another member that is healthy."""

    def __init__(self, watch: Watch) -> None:
        """Keep the watch; it has looked once."""
        self.watch = watch
        params = watch.params
        self.name = params["name"]
        addresses = {member["name"]: member["address"] for member in params["members"]}
        if self.name not in addresses:
            raise EtcdError(f"expected {self.name} among the members, found {', '.join(sorted(addresses))}")
        self.url = url_of(addresses[self.name], params["peer_port"])
        self.helpers = [url_of(addresses[n], params["client_port"]) for n in addresses if n != self.name]

    def ask(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Ask the first other member that answers the question at all."""
        said: list[str] = []
        for base in self.helpers:
            try:
                return self.watch.client.post(base, path, body)
            except EtcdError as error:
                if "HTTP" in str(error):
                    raise  # an answer, not silence: another member would say the same
                said.append(str(error))
        raise EtcdError("no other member answers: " + "; ".join(said))

    def listed(self) -> Listed:
        """Return the members by a linearizable read."""
        return list(self.ask("/v3/cluster/member/list", {"linearizable": True}).get("members") or [])

    def entry(self) -> Mapping[str, Any] | None:
        """Return our entry."""
        return entry_of(self.listed(), self.url)

    def members_of(self, watch: Watch) -> list[MemberView]:
        """Return the views of those that are members: others may be declared and not have joined yet."""
        params = watch.params
        peers = {url for item in watch.listed or [] for url in item.get("peerURLs") or []}
        joined = {m["name"] for m in params["members"] if url_of(m["address"], params["peer_port"]) in peers}
        return [view for view in watch.views if view.name in joined]

    def require_others(self) -> None:
        """Refuse unless every other member is healthy."""
        deadline = time.monotonic() + self.watch.params["timeout"]
        while True:
            self.watch.look()
            blocker = others_blocker(self.members_of(self.watch), self.watch.listed, self.name, self.url)
            if not blocker:
                return
            if time.monotonic() >= deadline:
                raise EtcdError(f"expected every other member healthy before the membership changes, found: {blocker}")
            time.sleep(INTERVAL)

    def remove(self) -> None:
        """Take the entry away."""
        entry = self.entry()
        if entry is not None:
            self.ask("/v3/cluster/member/remove", {"ID": entry["ID"]})

    def add(self) -> None:
        """Enter as a learner, which has no vote until it has caught up."""
        self.ask("/v3/cluster/member/add", {"peerURLs": [self.url], "isLearner": True})

    def set_aside(self) -> None:
        """Rename the data: nothing is deleted."""
        folder = Path(self.watch.params["data_dir"]) / "member"
        systemctl("stop", "--", UNIT)
        if folder.exists():
            folder.rename(folder.with_name(f"member.aside-{int(time.time())}"))

    def start(self) -> None:
        """Give the permission to start without data into a cluster that exists, and start."""
        grant = Path(self.watch.params["grant"])
        members = initial_cluster(self.listed(), self.name, self.url)
        grant.write_text(f"ETCD_INITIAL_CLUSTER_STATE=existing\nETCD_INITIAL_CLUSTER={members}\n", encoding="utf-8")
        systemctl("enable", "--", UNIT)
        systemctl("stop", "--", UNIT)
        systemctl("reset-failed", "--", UNIT)
        systemctl("start", "--no-block", "--", UNIT)
        self._until("its name is known", lambda: bool((self.entry() or {}).get("name")))

    def promote(self) -> None:
        """Give the vote as soon as the cluster finds that the learner has caught up."""

        def promoted() -> bool:
            entry = self.entry() or {}
            if entry and not entry.get("isLearner"):
                return True
            self.ask("/v3/cluster/member/promote", {"ID": entry["ID"]})
            return True

        self._until("it has caught up and has a vote", promoted)

    def _until(self, what: str, done: Callable[[], bool]) -> None:
        """Try until it is done or the deadline is over."""
        deadline = time.monotonic() + self.watch.params["timeout"]
        said = ""
        while True:
            try:
                if done():
                    return
            except EtcdError as error:
                said = f" ({error})"
            if time.monotonic() >= deadline:
                raise EtcdError(f"expected that {what} within {self.watch.params['timeout']:g} s{said}")
            time.sleep(INTERVAL)


def join(watch: Watch, has_data: bool, check: bool) -> list[str]:
    """Make this host's member vote; return the steps that were, or would be, taken."""
    membership = Membership(watch)
    membership.require_others()
    own = watch.own()
    steps = plan_join(membership.entry(), has_data, own.error is None and bool(own.leader), watch.params["replace"])
    for step in [] if check else steps:
        getattr(membership, step)()
    if not check:
        # A permission that stays would let an empty member start one day.
        Path(watch.params["grant"]).unlink(missing_ok=True)
        if steps:
            membership._until("it follows the leader", lambda: follows(watch))
    return steps


def follows(watch: Watch) -> bool:
    """Say whether this host's member is part of a quorum; others may still have to join or to leave."""
    watch.look()
    own = watch.own()
    return own.error is None and bool(own.leader) and not own.problems


def is_lost(watch: Watch) -> bool:
    """Say whether the member that leaves was silent, or saw no leader, all the time that it was looked at."""
    deadline = time.monotonic() + SILENCE
    while True:
        watch.look()
        own = watch.own()
        if own.error is None and own.leader:
            return False
        if time.monotonic() >= deadline:
            return True
        time.sleep(INTERVAL)


def leave(watch: Watch, check: bool) -> list[str]:
    """Take a member out of the membership; return the steps that were, or would be, taken."""
    membership = Membership(watch)
    if watch.params["only_lost"] and not is_lost(watch):
        return []
    membership.require_others()
    if membership.entry() is None:
        return []
    if not check:
        membership.remove()
    return ["remove"]
