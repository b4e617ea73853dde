"""A member's data on a disk with little room, so that it can be filled without harm to the machine."""

from __future__ import annotations

from postgres_members import MEMBERS, UNIT, healthy, move, on, others


def data_dir(host: str) -> str:
    """Return where a member keeps its data."""
    return on(host, "sed -n 's/^  data_dir: \"\\(.*\\)\"/\\1/p' /etc/patroni/config.yml")


TO_SMALL = """set -e
systemctl stop {unit}; mv {path} {path}.moving
install -d -o postgres -g postgres -m 700 {path}
mount -t tmpfs -o size=400m,mode=700,uid=postgres,gid=postgres holdfast-small {path}
cp -a {path}.moving/. {path}/; rm -rf {path}.moving
systemctl start {unit}
"""
FROM_SMALL = """set -e
systemctl stop {unit}; cp -a {path} {path}.moving
umount {path}; rmdir {path}; mv {path}.moving {path}
systemctl start {unit}
"""


def move_data(host: str, script: str) -> None:
    """Move a replica's data onto a disk of its own with little room, or back."""
    on(host, script.format(unit=UNIT, path=data_dir(host)), timeout=180)
    healthy()


def lead_from_a_small_disk() -> None:
    """Let a member lead that has little room: both standbys get such a disk, as either may be the synchronous one."""
    for host in others(str(healthy()["leader"])):
        move_data(host, TO_SMALL)
    move()


def fill_disk(host: str) -> None:
    """Leave no byte, and ask for a new segment of the log, so that the shortage is felt at once."""
    path = data_dir(host)
    ask = "runuser -u postgres -- psql -XAtqc 'select pg_switch_wal()'"
    on(
        host,
        f"dd if=/dev/zero of={path}/filler bs=64k status=none; for n in 1 2 3 4 5 6 7 8; do {ask}; done",
        check=False,
    )


def free_disk(host: str) -> None:
    """Give the room back."""
    on(host, f"rm -f {data_dir(host)}/filler")


def leave_small_disks() -> None:
    """Move data back from small disks, the leader's after it has handed over."""
    for host in MEMBERS:
        if on(host, "grep -c holdfast-small /proc/mounts", check=False) not in ("", "0"):
            if healthy()["leader"] == host:
                move()
            move_data(host, FROM_SMALL)
