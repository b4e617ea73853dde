# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Clients that measure from where applications stand: through the client address, over verified TLS."""

from __future__ import annotations

from .base import Check, Probe, ProbeError, Target


def probe_for(target: Target) -> Probe:
    """Return the probe of the target's engine. Raises ProbeError when the engine's client library is missing."""
    # Imported here: a host with one engine needs one client library.
    try:
        if target.engine == "postgres":
            from .postgres import PostgresProbe

            return PostgresProbe(target)
        if target.engine == "redis":
            from .redis import RedisProbe

            return RedisProbe(target)
        if target.engine == "rabbitmq":
            from .rabbitmq import RabbitmqProbe

            return RabbitmqProbe(target)
    except ImportError as error:
        raise ProbeError(
            f"{target.service}: the client library is missing on this machine ({error}); run `make setup`"
        ) from error
    raise ProbeError(f"{target.service}: no probe for engine {target.engine!r}")


__all__ = ["Check", "Probe", "ProbeError", "Target", "probe_for"]
