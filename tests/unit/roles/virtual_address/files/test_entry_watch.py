"""The watch gives the address up when this host's entry fails, not when the whole service has no leader."""

from __future__ import annotations

import importlib.util
import os
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

FILE = Path(__file__).resolve().parents[5] / "roles/virtual_address/files/entry_watch.py"
_spec = importlib.util.spec_from_file_location("entry_watch", FILE)
if _spec is None or _spec.loader is None:
    raise ImportError(FILE)
entry_watch: Any = importlib.util.module_from_spec(_spec)
sys.modules["entry_watch"] = entry_watch
_spec.loader.exec_module(entry_watch)

NUMBER = int.from_bytes(socket.inet_aton("192.0.2.1"), sys.byteorder)
HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"


def line(address: int, port: int, state: str) -> str:
    return f"   0: {address:08X}:{port:04X} 00000000:0000 {state} 00000000:00000000 00:00000000 00000000     0\n"


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        ([HEAD, line(0, 22, "0A"), line(NUMBER, 6432, "0A")], True),
        ([HEAD, line(NUMBER, 6433, "0A"), line(0, 6432, "0A")], False),
        ([HEAD, line(NUMBER, 6432, "01")], False),
        ([HEAD], False),
        ([], False),
    ],
)
def test_who_listens(lines: list[str], found: bool) -> None:
    assert entry_watch.listens(lines, "192.0.2.1", 6432) is found


def test_the_kernels_own_table_is_understood() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        listener.listen()
        with Path("/proc/net/tcp").open(encoding="ascii") as table:
            assert entry_watch.listens(table, "127.0.0.1", port)
    with Path("/proc/net/tcp").open(encoding="ascii") as table:
        assert not entry_watch.listens(table, "127.0.0.1", port)


@pytest.fixture
def answering(tmp_path: Path) -> Iterator[tuple[str, list[bytes]]]:
    """A server that answers each connection with the first of a list; with nothing, it says nothing and waits."""
    answers: list[bytes] = []
    path = str(tmp_path / "haproxy.sock")
    held = []
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen()

        def serve() -> None:
            while True:
                try:
                    channel, _address = server.accept()
                except OSError:
                    return
                if answers[0]:
                    channel.recv(4096)
                    channel.sendall(answers[0])
                    channel.close()
                else:
                    held.append(channel)

        threading.Thread(target=serve, daemon=True).start()
        yield path, answers
        server.shutdown(socket.SHUT_RDWR)


def reply(word: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\ncontent-type: text/plain\r\n\r\n%s" % (len(word), word)


@pytest.mark.parametrize(
    ("answer", "verdict", "why"),
    [
        (reply(b"leader"), 0, "sees the leader"),
        (reply(b"others"), -100, "no leader"),
        (reply(b"nobody"), -254, "cut off"),
        (reply(b""), -254, "means nothing"),
        (b"HTTP/1.1 503 Service Unavailable\r\n\r\n<html>", -254, "means nothing"),
        (b"\xff\xfe", -254, "means nothing"),
        (b"", -254, "does not answer"),
    ],
)
def test_what_haproxy_says(
    answering: tuple[str, list[bytes]],
    answer: bytes,
    verdict: int,
    why: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path, answers = answering
    answers.append(answer)
    watch = entry_watch.Watch("192.0.2.1", 6432, "/nowhere", path)
    monkeypatch.setattr(watch, "pooler", lambda _now: "")
    value, said = watch.look()
    assert value == verdict
    assert why in said


def test_a_haproxy_that_is_not_there_does_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    watch = entry_watch.Watch("192.0.2.1", 6432, "/nowhere", str(tmp_path / "none.sock"))
    monkeypatch.setattr(watch, "pooler", lambda _now: "")
    assert watch.look()[0] == entry_watch.NONE


def test_the_pooler_must_listen_and_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answered = tmp_path / "answered"
    watch = entry_watch.Watch("192.0.2.1", 6432, str(answered), "/nowhere")
    monkeypatch.setattr(entry_watch, "listens", lambda *_arguments: False)
    assert "no pooler listens at 192.0.2.1:6432" in watch.pooler(100.0)
    monkeypatch.setattr(entry_watch, "listens", lambda *_arguments: True)
    assert "has not answered" in watch.pooler(100.0), "it has never answered"
    answered.touch()
    assert watch.pooler(101.0) == ""
    assert watch.pooler(104.0) == ""
    assert "for 3 s" in watch.pooler(104.2)
    os.utime(answered, (5, 5))
    assert watch.pooler(105.0) == "", "what counts is that it moves on, not what the host's clock says"
    answered.unlink()
    assert watch.pooler(107.9) == "", "the dead-man restarts"
    assert watch.pooler(108.1) != ""


def test_what_cannot_be_observed_is_not_good(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    watch = entry_watch.Watch("192.0.2.1", 6432, str(tmp_path / "file" / "below"), "/nowhere")
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(entry_watch, "listens", lambda *_arguments: True)
    value, said = watch.look()
    assert value == entry_watch.NONE
    assert "can't be observed" in said


@pytest.mark.parametrize(
    ("looks", "verdicts"),
    [
        ([0, -254, 0], [0, 0, 0]),
        ([0, -254, -254, 0], [0, 0, -254, 0]),
        ([0, -100, -254, -254], [0, 0, -100, -254]),
        ([-254, 0], [-254, 0]),
        ([-100, -100], [-100, -100]),
    ],
)
def test_worse_takes_two_looks_and_better_takes_one(
    looks: list[int], verdicts: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = entry_watch.Watch("192.0.2.1", 6432, "/nowhere", "/nowhere")
    said = iter(looks)
    monkeypatch.setattr(watch, "look", lambda: (next(said), "x"))
    assert [watch.verdict()[0] for _look in looks] == verdicts


def test_the_newest_reason_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    watch = entry_watch.Watch("192.0.2.1", 6432, "/nowhere", "/nowhere")
    said = iter([(-254, "first"), (-254, "second")])
    monkeypatch.setattr(watch, "look", lambda: next(said))
    watch.verdict()
    assert watch.verdict() == (-254, "second")


def test_the_verdict_is_replaced_in_one_step(tmp_path: Path) -> None:
    path = tmp_path / "verdict"
    entry_watch.write(str(path), 0)
    first = path.stat().st_ino
    entry_watch.write(str(path), -254)
    assert path.read_text() == "-254\n"
    assert path.stat().st_ino != first
    assert list(tmp_path.iterdir()) == [path]


def test_systemd_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        entry_watch.notify("READY=1")
        assert listener.recv(64) == b"READY=1"
