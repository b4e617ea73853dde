# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Says whether this host should hold the virtual address, as a number that keepalived adds to its priority.

Asks nothing but this host: does the pooler listen and answer (its dead-man's file tells), and whom does HAProxy see?
"""

from __future__ import annotations

import argparse
import contextlib
import os
import socket
import sys
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

#: As good as any other member; less than one that sees the leader; not to hold the address at all.
GOOD, DIM, NONE = 0, -100, -254
#: Looks in a row that must fail.
LOOKS = 2
#: The dead-man asks the pooler twice a second, and is back within this time when either restarts.
ANSWER_SECONDS = 3.0
ASK_SECONDS = 0.7
TCP_LISTEN = "0A"
WORDS = {
    "leader": (GOOD, "HAProxy sees the leader"),
    "others": (DIM, "HAProxy sees other members, but no leader"),
    "nobody": (NONE, "HAProxy sees neither a leader nor another member: this host is cut off"),
}


def listens(lines: Iterable[str], address: str, port: int) -> bool:
    """Say whether /proc/self/net/tcp, whose lines begin with the listeners, has one at an address."""
    number = int.from_bytes(socket.inet_aton(address), sys.byteorder)
    wanted = f"{number:08X}:{port:04X}"
    for line in lines:
        words = line.split()
        if len(words) < 4 or not words[0].endswith(":"):
            continue
        if words[3] != TCP_LISTEN:
            return False
        if words[1] == wanted:
            return True
    return False


def ask(path: str, seconds: float = ASK_SECONDS) -> str:
    """Return the word that HAProxy answers on its socket; raises OSError where it does not."""
    end = time.monotonic() + seconds
    answer = b""
    with socket.socket(socket.AF_UNIX) as channel:
        channel.settimeout(seconds)
        channel.connect(path)
        channel.sendall(b"GET / HTTP/1.0\r\n\r\n")
        while len(answer) < 4096 and time.monotonic() < end and (part := channel.recv(4096)):
            answer += part
    return answer.rpartition(b"\r\n\r\n")[2].decode("ascii", "replace").strip()


@dataclass
class Watch:
    """Looks at this host's entry. A worse verdict needs LOOKS in a row, a better one is in force at once."""

    address: str
    port: int
    answered: str
    haproxy: str
    stamp: float = 0.0
    moved: float = float("-inf")
    recent: deque[tuple[int, str]] = field(default_factory=lambda: deque(maxlen=LOOKS))

    def pooler(self, now: float) -> str:
        """Return what is wrong with the pooler, or ""."""
        with Path("/proc/self/net/tcp").open(encoding="ascii") as table:
            if not listens(table, self.address, self.port):
                return f"no pooler listens at {self.address}:{self.port}"
        # While the dead-man restarts there is no file.
        with contextlib.suppress(FileNotFoundError):
            stamp = Path(self.answered).stat().st_mtime
            if stamp != self.stamp:
                # When it moved on this process's own clock: the host's may be set.
                self.stamp, self.moved = stamp, now
        silent = now - self.moved
        return f"the pooler has not answered its dead-man for {silent:.0f} s" if silent > ANSWER_SECONDS else ""

    def look(self) -> tuple[int, str]:
        """Return what one look says, and why."""
        try:
            if wrong := self.pooler(time.monotonic()):
                return NONE, wrong
        except OSError as error:
            return NONE, f"the pooler can't be observed: {error}"
        try:
            word = ask(self.haproxy)
        except OSError as error:
            return NONE, f"HAProxy does not answer: {error}"
        return WORDS.get(word, (NONE, f"HAProxy's answer means nothing: {word[:60]!r}"))

    def verdict(self) -> tuple[int, str]:
        """Look, and return the best of what the last looks said."""
        self.recent.append(self.look())
        return max(reversed(self.recent), key=lambda seen: seen[0])


def write(path: str, value: int) -> None:
    """Replace the file in one step: keepalived reads it whenever it changes."""
    Path(f"{path}.new").write_text(f"{value}\n", encoding="ascii")
    Path(f"{path}.new").replace(path)


def notify(state: str) -> None:
    """Tell systemd, where it listens."""
    where = os.environ.get("NOTIFY_SOCKET", "")
    if where:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
            channel.connect("\0" + where[1:] if where.startswith("@") else where)
            channel.sendall(state.encode())


def main() -> None:
    """Watch for ever; whatever ends this process ends keepalived, too."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--listener", required=True, help="address:port of this host's pooler")
    parser.add_argument("--answered", required=True, help="file whose time says when the pooler last answered")
    parser.add_argument("--haproxy", required=True, help="socket on which HAProxy says whom it sees")
    parser.add_argument("--verdict", required=True, help="file that keepalived reads")
    parser.add_argument("--interval", type=float, required=True, help="seconds between two looks")
    given = parser.parse_args()
    address, _colon, port = given.listener.rpartition(":")
    watch, told = Watch(address, int(port), given.answered, given.haproxy), (1, "")
    while True:
        found = watch.verdict()
        if found[0] != told[0]:
            write(given.verdict, found[0])
            sys.stdout.write(f"verdict {found[0]}: {found[1]}\n")
            sys.stdout.flush()
            told = found
        notify("READY=1\nWATCHDOG=1")
        time.sleep(given.interval)


if __name__ == "__main__":
    main()
