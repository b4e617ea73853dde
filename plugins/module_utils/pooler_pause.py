# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Pauses all poolers of a service together, and resumes each as soon as its own path ends at the new leader.

Whatever happens in between, every pooler that may be paused is told to resume; if this process dies, the dead-man of
each host does it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from ansible_collections.holdfast.stateful.plugins.module_utils.pooler_console import (
    ADMIN_DATABASE,
    PATH_DATABASE,
    Login,
    PoolerError,
    Session,
    State,
    busy,
    quoted,
    read_path,
    read_state,
)

Connect = Callable[[Mapping[str, Any], str], Any]
POLL = 0.02
# Commands and sessions that end by themselves need no more than this.
COMMAND = 5.0
# As long as a command that was sent may be on its way, before the poolers are resumed for the second time.
LATE = 0.3


@dataclass
class Outcome:
    """What a job of one member ended with: a value, or the sentence that says why not."""

    value: Any = None
    error: str = ""
    done: bool = False


def together(jobs: Mapping[str, Callable[[], Any]], seconds: float) -> dict[str, Outcome]:
    """Run jobs at the same time for a limited time; one that hangs is left behind and counts as not done."""
    found = {name: Outcome(error="no answer in time") for name in jobs}

    def work(name: str, job: Callable[[], Any]) -> None:
        try:
            value, error = job(), ""
        except PoolerError as problem:
            value, error = None, str(problem)
        found[name] = Outcome(value, error, not error)

    threads = [threading.Thread(target=work, args=item, daemon=True) for item in jobs.items()]
    for thread in threads:
        thread.start()
    end = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    return dict(found)


def _take_back(session: Any, database: str) -> None:
    """Resume a database, which somebody else may have done already."""
    try:
        session.run(f"RESUME {quoted(database)}")
    except PoolerError as error:
        if "is not paused" not in str(error):
            raise


@dataclass
class Poolers:
    """All poolers of a service. ``groups`` are the databases to pause, those that follow the leader first."""

    members: Sequence[Mapping[str, Any]]
    connect: Connect
    leading: tuple[str, ...]
    reading: tuple[str, ...] = ()
    settle: float = 0.0
    consoles: dict[str, Any] = field(default_factory=dict)
    resumed: dict[str, float] = field(default_factory=dict)

    @property
    def databases(self) -> tuple[str, ...]:
        """Return everything that is paused."""
        return (*self.leading, *self.reading)

    def _all(self, job: Callable[[Mapping[str, Any]], Any], seconds: float) -> dict[str, Outcome]:
        """Run a job for every member at the same time."""
        return together({str(member["name"]): partial(job, member) for member in self.members}, seconds)

    def look(self) -> tuple[dict[str, State], list[str]]:
        """Open a console on every member and return the states, and everything that stands against a pause."""
        problems: list[str] = []

        def ask(member: Mapping[str, Any]) -> State:
            console = self.connect(member, ADMIN_DATABASE)
            self.consoles[str(member["name"])] = console
            return read_state(console)

        found = self._all(ask, COMMAND)
        for name, outcome in sorted(found.items()):
            if not outcome.done:
                problems.append(f"{name}: pooler: {outcome.error}")
                continue
            missing = [database for database in self.databases if database not in outcome.value.databases]
            if missing:
                problems.append(f"{name}: pooler: expected databases {', '.join(missing)}, found none: run site.yml")
            if outcome.value.paused:
                problems.append(
                    f"{name}: pooler: expected it to be active, found {', '.join(outcome.value.paused)} paused"
                )
            if not outcome.value.watched:
                problems.append(f"{name}: pooler: expected its dead-man to watch, found no session of it: run site.yml")
        return {name: outcome.value for name, outcome in found.items() if outcome.done}, problems

    def paths(self) -> dict[str, Outcome]:
        """Return the address at which each member's path ends."""

        def ask(member: Mapping[str, Any]) -> str:
            session = self.connect(member, PATH_DATABASE)
            try:
                return read_path(session)
            finally:
                session.close()

        return self._all(ask, COMMAND)

    def pause(self, seconds: float) -> None:
        """Pause everything on every member at the same time; where that takes too long, resume and raise."""
        cancelled = threading.Event()
        wanted = {
            f"{member['name']} {database}": partial(self._pause_one, member, database, cancelled)
            for member in self.members
            for database in self.databases
        }
        missed = {name: outcome.error for name, outcome in together(wanted, seconds).items() if not outcome.done}
        if missed:
            cancelled.set()
            holders = self._holders()
            self.resume()
            # A command that was on its way arrives by then; one that is not sent yet never is.
            time.sleep(LATE)
            left = self.resume()
            raise PoolerError(
                f"expected all poolers to pause within {seconds:g} s, found"
                f" {'; '.join(f'{where}: {why}' for where, why in missed.items())}."
                f" Open transactions: {holders}. The poolers were resumed{': ' + '; '.join(left) if left else ''};"
                " nothing was moved. Let long transactions end, then run again"
            )

    def _pause_one(self, member: Mapping[str, Any], database: str, cancelled: threading.Event) -> None:
        """Pause one database; a pause that is called off meanwhile is not begun, or is taken back."""
        # A pause answers when it is complete, so each has a session of its own; the consoles stay free to resume.
        session = self.connect(member, ADMIN_DATABASE)
        try:
            if not cancelled.is_set():
                session.run(f"PAUSE {quoted(database)}")
                if cancelled.is_set():
                    _take_back(session, database)
        finally:
            session.close()

    def _holders(self) -> str:
        found = self._all(lambda member: busy(self.consoles[str(member["name"])], self.databases), 1.0)
        texts = [f"{name}: {', '.join(outcome.value)}" for name, outcome in sorted(found.items()) if outcome.value]
        return "; ".join(texts) or "none seen"

    def await_leader(self, address: str, deadline: float, stop: Callable[[], str]) -> list[str]:
        """Resume every pooler whose path ends at the new leader; return what is wrong with the others.

        ``stop`` returns why there is nothing to wait for any more. Databases for reading follow when every HAProxy has
        seen that the new leader is a replica no more.
        """
        found = self._all(lambda member: self._await_one(member, address, deadline, stop), deadline - time.monotonic())
        if self.reading and all(outcome.done for outcome in found.values()):
            time.sleep(self.settle)
        return [f"{name}: {outcome.error}" for name, outcome in sorted(found.items()) if not outcome.done]

    def _await_one(self, member: Mapping[str, Any], address: str, deadline: float, stop: Callable[[], str]) -> None:
        seen, name = "nothing", str(member["name"])
        session = None
        while time.monotonic() < deadline:
            try:
                session = session or self.connect(member, PATH_DATABASE)
                seen = read_path(session)
            except PoolerError as error:
                seen, session = str(error), None
            if seen == address:
                self._resume_one(name, self.leading)
                self.resumed[name] = time.monotonic()
                return
            if stop():
                raise PoolerError(stop())
            time.sleep(POLL)
        raise PoolerError(f"expected the path to end at {address}, found {seen or 'a server that takes no writes'}")

    def _resume_one(self, name: str, databases: tuple[str, ...]) -> None:
        """Resume what is paused, whoever paused it, and prove it."""
        console = self.consoles[name]
        state = read_state(console)
        for database in databases:
            if database in state.paused:
                try:
                    console.run(f"RESUME {quoted(database)}")
                except PoolerError as error:
                    # Its dead-man may have been faster: what counts is the state afterwards.
                    if "is not paused" not in str(error):
                        raise
        left = [database for database in databases if database in read_state(console).paused]
        if left:
            raise PoolerError(f"{console.where}: expected {', '.join(left)} to be resumed, found it paused")

    def resume(self) -> list[str]:
        """Resume everything on every member; return what could not be resumed."""

        def again(member: Mapping[str, Any]) -> None:
            name = str(member["name"])
            try:
                self._resume_one(name, self.databases)
            except PoolerError:
                # The console may be lost, the pooler not.
                self.consoles[name] = self.connect(member, ADMIN_DATABASE)
                self._resume_one(name, self.databases)

        found = self._all(again, COMMAND)
        return [
            f"{name}: {outcome.error}; its dead-man resumes it"
            for name, outcome in sorted(found.items())
            if not outcome.done
        ]

    def close(self) -> None:
        """End the sessions."""
        for console in self.consoles.values():
            console.close()


def poolers_of(params: Mapping[str, Any], members: Sequence[Mapping[str, Any]], ca: str) -> Poolers:
    """Return the poolers that a module's options describe."""
    login = Login(params["port"], params["admin_user"], params["admin_password"], ca)
    return Poolers(
        members,
        lambda member, database: Session(member, login, database),
        tuple(params["databases"]),
        tuple(params["read_only_databases"]),
        params["settle_ms"] / 1000,
    )
