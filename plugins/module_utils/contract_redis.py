# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Redis with Sentinel: its own rules, and settings derived from the data classes and the budget."""

from __future__ import annotations

from collections.abc import Iterator

from ansible_collections.holdfast.stateful.plugins.module_utils.contract_data import RPO_FLOOR_REDIS
from ansible_collections.holdfast.stateful.plugins.module_utils.contract_placement import maxmemory_for, share_mb
from ansible_collections.holdfast.stateful.plugins.module_utils.contract_registry import rule
from ansible_collections.holdfast.stateful.plugins.module_utils.contract_types import Derived, Entry, Problem, View

MIB = 1024 * 1024


def persists(entry: Entry) -> bool:
    """Say whether data goes to disk; ``auto`` does unless everything can be refilled and no restart is asked for."""
    if entry.persistence == "auto":
        return entry.classes != {"cacheable"} or entry.auto_restart is True
    return entry.persistence == "on"


def eviction(entry: Entry) -> str:
    """Return maxmemory-policy: evict only what may be lost (redis.io, "Key eviction")."""
    if entry.eviction != "auto":
        return entry.eviction
    if entry.classes == {"cacheable"}:
        return "allkeys-lru"
    return "volatile-lru" if entry.classes == {"cacheable", "replayable"} else "noeviction"


def profile(entry: Entry) -> str:
    """Return the tuning profile: the catalog's, else what fits the data classes."""
    return entry.tuning_profile or ("cache" if entry.classes == {"cacheable"} else "session")


@rule("redis-rpo-zero", "Redis replicates after it has answered; no topology or setting changes that", engine="redis")
def redis_rpo_zero(view: View) -> Iterator[Problem]:
    """RPO 0 from asynchronous replication."""
    if view.entry.budget.rpo_seconds == 0:
        wrong = "0 cannot be met by any topology of redis, whose replication is asynchronous"
        yield Problem(
            "budget.rpo_seconds", wrong, f"{RPO_FLOOR_REDIS} or more, or keep this data in a postgres service"
        )


@rule(
    "redis-rpo-below-floor",
    "replicas report once a second, so a smaller limit would refuse healthy writes",
    engine="redis",
)
def redis_rpo_below_floor(view: View) -> Iterator[Problem]:
    """An RPO that min-replicas-max-lag cannot bound."""
    rpo = view.entry.budget.rpo_seconds
    if 0 < rpo < RPO_FLOOR_REDIS and view.entry.classes != {"cacheable"}:
        wrong = f"{rpo} s: min-replicas-max-lag bounds the loss to 3 s at best"
        yield Problem(
            "budget.rpo_seconds", wrong, f"{RPO_FLOOR_REDIS} or more, or keep this data in a postgres service"
        )


@rule(
    "redis-cacheable-durable",
    "one maxmemory-policy serves all keys: it drops the durable or keeps the cache",
    engine="redis",
)
def redis_cacheable_durable(view: View) -> Iterator[Problem]:
    """A cache and the only copy in one Redis."""
    if "cacheable" in view.entry.classes and view.entry.keeps_only_copy:
        cache = ", ".join(item.name for item in view.entry.data if item.data_class == "cacheable")
        yield Problem(
            "data", f"cacheable ({cache}) and durable data share one Redis", "a redis service of its own for the cache"
        )


@rule("redis-persistence-restart", "a master that restarts empty makes every replica empty", engine="redis")
def redis_persistence_restart(view: View) -> Iterator[Problem]:
    """An automatic restart without data on disk."""
    if view.entry.auto_restart is True and not persists(view.entry):
        wrong = "persistence is off, and systemd would restart an empty master before Sentinel notices"
        yield Problem("auto_restart", wrong, "auto_restart: false (Sentinel promotes a replica), or persistence: auto")


@rule("redis-persistence-durable", "a power cut of all members would leave nothing", engine="redis")
def redis_persistence_durable(view: View) -> Iterator[Problem]:
    """The only copy in memory alone."""
    if view.entry.keeps_only_copy and not persists(view.entry):
        yield Problem("persistence", "durable data is kept here, and nothing is written to disk", "auto, or on")


@rule(
    "redis-eviction-durable",
    "an evicting server deletes the only copy when it is full, and says so to nobody",
    engine="redis",
)
def redis_eviction_durable(view: View) -> Iterator[Problem]:
    """Eviction of the only copy."""
    if view.entry.keeps_only_copy and view.entry.eviction not in {"auto", "noeviction"}:
        yield Problem("eviction", f"{view.entry.eviction} would delete durable data", "noeviction, or leave it out")


@rule(
    "redis-eviction-replayable",
    "replaying what was evicted needs to know what was evicted, and nobody records it",
    engine="redis",
)
def redis_eviction_replayable(view: View) -> Iterator[Problem]:
    """Eviction across all keys where some must be replayed."""
    if (
        "replayable" in view.entry.classes
        and not view.entry.keeps_only_copy
        and view.entry.eviction.startswith("allkeys")
    ):
        yield Problem(
            "eviction",
            f"{view.entry.eviction} would delete replayable data",
            "volatile-lru, noeviction, or leave it out",
        )


@rule(
    "redis-cache-noeviction",
    "a cache that is full and evicts nothing answers every write with an error",
    engine="redis",
)
def redis_cache_noeviction(view: View) -> Iterator[Problem]:
    """A pure cache that never evicts."""
    if view.entry.classes == {"cacheable"} and view.entry.eviction == "noeviction":
        yield Problem("eviction", "noeviction on a pure cache", "allkeys-lru, or leave it out")


def down_after_ms(rto_seconds: int) -> int:
    """Return Sentinel's down-after-milliseconds.

    Writes fail for down-after plus up to 4 s: 1 s until the Sentinels are asked, up to 1 s of random delay, 1 to 2 s of
    election and promotion (constants of sentinel.c; measured: down-after 1000 gives 2.3 s, 5000 gives 6.2 s).
    Above 5 s nothing is won.
    """
    return min(5000, max(1000, (rto_seconds - 4) * 1000))


def max_lag_seconds(rpo_seconds: int) -> int:
    """Return min-replicas-max-lag: a cut-off master stops after this and up to one more second (replicationCron)."""
    return min(10, max(2, rpo_seconds - 1))


def derive(view: View) -> Derived:
    """Return every setting of the service and the reason for each."""
    entry, out = view.entry, Derived()
    count = len(view.members)
    out.put("", "port", entry.port, "where applications connect, TLS only")
    out.put("", "sentinel_port", entry.ports["sentinel"], "where applications ask for the master, TLS only")
    out.put("", "sentinel_name", entry.sentinel_name, "the name applications ask Sentinel for")
    out.put("", "quorum", count // 2 + 1, f"a majority of {count} Sentinels: a minority can never promote")
    out.put("", "app_user", entry.app_user, "the application's ACL user")
    disk = persists(entry)
    restart = disk if entry.auto_restart is None else entry.auto_restart
    because = "data is on disk" if restart else "an empty master must stay down until Sentinel has promoted a replica"
    out.put("", "auto_restart", restart, because if entry.auto_restart is None else f"{because}; set in the catalog")
    _config(view, out, disk)
    _profile_config(entry, out)
    down = down_after_ms(entry.budget.rto_seconds)
    because = f"writes fail for this plus at most 4 s; rto_seconds is {entry.budget.rto_seconds}"
    out.put("sentinel", "down-after-milliseconds", down, because)
    timeout = min(60, max(10, entry.budget.rto_seconds)) * 1000
    out.put(
        "sentinel",
        "failover-timeout",
        timeout,
        "an attempt that hangs is given up after this and repeated after twice this",
    )
    out.put("sentinel", "parallel-syncs", 1, "replicas follow the new master one by one, so that one always answers")
    return out


def _profile_config(entry: Entry, out: Derived) -> None:
    chosen = profile(entry)
    samples = 10 if chosen == "cache" else 5
    out.put("config", "maxmemory-samples", samples, f"profile {chosen}: how well eviction finds the least used key")
    effort = 4 if chosen == "session" else 1
    out.put("config", "active-expire-effort", effort, f"profile {chosen}: how eagerly expired keys free their memory")
    depth = 1 if chosen == "queue" else 0
    out.put(
        "config", "list-compress-depth", depth, f"profile {chosen}: long lists are compressed between their ends or not"
    )


def _config(view: View, out: Derived, disk: bool) -> None:
    entry, share = view.entry, share_mb(view)
    memory = entry.maxmemory_mb or maxmemory_for(share)
    because = (
        "set in the catalog"
        if entry.maxmemory_mb
        else f"(share - 64) / 1.5 of {share} MB, the rest is for forks and buffers"
    )
    out.put("config", "maxmemory", memory * MIB, f"{memory} MiB: {because}")
    policy = eviction(entry)
    reasons = {"noeviction": "nothing kept here may be dropped: a full server refuses writes instead"}
    because = reasons.get(
        policy, "only what can be refilled is evicted; it must carry a TTL" if "volatile" in policy else "a cache"
    )
    out.put("config", "maxmemory-policy", policy, because)
    if policy.startswith("volatile"):
        out.advisories.append("Only keys with a TTL are evicted: set one on every cacheable key and on no other.")
    out.put(
        "config",
        "appendonly",
        "yes" if disk else "no",
        "writes survive a restart" if disk else "everything can be refilled",
    )
    out.put(
        "config",
        "appendfsync",
        "everysec",
        "a power cut of all members costs at most 2 s; every write would cost 10x in speed",
    )
    out.put("config", "no-appendfsync-on-rewrite", "no", "a rewrite must not suspend the promise of appendfsync")
    out.put("config", "aof-use-rdb-preamble", "yes", "a restart loads a snapshot instead of replaying every command")
    save = "3600 1 300 100 60 10000" if disk else ""
    out.put(
        "config",
        "save",
        save,
        "snapshots for backups and fast restarts" if disk else "no snapshot: it would cost memory twice",
    )
    out.put(
        "config",
        "stop-writes-on-bgsave-error",
        "yes" if disk else "no",
        "a server that cannot save must not collect more",
    )
    safe = 1 if entry.classes != {"cacheable"} and len(view.members) > 1 else 0
    because = (
        f"a master that no replica follows stops writing; one of {len(view.members) - 1} replicas may restart meanwhile"
        if safe
        else "all of it can be refilled: answering matters more, so rpo_seconds is not bounded here"
    )
    out.put("config", "min-replicas-to-write", safe, because)
    lag = max_lag_seconds(entry.budget.rpo_seconds)
    out.put(
        "config",
        "min-replicas-max-lag",
        lag,
        f"a cut-off master loses at most this and one second; rpo is {entry.budget.rpo_seconds}",
    )
    backlog = max(4, min(512, memory // 10))
    because = f"{backlog} MiB, a tenth of the data: a replica that restarts catches up without a full copy"
    out.put("config", "repl-backlog-size", backlog * MIB, because)
    out.put("config", "repl-backlog-ttl", 3600, "keep the backlog while replicas are away for maintenance")
    out.put("config", "repl-diskless-sync", "yes", "a full copy goes over the network without filling the disk first")
    out.put("config", "repl-timeout", 30, "a dead replication link is noticed, a slow full copy is not cut")
    out.put("config", "io-threads", 1, "more threads pay from four cores on; the core count is not declared")
    out.put("config", "activedefrag", "no", "costs CPU at the wrong moment; fragmentation is watched instead")
    out.put("config", "lazyfree-lazy-eviction", "yes", "freeing a large key must not block others")
    out.put("config", "lazyfree-lazy-expire", "yes", "freeing a large key must not block others")
    out.put("config", "lazyfree-lazy-server-del", "yes", "freeing a large key must not block others")
    out.put("config", "replica-lazy-flush", "yes", "a replica that starts over answers health checks meanwhile")
    limit = max(16, memory // 8)
    value = f"replica {limit * MIB} {max(8, limit // 2) * MIB} 60"
    out.put(
        "config", "client-output-buffer-limit", value, "a slow replica must not use up the memory that is kept for data"
    )
    out.put(
        "config",
        "maxclients",
        1000 if memory < 1024 else 10000,
        "each connection costs memory, and maxmemory does not count it",
    )
    out.put("config", "timeout", 0, "idle pools stay connected; dead peers are found by tcp-keepalive")
    out.put("config", "tcp-keepalive", 30, "clients on a dead host free their connection in about a minute")
