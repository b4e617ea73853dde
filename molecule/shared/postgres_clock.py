"""A clock of its own for Patroni and PostgreSQL of a member, as lab hosts share theirs: libfaketime tells the time.

Time intervals (the monotonic clock) go on, as they do on a machine whose clock is wrong or stands still.
"""

from __future__ import annotations

from postgres_members import MEMBERS, UNIT, healthy, move, on, others

#: Where the clock is said: an offset, or the moment at which it stands still.
CLOCK = "/etc/holdfast-clock"
DROP_IN = f"/etc/systemd/system/{UNIT}.d/90-clock.conf"
# Without the last setting this version takes Python's waits for the GIL for moments of the real clock: Patroni spins.
GIVE = f"""set -e
export DEBIAN_FRONTEND=noninteractive
dpkg -s libfaketime >/dev/null 2>&1 || apt-get install -qq --no-install-recommends libfaketime >/dev/null
echo +0 > {CLOCK}
mkdir -p {DROP_IN.rpartition("/")[0]}
library=$(dpkg -L libfaketime | grep -m 1 '/libfaketime\\.so\\.1$')
cat > {DROP_IN} <<END
[Service]
Environment=LD_PRELOAD=$library FAKETIME_TIMESTAMP_FILE={CLOCK}
Environment=FAKETIME_CACHE_DURATION=1 FAKETIME_DONT_FAKE_MONOTONIC=1 FAKETIME_FORCE_MONOTONIC_FIX=0
END
systemctl daemon-reload; systemctl restart {UNIT}
"""
TAKE = f"rm -f {DROP_IN} {CLOCK}; systemctl daemon-reload; systemctl restart {UNIT}"


def lead_with_an_own_clock() -> None:
    """Let a member lead whose clock can be changed: both standbys get one, as either may be the synchronous one."""
    for host in others(str(healthy()["leader"])):
        on(host, GIVE, timeout=180)
        healthy()
    move()


def has_own_clock(host: str) -> None:
    """Check that both processes are told the time: a fault that reaches nobody proves nothing."""
    for process in (f"systemctl show -P MainPID {UNIT}", "pgrep -u postgres -xo postgres"):
        assert on(host, f"grep -c libfaketime /proc/$({process})/maps", check=False) not in ("", "0"), (
            f"{host}: {process}"
        )


def freeze(host: str) -> None:
    """Let a member's clock stand still."""
    has_own_clock(host)
    on(host, f"date '+%Y-%m-%d %H:%M:%S' > {CLOCK}")


def set_back(host: str) -> None:
    """Set a member's clock back by a day."""
    has_own_clock(host)
    on(host, f"echo -86400 > {CLOCK}")


def set_right(host: str) -> None:
    """Give a member the right time again."""
    on(host, f"echo +0 > {CLOCK}")


def leave_own_clocks() -> None:
    """Take clocks away, the leader's after it has handed over."""
    for host in MEMBERS:
        if on(host, f"test -e {DROP_IN} && echo own", check=False):
            if healthy()["leader"] == host:
                move()
            on(host, TAKE, timeout=180)
            healthy()
