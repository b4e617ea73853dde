# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Facts about the engines that the contract's rules read as data: series, ports, floors, classes."""

from __future__ import annotations

from dataclasses import dataclass

ENGINES = ("postgres", "redis", "rabbitmq")

# Release series by engine: where the package comes from, or None for "known, but packaged nowhere we test".
SERIES: dict[str, dict[str, str | None]] = {
    "postgres": {"15": "Debian 12", "16": None, "17": "Debian 13", "18": "Debian testing"},
    "redis": {"7.0": "Debian 12", "7.2": None, "7.4": None, "8.0": "Debian 13", "8.2": None},
    "rabbitmq": {"3.10": None, "3.13": None, "4.0": "Debian 13", "4.1": None, "4.2": None, "4.3": None},
}
# The series a new service should take: what the current stable Debian packages.
CURRENT: dict[str, str] = {"postgres": "17", "redis": "8.0", "rabbitmq": "4.0"}
# How many components of a version name its series.
SERIES_DEPTH: dict[str, int] = {"postgres": 1, "redis": 2, "rabbitmq": 2}

DEFAULT_PORT: dict[str, int] = {"postgres": 5432, "redis": 6379, "rabbitmq": 5671}
DEFAULT_PORTS: dict[str, dict[str, int]] = {
    "postgres": {"restapi": 8008, "pooler": 6432, "read_write": 5000, "read_only": 5001, "synchronous": 5002},
    "redis": {"sentinel": 26379},
    "rabbitmq": {"management": 15671, "dist": 25672, "epmd": 4369},
}
# Ports above the distribution's own on which RabbitMQ's command line tools listen for the other members.
RABBITMQ_TOOL_PORTS = 3
ETCD_CLIENT_PORT = 2379
ETCD_PEER_PORT = 2380
# Linux hands out ports of this range to outgoing connections (net.ipv4.ip_local_port_range).
EPHEMERAL_PORTS = range(32768, 61000)
# Ports of other things Holdfast or Debian puts on a host.
RESERVED_PORTS: dict[int, str] = {9100: "node_exporter", 5353: "mDNS"}

# Keys of an entry that only some engines understand.
ENGINE_KEYS: dict[str, tuple[str, ...]] = {
    "database": ("postgres",),
    "dcs": ("postgres",),
    "objects": ("postgres",),
    "wal_level": ("postgres",),
    "session_access": ("postgres",),
    "virtual_address": ("postgres",),
    "standby_of": ("postgres",),
    "standby_sites": ("postgres",),
    "vhost": ("rabbitmq",),
    "sentinel_name": ("redis",),
    "persistence": ("redis",),
    "eviction": ("redis",),
    "auto_restart": ("redis",),
    "maxmemory_mb": ("redis",),
}

PROFILES: dict[str, tuple[str, ...]] = {
    "postgres": ("oltp", "olap", "mixed"),
    "redis": ("cache", "session", "queue"),
    "rabbitmq": ("balanced", "throughput", "many_connections"),
}

# The shortest unplanned write outage after the loss of a host, in seconds, and where the number comes from.
RTO_FLOOR: dict[str, int] = {"postgres": 21, "redis": 5, "rabbitmq": 12}
RTO_FLOOR_WHY: dict[str, str] = {
    "postgres": "Patroni accepts no ttl below 20 s, so a dead host's leader key lives that long and no topology "
    "promotes sooner; measured with ttl 20, loop_wait 2: 19.5 to 20.6 s",
    "redis": "Sentinel needs at least 1 s of silence, then up to 4 s to ask, elect and promote; "
    "measured with down-after 1000 ms: 2.3 s",
    "rabbitmq": "a client on the lost host notices after two heartbeats, and heartbeats below 5 s raise false alarms; "
    "2 x 5 s plus 2 s for a new queue leader",
}
# The next comfortable value: timers there still leave room for one slow poll.
RTO_EASY: dict[str, int] = {"postgres": 30, "redis": 15, "rabbitmq": 30}

RPO_FLOOR_REDIS = 3

# The shortest planned stall, in milliseconds.
PLANNED_FLOOR_MS: dict[str, int] = {"postgres": 1000, "redis": 2000, "rabbitmq": 1000}
PLANNED_FLOOR_WHY: dict[str, str] = {
    "postgres": "a checkpointed switchover behind a paused pooler takes about 1 s (2.4 s without the pooler)",
    "redis": "pausing writes, matching offsets and promoting takes 1.7 to 1.9 s; faster ways lose acknowledged writes",
    "rabbitmq": "clients of a drained node reconnect in 0.5 to 0.9 s",
}

# Memory, in MB, that a part needs before it serves anything (docs/adr/0011).
OS_FLOOR_MB = 256
ETCD_FLOOR_MB = 128
ENGINE_FLOOR_MB: dict[str, int] = {"postgres": 384, "rabbitmq": 384}
REDIS_BASE_MB = 64
REDIS_MIN_MAXMEMORY_MB = 32
# Parts of what is left over when every floor is paid.
SPARE_WEIGHT: dict[str, int] = {"postgres": 2, "redis": 1, "rabbitmq": 1}

MEMBERS_MIN = 3
MEMBERS_MAX = 7


@dataclass(frozen=True)
class BackupClass:
    """What one word promises about backups; None is "never"."""

    full_hours: int | None
    diff_hours: int | None
    retention_days: int
    drill_days: int | None
    off_cluster: bool
    archive_timeout_seconds: int | None

    def to_dict(self) -> dict[str, int | bool | None]:
        """Return the class as the contract carries it."""
        return {
            "full_interval_hours": self.full_hours,
            "diff_interval_hours": self.diff_hours,
            "retention_days": self.retention_days,
            "drill_interval_days": self.drill_days,
            "off_cluster": self.off_cluster,
            "archive_timeout_seconds": self.archive_timeout_seconds,
        }


BACKUPS: dict[str, BackupClass] = {
    "none": BackupClass(None, None, 0, None, False, None),
    "bronze": BackupClass(24 * 7, 24, 14, None, False, 900),
    "silver": BackupClass(24 * 7, 24, 28, 30, True, 300),
    "gold": BackupClass(24 * 7, 24, 35, 7, True, 60),
}

PLACEHOLDERS = frozenset(
    {"", "-", "?", "none", "n/a", "na", "null", "nobody", "todo", "tbd", "unknown", "changeme", "xxx"}
)
# The longest name, and the longest one whose derived names are not longer than that.
LONGEST, SECOND_LOGIN, GROUP_ROLES = 63, 61, 56
# The last three are names inside PgBouncer.
RESERVED_DATABASES = frozenset({"postgres", "template0", "template1", "pgbouncer", "holdfast_auth", "holdfast_path"})
RESERVED_USERS: dict[str, frozenset[str]] = {
    "postgres": frozenset(
        {
            *(
                "postgres",
                "replicator",
                "rewind",
                "public",
                "none",
                "patroni",
                "monitor",
                "holdfast_monitor",
                "holdfast_monitor_b",
                "pgbouncer",
            ),
            *("holdfast_pooler", "holdfast_pooler_owner", "holdfast_pooler_admin"),
            # Their second logins, for rotations.
            *("holdfast_pooler_b", "holdfast_pooler_admin_b"),
        }
    ),
    "redis": frozenset({"default", "admin", "replica", "sentinel", "monitor", "peer"}),
    "rabbitmq": frozenset({"guest", "admin", "monitor"}),
}

# Legal range of every number in an entry, by its path below the entry.
BOUNDS: dict[str, tuple[int, int]] = {
    "data.retention_days": (1, 36525),
    "budget.rpo_seconds": (0, 31_536_000),
    "budget.rto_seconds": (1, 31_536_000),
    "budget.planned_outage_ms": (1, 86_400_000),
    "budget.max_replica_lag_seconds": (1, 31_536_000),
    "port": (1, 65535),
    "ports.restapi": (1, 65535),
    "ports.pooler": (1, 65535),
    "ports.read_write": (1, 65535),
    "ports.read_only": (1, 65535),
    "ports.synchronous": (1, 65535),
    "ports.sentinel": (1, 65535),
    "ports.management": (1, 65535),
    "ports.dist": (1, 65535 - RABBITMQ_TOOL_PORTS),
    "ports.epmd": (1, 65535),
    "dcs.client_port": (1, 65535),
    "dcs.peer_port": (1, 65535),
    "maxmemory_mb": (1, 16_777_216),
    "standby_of.port": (1, 65535),
    "virtual_address.router_id": (1, 255),
    "objects.databases.connection_limit": (-1, 10_000),
    "objects.logins.connection_limit": (-1, 10_000),
    "objects.partitions.premake": (1, 400),
    "objects.partitions.retention_days": (1, 36525),
}
