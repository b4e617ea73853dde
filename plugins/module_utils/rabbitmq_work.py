# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Starts, restarts and stops the local node behind its gates, applies definitions, and waits for the cluster."""

from __future__ import annotations

import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.holdfast.stateful.plugins.module_utils.rabbitmq import node_name, observe, stop_blockers
from ansible_collections.holdfast.stateful.plugins.module_utils.rabbitmq_api import (
    Deadline,
    DeniedError,
    GateError,
    RabbitmqError,
    UnreachableError,
)
from ansible_collections.holdfast.stateful.plugins.module_utils.rabbitmq_definitions import (
    apply,
    diff_of,
    input_problems,
    plan,
    read,
)
from ansible_collections.holdfast.stateful.plugins.module_utils.rabbitmq_module import (
    POLL_SECONDS,
    Clients,
    wait_until_well,
)
from ansible_collections.holdfast.stateful.plugins.module_utils.rabbitmq_node import (
    UNIT,
    allow_join,
    boot_failure,
    epmd_names,
    forbid_join,
    has_data,
    lost_member,
    main_pid,
    restarts,
    run,
    start_blockers,
    systemctl,
    unit_state,
)

DENIAL_SECONDS = 6
HOPELESS_RESTARTS = 3
# A look costs two processes, of which the boot of a node on a small host notices every one.
BOOT_POLL_SECONDS = 1.0


class Work:
    """One call."""

    def __init__(self, module: AnsibleModule) -> None:
        """Prepare."""
        self.module, self.params = module, module.params
        self.deadline = Deadline(self.params["timeout"])
        self.restarts_before = restarts()
        self.result: dict[str, Any] = {"changed": False, "started": False, "definitions_changed": []}

    def converge(self) -> None:
        """Start, define, wait."""
        wish = self.params["definitions"]
        if wish and (problems := input_problems(wish)):
            self.module.fail_json(msg="; ".join(problems), refusal="input", **self.result)
        clients = Clients(self.params)
        state = unit_state()
        down = state in {"inactive", "failed", "deactivating"}
        if self.params["state"] == "stopped":
            if not down:
                self.stop(clients)
            return
        if down:
            self.start(clients, state)
        elif self.params["state"] == "restarted":
            self.restart(clients)
        if self.result["started"]:
            if self.module.check_mode:
                return
            self.wait_until_booted()
        if wish:
            self.define(clients, wish)
        maintenance = clients.names if self.params["allow_maintenance"] else []
        cluster = wait_until_well(
            clients,
            self.deadline,
            self.hopeless,
            cluster_name=self.params["cluster_name"],
            in_maintenance=maintenance,
            mixed_versions=self.params["mixed_versions"],
        )
        if not self.module.check_mode:
            forbid_join()
        self.result["cluster"] = cluster.to_dict()
        for node in cluster.nodes:
            if node.draining:
                self.module.warn(f"{node.name} is in maintenance mode: run undrain when the work is done")

    def start(self, clients: Clients, state: str) -> None:
        """Start a node that does not run, when its gate opens."""
        if not self.module.check_mode:
            blank = not has_data(node_name(clients.me))
            if blank:
                clients.own_word = True
                self.wait_for_peers(clients)
                allow_join()
            if state == "failed":
                systemctl("reset-failed", UNIT)
            systemctl("start", "--no-block", UNIT)
        self.result.update(changed=True, started=True)

    def wait_for_peers(self, clients: Clients) -> None:
        """Wait until every other member is accounted for, or refuse; what waiting can't cure is refused at once."""
        while True:
            peers: dict[str, str] = {}
            counting: set[str] = set()
            for name in clients.names:
                if name != clients.me:
                    peers[name], counts_me = self.peer(clients, name)
                    counting |= {name} if counts_me else set()
            if lost := lost_member(clients.me, counting):
                raise GateError(lost)
            found = start_blockers(clients.me, data_here=False, peers=peers)
            if not found:
                return
            if self.deadline.over:
                raise GateError("; ".join(found))
            time.sleep(POLL_SECONDS)

    def peer(self, clients: Clients, name: str) -> tuple[str, bool]:
        """Say what is known of another member, and whether its cluster counts this one as a member."""
        try:
            registered = epmd_names(clients.address(name), self.params["epmd_port"])
        except RabbitmqError as error:
            return str(error), False
        if "rabbit" not in registered:
            return ("blank" if name in self.params["blank_members"] else "its node does not run"), False
        if name in self.params["blank_members"]:
            # It is being started by this very run.
            return "blank", False
        try:
            cluster = observe(clients.monitors[name])
        except RabbitmqError as error:
            return str(error), False
        return "running", cluster.node(node_name(clients.me)) is not None

    def may_stop(self, clients: Clients) -> None:
        """Refuse when a quorum needs this node."""
        if found := stop_blockers(clients.observe(), node_name(clients.me)):
            raise GateError(f"{clients.me}: expected that it may stop, found: {'; '.join(found)}; nothing was stopped")
        self.result["changed"] = True

    def restart(self, clients: Clients) -> None:
        """Stop and start the node."""
        self.may_stop(clients)
        self.result["started"] = True
        before = main_pid()
        if not self.module.check_mode:
            systemctl("restart", "--no-block", UNIT)
            # The old process would still answer for a moment.
            self.wait_for_new_start(before)

    def wait_for_new_start(self, before: str) -> None:
        """Wait until the unit has another main process than before."""
        while main_pid() in {before, "0"}:
            if self.deadline.over:
                raise GateError(
                    f"{self.params['member']}: expected {UNIT} to stop and start, found the old process still"
                )
            if said := self.hopeless():
                raise RabbitmqError(said)
            time.sleep(POLL_SECONDS)

    def wait_until_booted(self) -> None:
        """Wait until the unit says that the node is up: asking its API all the while would only slow it down."""
        while unit_state() == "activating" and not self.deadline.over:
            if restarts() > self.restarts_before and (said := self.hopeless()):
                raise RabbitmqError(said)
            time.sleep(BOOT_POLL_SECONDS)

    def stop(self, clients: Clients) -> None:
        """Stop the node."""
        self.may_stop(clients)
        if not self.module.check_mode:
            systemctl("stop", UNIT, timeout=max(30.0, self.deadline.left))

    def hopeless(self) -> str:
        """Say why waiting is pointless, empty while it is not."""
        state, tries = unit_state(), restarts() - self.restarts_before
        if state in {"failed", "inactive"} or tries >= HOPELESS_RESTARTS:
            found = f"{tries} failed starts" if tries > 0 else state
            return f"{self.params['member']}: expected {UNIT} to run, found {found}; the broker says: {boot_failure()}"
        return ""

    def define(self, clients: Clients, wish: dict[str, Any]) -> None:
        """Apply the definitions as soon as the API answers."""
        healed, patience = False, Deadline(DENIAL_SECONDS)
        while True:
            api = clients.admin()
            try:
                steps = plan(read(api), wish)
                break
            except DeniedError as error:
                if not patience.over:
                    # A node that has just booted answers before it has loaded its bootstrap file.
                    time.sleep(POLL_SECONDS)
                    continue
                if healed or self.module.check_mode:
                    raise DeniedError(
                        f"{error}: check {self.params['bootstrap_file']} and the secret of admin"
                    ) from error
                self.import_bootstrap()
                healed = True
            except UnreachableError as error:
                if self.deadline.over:
                    raise GateError(f"{error} ({self.params['timeout']} s waited)") from error
                if said := self.hopeless():
                    raise RabbitmqError(said) from error
                time.sleep(POLL_SECONDS)
        if steps:
            self.result["changed"] = True
            self.result["definitions_changed"] += [step.what for step in steps]
            if self.module._diff:
                self.result["diff"] = diff_of(steps)
        if not self.module.check_mode:
            apply(api, steps)

    def import_bootstrap(self) -> None:
        """Let the local node load its bootstrap file, which holds the administrator's new password as a hash."""
        path = self.params["bootstrap_file"]
        done = run(["/usr/sbin/rabbitmqctl", "--quiet", "import_definitions", path], max(30.0, self.deadline.left))
        if done.returncode != 0:
            raise RabbitmqError(
                f"{path}: expected rabbitmqctl to import it, found exit code {done.returncode}:"
                f" {(done.stderr or done.stdout).strip()[-500:]}"
            )
        self.result["changed"] = True
        self.result["definitions_changed"].append("user admin")
