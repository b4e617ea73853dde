"""A table of inventories that must be refused before the first change, on hosts that really are there."""

from __future__ import annotations

import shutil

import harness
import pytest
import yaml

CATALOG = "group_vars/all/service_catalog.yml"


def with_catalog(change):
    """Return a function that applies `change` to the catalog of an inventory folder."""

    def apply(folder):
        path = folder / CATALOG
        data = yaml.safe_load(path.read_text())
        change(data["service_catalog"])
        path.write_text(yaml.safe_dump(data))

    return apply


def with_hosts(change):
    """Return a function that applies `change` to the hosts file of an inventory folder."""

    def apply(folder):
        path = folder / "hosts.yml"
        data = yaml.safe_load(path.read_text())
        change(data["all"]["children"])
        path.write_text(yaml.safe_dump(data))

    return apply


def with_host_variable(name, value):
    """Return a function that sets a variable for lab2."""
    return with_hosts(lambda groups: groups["lab"]["children"]["members"]["hosts"]["lab2"].update({name: value}))


CASES = {
    "unknown key": (with_catalog(lambda c: c["orders-db"].update(ownr="x")), ["orders-db.ownr", "owner"]),
    "unknown nested key": (
        with_catalog(lambda c: c["orders-db"]["data"][0].update(clas="durable")),
        ["orders-db.data[0].clas"],
    ),
    "wrong type": (
        with_catalog(lambda c: c["sessions"]["budget"].update(rto_seconds="soon")),
        ["sessions.budget", "rto_seconds"],
    ),
    "list instead of dictionary": (with_catalog(lambda c: c.update(events=[1, 2])), ["events"]),
    "unknown engine": (with_catalog(lambda c: c["events"].update(engine="kafka")), ["events.engine", "kafka"]),
    "missing owner": (with_catalog(lambda c: c["events"].pop("owner")), ["events", "owner"]),
    "no such group": (
        with_catalog(lambda c: c["events"].update(members_group="nobody")),
        ["events.members_group", "nobody"],
    ),
    "empty group": (with_hosts(lambda g: g.update(events={"hosts": {}})), ["events"]),
    "even number of members": (
        with_hosts(lambda g: g.update(events={"hosts": {"lab1": None, "lab2": None}})),
        ["events", "members_group"],
    ),
    "same port twice": (with_catalog(lambda c: c["sessions"].update(port=5432)), ["5432", "sessions"]),
    "too little memory": (with_host_variable("host_baseline_memory_mb", 400), ["lab2", "memory"]),
    "unreachable host": (with_host_variable("lab_address", 99), ["lab2", "unreachable"]),
    "RPO 0 in Redis": (
        with_catalog(lambda c: c["sessions"]["budget"].update(rpo_seconds=0)),
        ["sessions.budget.rpo_seconds"],
    ),
    "RPO 0 in PostgreSQL with two members": (
        lambda folder: (
            with_hosts(lambda g: g.update(two={"hosts": {"lab1": None, "lab2": None}}))(folder),
            with_catalog(lambda c: c["orders-db"].update(members_group="two", dcs={"members_group": "orders_db"}))(
                folder
            ),
        ),
        ["orders-db.members_group", "postgres-rpo0-members"],
    ),
    "two PostgreSQL clusters with one consensus store": (
        lambda folder: (
            with_hosts(lambda g: g.update(two={"hosts": {"lab2": None, "repo1": None}}))(folder),
            with_catalog(
                lambda c: c.update(
                    billing={**c["orders-db"], "members_group": "two", "dcs": {"members_group": "orders_db"}}
                )
            )(folder),
        ),
        ["billing.dcs.members_group", "dcs-shared", "also serves orders-db"],
    ),
    "a standby cluster of itself": (
        with_catalog(
            lambda c: c["orders-db"].update(
                standby_of={"service": "orders-db", "members": [{"name": "far1", "address": "10.0.0.1"}]}
            )
        ),
        ["orders-db.standby_of.service", "standby-scope"],
    ),
    "a standby site with the name of a member": (
        with_catalog(
            lambda c: c["orders-db"].update(
                standby_sites=[{"service": "far", "members": [{"name": "lab2", "address": "10.0.0.1"}]}]
            )
        ),
        ["orders-db.standby_sites[0].members[0].name", "standby-member-shared"],
    ),
    "cacheable beside durable": (
        with_catalog(lambda c: c["sessions"]["data"].append({"name": "pages", "class": "cacheable"})),
        ["sessions.data"],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_refused_before_the_first_change(case, tmp_path):
    spoil, words = CASES[case]
    folder = tmp_path / "inventory"
    shutil.copytree(harness.ROOT / "inventories" / "lab", folder)
    spoil(folder)
    seen = harness.run_playbook("site.yml", "-e", "ansible_timeout=4", inventory=folder)
    assert seen.code != 0, f"{case}: was accepted"
    assert seen.changed == [], f"{case}: changed something before the refusal"
    text = seen.output.lower()
    assert "traceback (most recent" not in text
    for word in words:
        assert word.lower() in text, f"{case}: the message does not name {word!r}: {seen.output[-1500:]}"


def test_the_unspoilt_inventory_is_accepted(tmp_path):
    folder = tmp_path / "inventory"
    shutil.copytree(harness.ROOT / "inventories" / "lab", folder)
    seen = harness.run_playbook("check_catalog.yml", inventory=folder)
    assert seen.code == 0, seen.output[-1500:]
