"""A lab that goes takes its ssh masters along; the lab scenario proves it with real ones."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from ansible_collections.holdfast.stateful.plugins.module_utils.lab import connections
from ansible_collections.holdfast.stateful.plugins.module_utils.lab.identity import Lab, identify


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    monkeypatch.setattr(connections, "CONTROL_FOLDER", str(tmp_path))
    return identify(str(tmp_path))


def test_a_socket_without_its_master_is_removed_and_others_stay(lab: Lab, tmp_path: Path) -> None:
    own, other = tmp_path / f"holdfast-{lab.id}-10.0.0.1", tmp_path / "holdfast-zzzzz-10.0.0.1"
    for path in (own, other):
        with socket.socket(socket.AF_UNIX) as left:
            left.bind(str(path))
    assert connections.close_connections(lab) == [str(own)]
    assert not own.exists()
    assert other.exists()


def test_nothing_open_is_nothing_to_do(lab: Lab) -> None:
    assert connections.close_connections(lab) == []
