"""The contract as its users see it: explained, complete, and without a single remote call."""

from __future__ import annotations

import json

import harness


def test_role_costs_no_remote_call():
    seen = harness.run_playbook("../molecule/service_contract/converge.yml")
    assert seen.code == 0, seen.output[-2000:]
    assert sum(seen.calls.values()) == 0


def test_explain_as_data_has_the_matrix_and_every_decision_with_its_reason():
    done = harness.holdfast("explain", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    contracts = json.loads(done.stdout)
    assert set(contracts) == {"orders-db", "sessions", "events"}
    for contract in contracts.values():
        assert contract["matrix"]
        assert all(decision["because"] for decision in contract["decisions"])


def test_every_setting_is_explained():
    contracts = json.loads(harness.holdfast("explain", "--json").stdout)
    for service, contract in contracts.items():
        explained = {decision["setting"] for decision in contract["decisions"]}
        for group in ("patroni", "parameters", "config", "sentinel"):
            for name in contract["settings"].get(group, {}):
                assert f"settings.{group}.{name}" in explained, f"{service}: {group}.{name} has no reason"


def test_explain_shows_a_reason_for_a_person():
    done = harness.holdfast("explain", "orders-db")
    assert done.returncode == 0
    assert "synchronous_mode" in done.stdout
    assert "ledger" in done.stdout


def test_unknown_service_is_bad_input():
    done = harness.holdfast("explain", "no-such-service")
    assert done.returncode == 2, done.stdout + done.stderr
