"""SIGKILL each service's leader under load: a new one within the budget, nothing lost, and a re-run demotes nobody."""

from __future__ import annotations

import json
import secrets

import harness
import pytest
import testinfra

UNITS = {"postgres": "patroni.service", "redis": "redis-server.service", "rabbitmq": "rabbitmq-server.service"}
SERVICES = {"orders-db": "postgres", "sessions": "redis", "events": "rabbitmq"}
if harness.DEBIAN_12:
    SERVICES = {"orders-db": "postgres"}


@pytest.fixture(scope="module")
def hosts(request):
    """Connect to the hosts by name."""
    config = request.config.option.ssh_config
    return {
        name: testinfra.get_host(f"ssh://{name}", ssh_config=config, sudo=True) for name in ("lab1", "lab2", "lab3")
    }


def leader_of(service, engine, hosts, run):
    """Return the host that leads, asked of the live service."""
    if engine != "rabbitmq":
        return harness.status()[service]["leader"]
    queues = hosts["lab1"].check_output("rabbitmqctl --quiet --formatter json list_queues --vhost events name leader")
    return next(queue["leader"].split("@")[1] for queue in json.loads(queues) if queue["name"].endswith(run))


@pytest.mark.parametrize(("service", "engine"), SERVICES.items())
def test_leader_is_killed(service, engine, hosts, record_property):
    run = secrets.token_hex(5)
    budget = harness.status()[service]["budget"]["rto_seconds"]
    ledger = harness.Ledger(harness.target(service), run)
    ledger.start()
    harness.wait_for("first acknowledged writes", lambda: len(ledger.acknowledged) > 50, 30)
    old = leader_of(service, engine, hosts, run)
    hosts[old].check_output(
        f"systemctl kill --signal=KILL --kill-whom=all {UNITS[engine]}; systemctl stop {UNITS[engine]}"
    )
    at_kill = len(ledger.acknowledged)
    harness.wait_for(
        f"{service}: writes after the kill of {old}", lambda: len(ledger.acknowledged) > at_kill + 50, budget + 20
    )
    ledger.stop()
    new = {"postgres": None, "redis": None}.get(engine, old)
    if new is None:
        new = harness.wait_for("a new leader", lambda: harness.status()[service]["leader"], 30)
        assert new != old, f"{service}: {old} still leads although it was killed"
    missing, stall = ledger.missing(), ledger.longest_stall()
    figures = f"stall {stall:.2f} s of {budget} s, {len(ledger.acknowledged)} acknowledged, {len(missing)} lost"
    print(f"{service}: {old} killed, {figures}")
    record_property("stall_seconds", round(stall, 3))
    assert not missing, f"{service}: {len(missing)} acknowledged writes are lost, first {missing[:10]}"
    assert stall <= budget, f"{service}: {stall:.1f} s without acknowledged writes, the budget is {budget} s"

    healed = harness.run_playbook("site.yml")
    assert healed.code == 0, healed.output[-3000:]
    others = [line for line in healed.changed if not line.startswith(f"{old}: ")]
    assert not others, f"site.yml changed more than the dead member: {others}"
    after = harness.wait_for("all members healthy", lambda: (s := harness.status()[service])["healthy"] and s, 60)
    if engine != "rabbitmq":
        assert after["leader"] == new, f"{service}: site.yml moved the leader from {new} to {after['leader']}"

    again = harness.run_playbook("site.yml")
    assert again.code == 0, again.output[-3000:]
    assert again.changed == []
