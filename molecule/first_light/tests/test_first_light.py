"""The whole site: no-change run, its cost, status, connection data and the proof from a client's side."""

from __future__ import annotations

import json
import time

import harness
import pytest

CALLS_PER_HOST = 18
STATUS_KEYS = {"service", "engine", "healthy", "leader", "members", "budget"}
CONNECT_KEYS = {
    "service",
    "engine",
    "hosts",
    "sentinels",
    "sentinel_name",
    "database",
    "database_read_only",
    "vhost",
    "user",
    "password",
    "ca_file",
}


def test_second_run_changes_nothing_within_its_remote_calls():
    again = harness.run_playbook("site.yml")
    assert again.code == 0, again.output[-3000:]
    assert again.changed == []
    assert set(again.calls) >= {"lab1", "lab2", "lab3"}, "no calls were counted: the counter is broken"
    assert max(again.calls.values()) <= CALLS_PER_HOST, again.calls
    print(f"no-change site.yml: {again.seconds:.1f} s, remote calls {again.calls}")


def test_check_mode_changes_nothing():
    predicted = harness.run_playbook("site.yml", "--check", "--diff")
    assert predicted.code == 0, predicted.output[-3000:]
    assert predicted.changed == []


def test_status_is_healthy_and_complete():
    begin = time.monotonic()
    done = harness.holdfast("status", "--json")
    print(f"holdfast status: {time.monotonic() - begin:.2f} s")
    assert done.returncode == 0, done.stdout + done.stderr
    services = json.loads(done.stdout)["services"]
    assert {item["engine"] for item in services} == {"postgres", "redis", "rabbitmq"}
    for item in services:
        assert set(item) >= STATUS_KEYS
        assert item["healthy"] is True, item
        assert item["budget"]["kept"] is True, item
        assert {member["host"] for member in item["members"]} == {"lab1", "lab2", "lab3"}
        assert all(member["state"] in ("running", "streaming") and member["version"] for member in item["members"]), (
            item
        )


@pytest.mark.parametrize("service", ["orders-db", "sessions", "events"])
def test_connect_shows_the_password_only_when_asked(service):
    hidden = harness.holdfast("connect", service, "--json")
    shown = harness.holdfast("connect", service, "--json", "--show-secret")
    assert hidden.returncode == shown.returncode == 0, hidden.stderr + shown.stderr
    assert set(json.loads(hidden.stdout)) == set(json.loads(shown.stdout)) == CONNECT_KEYS
    password = json.loads(shown.stdout)["password"]
    assert len(password) >= 20
    assert password not in hidden.stdout + hidden.stderr
    assert json.loads(hidden.stdout)["password"] is None


def test_services_are_proven_from_a_clients_side():
    done = harness.holdfast("prove")
    assert done.returncode == 0, done.stdout + done.stderr
    for service in ("orders-db", "sessions", "events"):
        assert service in done.stdout


def test_a_host_without_power_is_unknown_and_no_service_is_healthy():
    harness.power_cut("lab3")
    try:
        done = harness.holdfast("status", "--json")
    finally:
        harness.power_on("lab3")
    assert done.returncode == 5, done.stdout + done.stderr
    services = json.loads(done.stdout)["services"]
    assert len(services) == 3
    for item in services:
        states = {member["host"]: member["state"] for member in item["members"]}
        assert states["lab3"] == "unknown", item
        assert states["lab1"] != "unknown", json.dumps(item)
        assert item["healthy"] is False, item
        assert any("lab3" in problem for problem in item["problems"]), item
    harness.wait_for("all services healthy", lambda: all(item["healthy"] for item in harness.status().values()), 120)
