# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""RabbitMQ with quorum queues: settings derived from the budget and the memory share."""

from __future__ import annotations

from ansible_collections.holdfast.stateful.plugins.module_utils.contract_data import RABBITMQ_TOOL_PORTS
from ansible_collections.holdfast.stateful.plugins.module_utils.contract_placement import share_mb
from ansible_collections.holdfast.stateful.plugins.module_utils.contract_types import Derived, View

MIB = 1024 * 1024


def heartbeat(rto_seconds: int) -> int:
    """Return the AMQP heartbeat.

    A peer counts as gone after two missed heartbeats; values below 5 s raise false alarms, 5 to 20 s are recommended
    (rabbitmq.com/docs/heartbeats).
    """
    return min(20, max(5, (rto_seconds - 2) // 2))


def net_ticktime(rto_seconds: int) -> int:
    """Return Erlang's net_ticktime.

    A silent node is declared down between 0.75 and 1.25 times this value (erlang.org, kernel application;
    rabbitmq.com/docs/nettick); 2 s are left for electing queue leaders.
    """
    return min(60, max(8, int((rto_seconds - 2) / 1.25)))


def wal_bytes(share: int, profile: str) -> int:
    """Return the size of the Raft log segment kept in memory.

    The broker needs 3 to 4 times this much memory (rabbitmq.com/docs/quorum-queues, "Resource Use"), so it is an eighth
    of the share (a quarter for throughput), within 32 to 512 MiB, RabbitMQ's default.
    """
    return min(512, max(32, share // (6 if profile == "throughput" else 8))) * MIB


def derive(view: View) -> Derived:
    """Return every setting of the service and the reason for each."""
    entry, out, share = view.entry, Derived(), share_mb(view)
    rto, profile = entry.budget.rto_seconds, entry.tuning_profile or "balanced"
    out.put("", "port", entry.port, "where applications connect, TLS only")
    out.put("", "management_port", entry.ports["management"], "the management API over TLS, for the members alone")
    out.put("", "dist_port", entry.ports["dist"], "where the members reach each other")
    out.put(
        "",
        "tool_ports",
        RABBITMQ_TOOL_PORTS,
        "ports after dist_port where command line tools take the members' answers",
    )
    out.put("", "epmd_port", entry.ports["epmd"], "Erlang's port mapper, for the members alone")
    out.put("", "vhost", entry.vhost, "the application's virtual host")
    out.put("", "app_user", entry.app_user, "the application's user, with rights in its virtual host alone")
    watermark = share * 6 // 10
    because = f"publishers stop at 60 % of the {share} MB of this service; the rest is for the Raft log and collections"
    out.put("config", "vm_memory_high_watermark.absolute", f"{watermark}MiB", because)
    because = f"what the broker may take as its host's memory: its share, since {share} MB is not all of it"
    out.put("config", "total_memory_available_override_value", f"{share}MiB", because)
    disk = max(2048 if entry.production else 512, watermark * 3 // 2)
    because = "publishers stop while there is room to write out what is in memory (the default, 50 MB, is none)"
    out.put("config", "disk_free_limit.absolute", f"{disk}MiB", because)
    beat = heartbeat(rto)
    out.put("config", "heartbeat", beat, f"a client notices a dead host after {2 * beat} s; rto_seconds is {rto}")
    tick = net_ticktime(rto)
    out.put(
        "config",
        "net_ticktime",
        tick,
        f"a silent node is declared down within {tick * 1.25:.0f} s; rto_seconds is {rto}",
    )
    out.put(
        "config",
        "cluster_partition_handling",
        "pause_minority",
        "a minority must not accept what the majority never sees",
    )
    out.put("config", "default_queue_type", "quorum", "a queue that is declared without a type is replicated too")
    out.put("config", "queue_leader_locator", "balanced", "new queue leaders spread over the members")
    raft = wal_bytes(share, profile)
    out.put(
        "config", "raft.wal_max_size_bytes", raft, f"{raft // MIB} MiB: the Raft log needs 3 to 4 times this in memory"
    )
    channels = 64 if profile == "many_connections" else 256
    out.put(
        "config", "channel_max", channels, "a client that leaks channels is stopped before it takes the broker down"
    )
    out.put("config", "consumer_max_per_channel", 100, "a client that leaks consumers is stopped")
    out.put(
        "config",
        "max_message_size",
        16 * MIB,
        "larger messages block a queue's log; store them elsewhere and send the address",
    )
    out.put(
        "config",
        "consumer_timeout",
        1_800_000,
        "a consumer that never acknowledges keeps the Raft log growing; 30 minutes",
    )
    if profile == "many_connections":
        because = "profile many_connections: small buffers, so that each connection costs a tenth of the memory"
        out.put("config", "tcp_listen_options.sndbuf", 32768, because)
        out.put("config", "tcp_listen_options.recbuf", 32768, because)
        out.put("config", "tcp_listen_options.backlog", 4096, "all clients come back at once after a failure")
    else:
        out.put("config", "tcp_listen_options.backlog", 1024, "all clients come back at once after a failure")
    if "cacheable" in entry.classes:
        out.advisories.append(
            "Cacheable data in quorum queues pays for replication it does not need: redis costs less."
        )
    if entry.production and share < 4096:
        out.advisories.append(f"{share} MB for RabbitMQ is below the 4 GiB its production checklist asks for.")
    return out
