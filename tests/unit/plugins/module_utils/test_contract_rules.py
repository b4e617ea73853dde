# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every rule of the catalog fires on what it forbids, and stays silent on the nearest legal choice."""

from __future__ import annotations

import copy
import datetime
from dataclasses import dataclass, field
from typing import Any

import pytest
from ansible_collections.holdfast.stateful.plugins.module_utils import contract_postgres
from ansible_collections.holdfast.stateful.plugins.module_utils.contract import RULES, Host, Violation, resolve_catalog

TODAY = datetime.date(2026, 11, 23)


def hosts(count: int, prefix: str = "h", net: int = 1, memory: int | None = 16384) -> list[Host]:
    return [Host(f"{prefix}{n}", f"10.0.{net}.{n}", memory) for n in range(1, count + 1)]


GROUPS = {
    "all": hosts(3),
    "db": hosts(3),
    "other": hosts(3, "o", 2),
    "dcs": hosts(3, "d", 3),
    "dcs4": hosts(4, "d", 3),
    "none": [],
    "one": hosts(1),
    "two": hosts(2),
    "four": hosts(4),
    "nine": hosts(9),
    "twins": [Host("h1", "10.0.1.1", 4096), Host("h2", "10.0.1.1", 4096), Host("h3", "10.0.1.3", 4096)],
    "selfish": [Host("h1", "127.0.0.1", 4096), Host("h2", "10.0.1.2", 4096), Host("h3", "10.0.1.3", 4096)],
    "named": [Host("h1", "h1.example.com", 4096), Host("h2", "10.0.1.2", 4096), Host("h3", "10.0.1.3", 4096)],
    "newer": [Host("h1", "2001:db8::1", 4096), Host("h2", "10.0.1.2", 4096), Host("h3", "10.0.1.3", 4096)],
    "spaced": [Host("h 1", "10.0.1.1", 4096), *hosts(3)[1:]],
    "endless": [Host("h" * 64, "10.0.1.1", 4096), *hosts(3)[1:]],
    "slots": [Host("a-b", "10.0.7.1", 4096), Host("a.b", "10.0.7.2", 4096), Host("c", "10.0.7.3", 4096)],
    "cases": [Host("DB1", "10.0.7.1", 4096), Host("db1", "10.0.7.2", 4096), Host("c", "10.0.7.3", 4096)],
    "apart": [Host("a-b", "10.0.7.1", 4096), Host("a-bc", "10.0.7.2", 4096), Host("h" * 63, "10.0.7.3", 4096)],
    "domain": [Host(f"h{n}.example.com", f"10.0.7.{n}", 4096) for n in (1, 2, 3)],
    "bare": [Host(f"10.0.7.{n}", f"10.0.7.{n}", 4096) for n in (1, 2, 3)],
    "small": hosts(3, "s", 4, 512),
    "lean": hosts(3, "l", 5, 700),
    "unasked": hosts(3, "u", 6, None),
    "overlap": [*hosts(1), *hosts(2, "o", 2)],
}

COMMON = {
    "environment": "production",
    "owner": "team-a",
    "escalation": "pager:a",
    "members_group": "db",
    "change_window": "Sun 02:00-05:00 UTC",
    "clients": ["10.0.0.0/16"],
    "backup_class": "gold",
    "data": [{"name": "a", "class": "durable"}],
}
BASES: dict[str, dict[str, Any]] = {
    "postgres": {
        **COMMON,
        "engine": "postgres",
        "version": {"series": "17"},
        "budget": {"rpo_seconds": 0, "rto_seconds": 30, "planned_outage_ms": 5000},
    },
    "redis": {
        **COMMON,
        "engine": "redis",
        "version": {"series": "8.0"},
        "budget": {"rpo_seconds": 10, "rto_seconds": 15, "planned_outage_ms": 5000},
    },
    "rabbitmq": {
        **COMMON,
        "engine": "rabbitmq",
        "version": {"series": "4.0"},
        "budget": {"rpo_seconds": 0, "rto_seconds": 30, "planned_outage_ms": 5000},
    },
}
CACHE = [{"name": "c", "class": "cacheable"}]
MIXED = [*CACHE, {"name": "a", "class": "durable"}]
REPLAY = [{"name": "r", "class": "replayable"}]
KEPT = [{"name": "k", "class": "retained", "retention_days": 30}]
TABLE = {"table": "t", "column": "at", "interval": "day"}
SITE = {"service": "far", "members": [{"name": "f1", "address": "10.9.0.1"}]}
SITE_B = {"service": "beside", "members": [{"name": f"o{n}", "address": f"10.0.2.{n}"} for n in (1, 2, 3)]}
HERE = {"service": "here", "members": [{"name": f"h{n}", "address": f"10.0.1.{n}"} for n in (1, 2, 3)]}
SOURCE = {"members_group": "other", "standby_sites": [HERE]}
FOLLOWER = {"members_group": "other", "standby_of": HERE, "database": "here", "app_user": "here_app"}
COPY = {"standby_of": SITE_B, "database": "beside", "app_user": "beside_app"}
MOVING = {"virtual_address": {"address": "10.0.1.100"}}
RISK = {"rule": "backup-none-durable", "reason": "trial", "approved_by": "cto", "expires": "2027-01-01"}


def entry(engine: str, patch: dict[str, Any]) -> dict[str, Any]:
    """Return a valid entry with some keys replaced; a dotted key reaches into a dictionary."""
    found: dict[str, Any] = copy.deepcopy(BASES[engine])
    for key, value in patch.items():
        first, _dot, rest = key.partition(".")
        if rest:
            found.setdefault(first, {})[rest] = value
        else:
            found[first] = value
    return found


@dataclass(frozen=True)
class Case:
    """One rule: what fires it, at which key, and what is legal; ``beside`` is a second service."""

    rule: str
    engine: str
    fires: dict[str, Any]
    key: str
    legal: dict[str, Any]
    beside: tuple[str, dict[str, Any]] | None = None
    facts: bool = field(default=False)


CASES = [
    Case("data-empty", "postgres", {"data": []}, "data", {}),
    Case(
        "data-duplicate-name",
        "postgres",
        {"data": [*COMMON["data"], *COMMON["data"]]},
        "data[1].name",
        {"data": [*REPLAY, *COMMON["data"]]},
    ),
    Case(
        "retention-not-retained",
        "postgres",
        {"data": [{"name": "a", "class": "durable", "retention_days": 3}]},
        "data[0].retention_days",
        {"data": KEPT},
    ),
    Case(
        "retained-without-retention",
        "postgres",
        {"data": [{"name": "a", "class": "retained"}]},
        "data[0].retention_days",
        {"data": KEPT},
    ),
    Case("retained-needs-postgres", "redis", {"data": KEPT}, "data[0].class", {}),
    Case("retained-needs-postgres", "rabbitmq", {"data": KEPT}, "data[0].class", {}),
    Case(
        "retained-needs-off-cluster",
        "postgres",
        {"data": KEPT, "backup_class": "bronze"},
        "backup_class",
        {"data": KEPT, "backup_class": "silver"},
    ),
    Case("backup-none-durable", "postgres", {"backup_class": "none"}, "backup_class", {"backup_class": "bronze"}),
    Case(
        "backup-none-durable",
        "redis",
        {"backup_class": "none"},
        "backup_class",
        {"backup_class": "none", "accepted_risks": [RISK]},
    ),
    Case("rto-below-floor", "postgres", {"budget.rto_seconds": 20}, "budget.rto_seconds", {"budget.rto_seconds": 21}),
    Case("rto-below-floor", "redis", {"budget.rto_seconds": 4}, "budget.rto_seconds", {"budget.rto_seconds": 5}),
    Case("rto-below-floor", "rabbitmq", {"budget.rto_seconds": 11}, "budget.rto_seconds", {"budget.rto_seconds": 12}),
    Case(
        "planned-outage-above-rto",
        "postgres",
        {"budget.planned_outage_ms": 30001},
        "budget.planned_outage_ms",
        {"budget.planned_outage_ms": 30000},
    ),
    Case(
        "planned-outage-below-floor",
        "redis",
        {"budget.planned_outage_ms": 1999},
        "budget.planned_outage_ms",
        {"budget.planned_outage_ms": 2000},
    ),
    Case(
        "replica-lag-above-rpo",
        "redis",
        {"budget.max_replica_lag_seconds": 11},
        "budget.max_replica_lag_seconds",
        {"budget.max_replica_lag_seconds": 10},
    ),
    Case("owner-missing", "postgres", {"owner": "TBD"}, "owner", {"owner": "tbd", "environment": "staging"}),
    Case("escalation-missing", "postgres", {"escalation": "pager:"}, "escalation", {"escalation": "pager:x"}),
    Case("escalation-missing", "postgres", {"escalation": "none"}, "escalation", {"escalation": "chat:x-team"}),
    Case("change-window-missing", "postgres", {"change_window": "any"}, "change_window", {}),
    Case(
        "change-window-invalid",
        "postgres",
        {"change_window": "Sun 2-5"},
        "change_window",
        {"change_window": "Mon-Fri 22:00-01:00 Europe/Berlin"},
    ),
    Case("version-series-unknown", "redis", {"version.series": "9.9"}, "version.series", {"version.series": "7.0"}),
    Case(
        "version-series-unsupported", "postgres", {"version.series": "16"}, "version.series", {"version.series": "15"}
    ),
    Case(
        "version-target-invalid",
        "redis",
        {"version.target": "new"},
        "version.target",
        {"version.target": "5:8.0.2-3+deb13u2"},
    ),
    Case("version-target-invalid", "redis", {"version.target": "8"}, "version.target", {"version.target": "8.0.5"}),
    Case(
        "version-major-not-allowed",
        "postgres",
        {"version.target": "18.1"},
        "version.target",
        {"version.target": "17.11"},
    ),
    Case(
        "version-downgrade",
        "postgres",
        {"version.target": "15.1", "version.allow_major": True},
        "version.target",
        {"version.target": "18.1", "version.allow_major": True},
    ),
    Case(
        "version-major-unsupported",
        "postgres",
        {"version.target": "19.1", "version.allow_major": True},
        "version.target",
        {"version.target": "18.1", "version.allow_major": True},
    ),
    Case("profile-not-for-engine", "redis", {"tuning_profile": "oltp"}, "tuning_profile", {"tuning_profile": "cache"}),
    Case("key-not-for-engine", "postgres", {"vhost": "x"}, "vhost", {"database": "x"}),
    Case("key-not-for-engine", "redis", {"ports": {"dist": 25672}}, "ports.dist", {"ports": {"sentinel": 26380}}),
    Case("identifier-unsafe", "postgres", {"database": "a;drop"}, "database", {"database": "a_drop"}),
    Case("identifier-unsafe", "postgres", {"database": "d" * 57}, "database", {"database": "d" * 56}),
    Case("identifier-unsafe", "postgres", {"app_user": "u" * 62}, "app_user", {"app_user": "u" * 61}),
    Case("identifier-unsafe", "redis", {"app_user": "u" * 64}, "app_user", {"app_user": "u" * 63}),
    Case(
        "identifier-reserved",
        "postgres",
        {"app_user": "holdfast_monitor_b"},
        "app_user",
        {"app_user": "monitor_b"},
    ),
    Case(
        "objects-derived-name",
        "postgres",
        {"app_user": "report_b", "objects": {"logins": [{"name": "report"}]}},
        "app_user",
        {"app_user": "report_c", "objects": {"logins": [{"name": "report"}]}},
    ),
    Case(
        "objects-derived-name",
        "postgres",
        {"database": "shop_ro", "objects": {"databases": [{"name": "shop"}]}},
        "database",
        {"database": "shop_rw", "objects": {"databases": [{"name": "shop"}]}},
    ),
    Case("identifier-unsafe", "rabbitmq", {"vhost": "a/b c"}, "vhost", {"vhost": "a-b.c"}),
    Case("identifier-unsafe", "redis", {"sentinel_name": "x y"}, "sentinel_name", {"sentinel_name": "x-y"}),
    Case("identifier-reserved", "postgres", {"app_user": "postgres"}, "app_user", {"app_user": "postgres_app"}),
    Case("identifier-reserved", "postgres", {"database": "template1"}, "database", {}),
    Case("identifier-reserved", "redis", {"app_user": "default"}, "app_user", {}),
    Case(
        "risk-unknown-rule",
        "postgres",
        {"accepted_risks": [{**RISK, "rule": "backup-none"}]},
        "accepted_risks[0].rule",
        {"accepted_risks": [RISK]},
    ),
    Case(
        "risk-not-waivable",
        "postgres",
        {"accepted_risks": [{**RISK, "rule": "members-even"}]},
        "accepted_risks[0].rule",
        {"accepted_risks": [RISK]},
    ),
    Case(
        "risk-expired",
        "postgres",
        {"accepted_risks": [{**RISK, "expires": "2026-11-22"}]},
        "accepted_risks[0].expires",
        {"accepted_risks": [{**RISK, "expires": "2026-11-23"}]},
    ),
    Case(
        "risk-expired",
        "postgres",
        {"accepted_risks": [{**RISK, "expires": "2026-02-30"}]},
        "accepted_risks[0].expires",
        {"accepted_risks": [{**RISK, "expires": datetime.date(2027, 1, 1)}]},
    ),
    Case("group-missing", "postgres", {"members_group": "dbb"}, "members_group", {}),
    Case(
        "group-missing",
        "postgres",
        {"dcs": {"members_group": "x"}},
        "dcs.members_group",
        {"dcs": {"members_group": "dcs"}},
    ),
    Case("group-empty", "postgres", {"members_group": "none"}, "members_group", {}),
    Case("members-too-few", "redis", {"members_group": "two"}, "members_group", {}),
    Case(
        "members-too-few",
        "postgres",
        {"members_group": "one", "dcs": {"members_group": "dcs"}, "budget.rpo_seconds": 30},
        "members_group",
        {"members_group": "two", "dcs": {"members_group": "dcs"}, "budget.rpo_seconds": 30},
    ),
    Case("members-even", "rabbitmq", {"members_group": "four"}, "members_group", {}),
    Case(
        "members-even",
        "postgres",
        {"dcs": {"members_group": "dcs4"}},
        "dcs.members_group",
        {"members_group": "four", "dcs": {"members_group": "dcs"}},
    ),
    Case("members-too-many", "rabbitmq", {"members_group": "nine"}, "members_group", {}),
    Case("address-duplicate", "redis", {"members_group": "twins"}, "members_group", {}),
    Case("address-loopback", "redis", {"members_group": "selfish"}, "members_group", {}),
    Case("member-name-unsafe", "postgres", {"members_group": "spaced"}, "members_group", {"members_group": "apart"}),
    Case("member-name-unsafe", "postgres", {"members_group": "endless"}, "members_group", {"members_group": "apart"}),
    Case(
        "member-name-unsafe",
        "postgres",
        {"dcs": {"members_group": "spaced"}, "members_group": "other"},
        "dcs.members_group",
        {"dcs": {"members_group": "dcs"}},
    ),
    Case("member-slot-duplicate", "postgres", {"members_group": "slots"}, "members_group", {"members_group": "apart"}),
    Case("member-slot-duplicate", "postgres", {"members_group": "cases"}, "members_group", {"members_group": "domain"}),
    Case("address-not-ipv4", "postgres", {"members_group": "named"}, "members_group", {"members_group": "domain"}),
    Case("address-not-ipv4", "postgres", {"members_group": "newer"}, "members_group", {"members_group": "bare"}),
    Case(
        "address-not-ipv4",
        "postgres",
        {"dcs": {"members_group": "named"}, "members_group": "other"},
        "dcs.members_group",
        {"dcs": {"members_group": "dcs"}},
    ),
    Case(
        "members-shared",
        "redis",
        {},
        "members_group",
        {"members_group": "other"},
        ("redis", {"port": 6380, "ports": {"sentinel": 26380}}),
    ),
    Case(
        "engine-twice-on-host",
        "redis",
        {"members_group": "overlap"},
        "members_group",
        {"members_group": "other"},
        ("redis", {"port": 6380, "ports": {"sentinel": 26380}}),
    ),
    Case(
        "dcs-shared",
        "postgres",
        {"members_group": "other", "dcs": {"members_group": "dcs"}},
        "dcs.members_group",
        {"members_group": "other"},
        ("postgres", {"dcs": {"members_group": "dcs"}}),
    ),
    Case(
        "sentinel-name-duplicate",
        "redis",
        {"members_group": "other", "sentinel_name": "beside"},
        "sentinel_name",
        {"members_group": "other"},
        ("redis", {}),
    ),
    Case("port-duplicate", "redis", {"port": 26379}, "port", {"port": 26378}),
    Case("port-conflict", "redis", {"port": 5432}, "port", {}, ("postgres", {})),
    Case("port-conflict", "redis", {"port": 2380}, "port", {"members_group": "other", "port": 2380}, ("postgres", {})),
    Case("port-conflict", "redis", {"port": 4369}, "port", {}, ("rabbitmq", {})),
    Case("port-privileged", "redis", {"port": 1023}, "port", {"port": 1024}),
    Case("port-ephemeral", "postgres", {"dcs": {"client_port": 40000}}, "dcs.client_port", {"port": 32767}),
    Case("port-reserved", "postgres", {"port": 9100}, "port", {}),
    Case("port-duplicate", "postgres", {"port": 6432}, "port", {"ports": {"pooler": 6433}}),
    Case("port-conflict", "redis", {"port": 5001}, "port", {}, ("postgres", {})),
    Case("memory-unknown", "redis", {"members_group": "unasked"}, "members_group", {}, facts=True),
    Case("memory-too-small", "postgres", {"members_group": "small"}, "members_group", {}),
    Case(
        "memory-too-small",
        "redis",
        {"members_group": "lean", "maxmemory_mb": 400},
        "maxmemory_mb",
        {"members_group": "lean", "maxmemory_mb": 253},
    ),
    Case(
        "memory-too-small",
        "redis",
        {"members_group": "lean"},
        "members_group",
        {"members_group": "other"},
        ("rabbitmq", {"members_group": "lean"}),
    ),
    Case(
        "client-network-invalid", "postgres", {"clients": ["10.0.0.5/24"]}, "clients[0]", {"clients": ["10.0.0.0/24"]}
    ),
    Case("client-network-invalid", "postgres", {"clients": ["any"]}, "clients[0]", {"clients": ["fd00::/8"]}),
    Case(
        "clients-everyone",
        "postgres",
        {"clients": ["0.0.0.0/0"]},
        "clients[0]",
        {"clients": ["0.0.0.0/0"], "environment": "lab"},
    ),
    Case("clients-everyone", "postgres", {"clients": ["::/0"]}, "clients[0]", {}),
    Case(
        "postgres-rpo0-members",
        "postgres",
        {"members_group": "two", "dcs": {"members_group": "dcs"}},
        "members_group",
        {"members_group": "two", "dcs": {"members_group": "dcs"}, "budget.rpo_seconds": 1},
    ),
    Case("redis-rpo-zero", "redis", {"budget.rpo_seconds": 0}, "budget.rpo_seconds", {}),
    Case("redis-rpo-below-floor", "redis", {"budget.rpo_seconds": 2}, "budget.rpo_seconds", {"budget.rpo_seconds": 3}),
    Case("redis-cacheable-durable", "redis", {"data": MIXED}, "data", {"data": [*CACHE, *REPLAY]}),
    Case(
        "redis-persistence-restart",
        "redis",
        {"data": CACHE, "persistence": "off", "auto_restart": True},
        "auto_restart",
        {"data": CACHE, "auto_restart": True},
    ),
    Case("redis-persistence-durable", "redis", {"persistence": "off"}, "persistence", {"persistence": "on"}),
    Case("redis-eviction-durable", "redis", {"eviction": "volatile-ttl"}, "eviction", {"eviction": "noeviction"}),
    Case(
        "redis-eviction-replayable",
        "redis",
        {"data": REPLAY, "eviction": "allkeys-lru"},
        "eviction",
        {"data": [*REPLAY, *CACHE], "eviction": "volatile-lru"},
    ),
    Case(
        "redis-cache-noeviction",
        "redis",
        {"data": CACHE, "eviction": "noeviction"},
        "eviction",
        {"data": CACHE, "eviction": "allkeys-lfu"},
    ),
    Case(
        "objects-name-unsafe",
        "postgres",
        {"objects": {"databases": [{"name": "a;b"}]}},
        "objects.databases[0].name",
        {"objects": {"databases": [{"name": "a_b"}]}},
    ),
    Case(
        "objects-name-unsafe",
        "postgres",
        {"objects": {"databases": [{"name": "a" * 57}]}},
        "objects.databases[0].name",
        {"objects": {"databases": [{"name": "a" * 56}]}},
    ),
    Case(
        "objects-name-unsafe",
        "postgres",
        {"objects": {"databases": [{"name": "x", "extensions": ["a'b"]}]}},
        "objects.databases[0].extensions[0]",
        {"objects": {"databases": [{"name": "x", "extensions": ["uuid-ossp"]}]}},
    ),
    Case(
        "objects-name-reserved",
        "postgres",
        {"objects": {"logins": [{"name": "app"}]}},
        "objects.logins[0].name",
        {"app_user": "app", "objects": {"logins": [{"name": "app"}]}},
    ),
    Case(
        "objects-name-reserved",
        "postgres",
        {"objects": {"groups": [{"name": "pg_monitor"}]}},
        "objects.groups[0].name",
        {"objects": {"groups": [{"name": "monitors"}]}},
    ),
    Case(
        "objects-name-reserved",
        "postgres",
        {"objects": {"databases": [{"name": "x", "schemas": [{"name": "public"}]}]}},
        "objects.databases[0].schemas[0].name",
        {"objects": {"databases": [{"name": "x", "schemas": [{"name": "sales"}]}]}},
    ),
    Case(
        "objects-duplicate",
        "postgres",
        {"objects": {"logins": [{"name": "a"}], "groups": [{"name": "a"}]}},
        "objects.groups[0].name",
        {"objects": {"logins": [{"name": "a"}], "groups": [{"name": "b"}]}},
    ),
    Case(
        "objects-duplicate",
        "postgres",
        {"database": "x", "objects": {"logins": [{"name": "x_read"}]}},
        "objects.logins[0].name",
        {"database": "x", "objects": {"logins": [{"name": "y_read"}]}},
    ),
    Case(
        "objects-duplicate",
        "postgres",
        {"database": "x", "app_user": "x_owner"},
        "app_user",
        {"database": "x", "app_user": "x_own"},
    ),
    Case(
        "objects-duplicate",
        "postgres",
        {"app_user": "a", "objects": {"groups": [{"name": "a"}]}},
        "objects.groups[0].name",
        {"app_user": "a", "objects": {"logins": [{"name": "a"}]}},
    ),
    Case(
        "objects-duplicate",
        "postgres",
        {"objects": {"partitions": [TABLE, TABLE]}},
        "objects.partitions[1].table",
        {"objects": {"partitions": [TABLE, {**TABLE, "table": "u"}]}},
    ),
    Case(
        "objects-derived-name",
        "postgres",
        {"objects": {"logins": [{"name": "a"}, {"name": "a_b"}]}},
        "objects.logins[1].name",
        {"objects": {"logins": [{"name": "a"}, {"name": "c_b"}]}},
    ),
    Case(
        "objects-derived-name",
        "postgres",
        {"database": "x", "objects": {"databases": [{"name": "x_ro"}]}},
        "objects.databases[0].name",
        {"database": "x", "objects": {"databases": [{"name": "y_ro"}]}},
    ),
    Case(
        "objects-unknown",
        "postgres",
        {"objects": {"logins": [{"name": "a", "member_of": ["here_raed"]}]}},
        "objects.logins[0].member_of[0]",
        {"objects": {"logins": [{"name": "a", "member_of": ["here_read"]}]}},
    ),
    Case(
        "objects-unknown",
        "postgres",
        {"objects": {"databases": [{"name": "x", "owner": "y"}]}},
        "objects.databases[0].owner",
        {"objects": {"databases": [{"name": "x", "owner": "here_app"}]}},
    ),
    Case(
        "objects-unknown",
        "postgres",
        {"objects": {"hba": [{"user": "here_app", "database": "x", "network": "10.0.1.0/24"}]}},
        "objects.hba[0].database",
        {"objects": {"hba": [{"user": "here_app", "database": "here", "network": "10.0.1.0/24"}]}},
    ),
    Case(
        "objects-unknown",
        "postgres",
        {"objects": {"partitions": [{**TABLE, "schema": "sales"}]}},
        "objects.partitions[0].schema",
        {
            "objects": {
                "databases": [{"name": "here", "schemas": [{"name": "sales"}]}],
                "partitions": [{**TABLE, "schema": "sales"}],
            }
        },
    ),
    Case(
        "objects-unknown",
        "postgres",
        {"objects": {"partitions": [{**TABLE, "data": "b"}]}},
        "objects.partitions[0].data",
        {"objects": {"partitions": [{**TABLE, "data": "a"}]}},
    ),
    Case(
        "objects-membership-cycle",
        "postgres",
        {"objects": {"logins": [{"name": "here_app", "member_of": ["here_owner"]}]}},
        "objects.logins[0].member_of",
        {"objects": {"logins": [{"name": "here_app"}]}},
    ),
    Case(
        "objects-hba-network",
        "postgres",
        {"objects": {"hba": [{"user": "here_app", "database": "here", "network": "10.1.0.0/16"}]}},
        "objects.hba[0].network",
        {"objects": {"hba": [{"user": "here_app", "database": "here", "network": "10.0.0.0/16"}]}},
    ),
    Case(
        "objects-hba-network",
        "postgres",
        {"objects": {"hba": [{"user": "here_app", "database": "here", "network": "all"}]}},
        "objects.hba[0].network",
        {},
    ),
    Case(
        "objects-setting-value",
        "postgres",
        {"objects": {"logins": [{"name": "a", "settings": {"statement_timeout": "30 sec"}}]}},
        "objects.logins[0].settings.statement_timeout",
        {"objects": {"logins": [{"name": "a", "settings": {"statement_timeout": "30s"}}]}},
    ),
    Case(
        "objects-setting-value",
        "postgres",
        {"version.series": "15", "objects": {"logins": [{"name": "a", "settings": {"transaction_timeout": "9s"}}]}},
        "objects.logins[0].settings.transaction_timeout",
        {"objects": {"logins": [{"name": "a", "settings": {"transaction_timeout": "9s"}}]}},
    ),
    Case(
        "objects-retention",
        "postgres",
        {"data": KEPT, "objects": {"partitions": [{**TABLE, "retention_days": 29}]}},
        "objects.partitions[0].retention_days",
        {"data": KEPT, "objects": {"partitions": [{**TABLE, "retention_days": 30}]}},
    ),
    Case(
        "objects-retention",
        "postgres",
        {"data": [*KEPT, *REPLAY], "objects": {"partitions": [{**TABLE, "retention_days": 1, "data": "k"}]}},
        "objects.partitions[0].retention_days",
        {"data": [*KEPT, *REPLAY], "objects": {"partitions": [{**TABLE, "retention_days": 1, "data": "r"}]}},
    ),
    Case(
        "standby-scope",
        "postgres",
        {"standby_of": {**SITE, "service": "here"}},
        "standby_of.service",
        {"standby_of": SITE},
    ),
    Case(
        "standby-scope",
        "postgres",
        {"standby_sites": [SITE, {"service": "far", "members": [{"name": "g1", "address": "10.9.1.1"}]}]},
        "standby_sites[1].service",
        {"standby_sites": [SITE]},
    ),
    Case(
        "standby-without-members",
        "postgres",
        {"standby_of": {**SITE, "members": []}},
        "standby_of.members",
        {"standby_of": SITE},
    ),
    Case(
        "standby-member-shared",
        "postgres",
        {"standby_of": {**SITE, "members": [{"name": "h2", "address": "10.9.0.1"}]}},
        "standby_of.members[0].name",
        {"standby_of": SITE},
    ),
    Case(
        "standby-member-shared",
        "postgres",
        {"standby_sites": [SITE, {"service": "g", "members": [{"name": "g1", "address": "10.9.0.1"}]}]},
        "standby_sites[1].members[0].address",
        {"standby_sites": [SITE, {"service": "g", "members": [{"name": "g1", "address": "10.9.0.2"}]}]},
    ),
    Case(
        "standby-address-invalid",
        "postgres",
        {"standby_sites": [{**SITE, "members": [{"name": "f1", "address": "0.0.0.0/0"}]}]},
        "standby_sites[0].members[0].address",
        {"standby_sites": [SITE]},
    ),
    Case(
        "standby-cascade",
        "postgres",
        {"standby_of": SITE, "standby_sites": [{"service": "g", "members": [{"name": "g", "address": "10.9.9.9"}]}]},
        "standby_sites",
        {"standby_of": SITE},
    ),
    Case(
        "standby-sites-many",
        "postgres",
        {
            "standby_sites": [
                {"service": f"s{n}", "members": [{"name": f"s{n}", "address": f"10.9.0.{n}"}]} for n in range(1, 8)
            ]
        },
        "standby_sites",
        {
            "standby_sites": [
                {"service": f"s{n}", "members": [{"name": f"s{n}", "address": f"10.9.0.{n}"}]} for n in range(1, 7)
            ]
        },
    ),
    Case(
        "standby-source-differs",
        "postgres",
        {**COPY, "version.series": "15"},
        "version.series",
        COPY,
        ("postgres", SOURCE),
    ),
    Case(
        "standby-source-differs",
        "postgres",
        {**COPY, "standby_of": {**SITE_B, "port": 5433}},
        "standby_of.port",
        COPY,
        ("postgres", SOURCE),
    ),
    Case("standby-source-differs", "postgres", {**COPY, "database": "other"}, "database", COPY, ("postgres", SOURCE)),
    Case(
        "standby-source-differs",
        "postgres",
        {**COPY, "standby_of": {**SITE_B, "members": SITE_B["members"][:2]}},
        "standby_of.members",
        COPY,
        ("postgres", SOURCE),
    ),
    Case(
        "standby-source-differs", "postgres", COPY, "standby_of.service", {}, ("postgres", {"members_group": "other"})
    ),
    Case(
        "standby-source-differs",
        "postgres",
        {"standby_of": SITE_B},
        "standby_of.service",
        {},
        ("redis", {"members_group": "other"}),
    ),
    Case(
        "standby-site-differs",
        "postgres",
        {"standby_sites": [{**SITE_B, "members": SITE_B["members"][1:]}]},
        "standby_sites[0].members",
        {"standby_sites": [SITE_B]},
        ("postgres", FOLLOWER),
    ),
    Case(
        "standby-site-differs",
        "postgres",
        {"standby_sites": [SITE_B]},
        "standby_sites[0].service",
        {},
        ("postgres", {"members_group": "other"}),
    ),
    *(
        Case(
            "virtual-address-invalid",
            "postgres",
            {"virtual_address": {"address": text}},
            "virtual_address.address",
            MOVING,
        )
        for text in (
            "10.0.1",
            "db.example.com",
            "2001:db8::1",
            "10.0.1.0/24",
            "127.0.0.9",
            "224.0.0.18",
            "255.255.255.255",
        )
    ),
    Case("virtual-address-invalid", "postgres", {**MOVING, "members_group": "named"}, "virtual_address", MOVING),
    Case(
        "virtual-address-taken",
        "postgres",
        {"virtual_address": {"address": "10.0.1.2"}},
        "virtual_address.address",
        MOVING,
    ),
    Case(
        "virtual-address-taken",
        "postgres",
        {"virtual_address": {"address": "10.0.2.3"}},
        "virtual_address.address",
        MOVING,
        ("redis", {"members_group": "other"}),
    ),
    Case(
        "virtual-address-taken",
        "postgres",
        {"virtual_address": {"address": "10.9.0.1"}, "standby_sites": [SITE]},
        "virtual_address.address",
        {**MOVING, "standby_sites": [SITE]},
    ),
    Case(
        "virtual-address-taken",
        "postgres",
        MOVING,
        "virtual_address.address",
        {"virtual_address": {"address": "10.0.1.101"}},
        ("postgres", {**MOVING, "members_group": "other"}),
    ),
    Case(
        "virtual-address-router-id",
        "postgres",
        {"virtual_address": {"address": "10.0.1.100", "router_id": 7}},
        "virtual_address.router_id",
        {"virtual_address": {"address": "10.0.1.100", "router_id": 8}},
        ("postgres", {"virtual_address": {"address": "10.0.2.100", "router_id": 7}, "members_group": "other"}),
    ),
    Case(
        "virtual-address-one-member",
        "postgres",
        {**MOVING, "members_group": "one", "dcs.members_group": "dcs"},
        "virtual_address",
        MOVING,
    ),
    *(
        Case(
            "virtual-address-name",
            "postgres",
            {"virtual_address": {"address": "10.0.1.100", "name": name}},
            "virtual_address.name",
            {"virtual_address": {"address": "10.0.1.100", "name": "orders.db.example.com"}},
            ("postgres", {"virtual_address": {"address": "10.0.2.100", "name": "b.example"}, "members_group": "other"}),
        )
        for name in ("Orders", "a b", "-x", "a..b", "h2", "o1", "beside-rw", "here-ro", "b.example", "localhost")
    ),
    Case(
        "virtual-address-interface",
        "postgres",
        {"virtual_address": {"address": "10.0.1.100", "interface": "eth0; }"}},
        "virtual_address.interface",
        {"virtual_address": {"address": "10.0.1.100", "interface": "bond0.12"}},
    ),
    Case("key-not-for-engine", "redis", MOVING, "virtual_address", {}),
]


def violations(case: Case, patch: dict[str, Any], facts: bool = False) -> list[Violation]:
    catalog = {"here": entry(case.engine, patch)}
    if case.beside:
        catalog["beside"] = entry(*case.beside)
    found = resolve_catalog(catalog, GROUPS, require_facts=facts, today=TODAY)
    return [item for item in found.violations if item.path.startswith("service_catalog.here")]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.rule}-{case.engine}-{case.key}")
def test_rule_fires_at_its_key_and_names_a_legal_choice(case: Case) -> None:
    found = [item for item in violations(case, case.fires, case.facts) if item.rule == case.rule]
    assert [item.path for item in found][:1] == [f"service_catalog.here.{case.key}"], found
    for item in found:
        assert all((item.wrong, item.why, item.nearest))
        assert item.why == RULES[case.rule].why


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.rule}-{case.engine}-{case.key}")
def test_rule_is_silent_on_the_legal_choice(case: Case) -> None:
    assert violations(case, case.legal, case.facts) == []


def test_every_rule_has_a_case() -> None:
    assert {case.rule for case in CASES} | {"postgres-timers"} == set(RULES)
    assert len(RULES) >= 35


def test_a_loopback_address_is_one_mistake() -> None:
    case = Case("address-loopback", "postgres", {}, "members_group", {})
    assert [item.rule for item in violations(case, {"members_group": "selfish"})] == ["address-loopback"]


def test_patroni_timers_that_patroni_would_change_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case("postgres-timers", "postgres", {}, "budget.rto_seconds", {})
    assert violations(case, {}) == []
    monkeypatch.setattr(contract_postgres, "TIMERS", ((0, (20, 10, 10, 0)),))
    assert [item.rule for item in violations(case, {})] == ["postgres-timers"]


@pytest.mark.parametrize("engine", BASES)
def test_the_message_about_an_impossible_recovery_time_says_so(engine: str) -> None:
    case = Case("rto-below-floor", engine, {}, "", {})
    (item,) = [v for v in violations(case, {"budget.rto_seconds": 2}) if v.rule == "rto-below-floor"]
    assert "cannot be met by any topology" in item.wrong
    if engine == "postgres":
        assert "20 s" in item.wrong
        assert "21 s" in item.nearest
        assert "30 s" in item.nearest


def test_all_violations_of_all_services_are_collected() -> None:
    catalog = {
        "one": entry("postgres", {"data": [], "members_group": "nope", "budget.rto_seconds": 1}),
        "two": entry("redis", {"budget.rpo_seconds": 0, "port": 80, "owner": "tbd"}),
    }
    found = resolve_catalog(catalog, GROUPS, today=TODAY)
    rules = {(item.path.split(".")[1], item.rule) for item in found.violations}
    assert {("one", "data-empty"), ("one", "group-missing"), ("one", "rto-below-floor")} <= rules
    assert {("two", "redis-rpo-zero"), ("two", "port-privileged"), ("two", "owner-missing")} <= rules
    assert not found.contracts


def test_an_accepted_risk_is_told_and_an_unneeded_one_too() -> None:
    needed = entry("postgres", {"backup_class": "none", "accepted_risks": [RISK]})
    found = resolve_catalog({"here": needed}, GROUPS, today=TODAY)
    assert any("Accepted until 2027-01-01 by cto" in text for text in found.contracts["here"].body["advisories"])
    unneeded = entry("postgres", {"accepted_risks": [RISK]})
    found = resolve_catalog({"here": unneeded}, GROUPS, today=TODAY)
    assert any("not needed any more" in text for text in found.contracts["here"].body["advisories"])


def test_a_risk_that_expired_refuses_twice() -> None:
    late = entry("postgres", {"backup_class": "none", "accepted_risks": [{**RISK, "expires": "2020-01-01"}]})
    found = resolve_catalog({"here": late}, GROUPS, today=TODAY)
    assert {item.rule for item in found.violations} == {"risk-expired", "backup-none-durable"}
