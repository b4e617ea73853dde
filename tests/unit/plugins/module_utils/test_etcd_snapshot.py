# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.holdfast.stateful.plugins.module_utils import etcd_snapshot
from ansible_collections.holdfast.stateful.plugins.module_utils.etcd import EtcdError

GOOD = '{"hash":7,"revision":12,"totalKey":9,"totalSize":20480,"version":"3.5"}'
TLS = {"ca": "/none/ca", "cert": "/none/cert", "key": "/none/key", "user": "root", "password": "hush"}


def test_status_is_read() -> None:
    assert etcd_snapshot.parse_status(GOOD) == {"hash": 7, "revision": 12, "keys": 9, "bytes": 20480}


@pytest.mark.parametrize(
    "text", ["", "null", "[]", '{"hash": 7}', GOOD.replace(":9,", ":0,"), GOOD.replace(":12,", ":0,")]
)
def test_what_is_no_snapshot_is_not_believed(text: str) -> None:
    with pytest.raises(EtcdError):
        etcd_snapshot.parse_status(text)


@pytest.mark.parametrize("status", [GOOD, "damaged"])
def test_only_a_verified_snapshot_gets_the_name(status: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    final = tmp_path / "store.db"

    def run(*words: str, user: str = "") -> str:
        assert not any("hush" in word for word in words), "a password on a command line is for everybody to read"
        if "save" in words:
            assert user == "root:hush"
            Path(words[-1]).write_text("content")
            return ""
        return status

    monkeypatch.setattr(etcd_snapshot, "run", run)
    if status == GOOD:
        assert etcd_snapshot.save(str(final), "https://a:2379", TLS)["keys"] == 9
        assert final.stat().st_mode & 0o777 == 0o600
    else:
        with pytest.raises(EtcdError):
            etcd_snapshot.save(str(final), "https://a:2379", TLS)
        assert list(tmp_path.iterdir()) == []


def test_a_tool_that_fails_or_is_missing_is_an_error() -> None:
    with pytest.raises(EtcdError, match="expected success, found 1"):
        etcd_snapshot.run("false")
    with pytest.raises(EtcdError, match="expected it to finish"):
        etcd_snapshot.run("/none/etcdctl")


PEERS = {"b": "https://192.0.2.2:2380", "a": "https://192.0.2.1:2380"}


@pytest.mark.parametrize("works", [True, False])
def test_restored_data_takes_the_place_of_the_old_which_is_kept(
    works: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "member").mkdir()
    (tmp_path / "member" / "old").touch()
    (tmp_path / ".restored-1").mkdir()

    def run(*words: str) -> str:
        if "status" in words:
            return GOOD
        assert f"--initial-cluster=a={PEERS['a']},b={PEERS['b']}" in words
        assert f"--initial-advertise-peer-urls={PEERS['b']}" in words
        if not works:
            raise EtcdError("no space")
        made = Path(next(word for word in words if word.startswith("--data-dir=")).partition("=")[2])
        (made / "member").mkdir(parents=True)
        (made / "member" / "new").touch()
        return ""

    monkeypatch.setattr(etcd_snapshot, "run", run)
    if works:
        assert etcd_snapshot.restore("x.db", "b", PEERS, "t", str(tmp_path))["keys"] == 9
        assert (tmp_path / "member" / "new").exists()
        assert len(list(tmp_path.glob("member.aside-*/old"))) == 1
    else:
        with pytest.raises(EtcdError, match="no space"):
            etcd_snapshot.restore("x.db", "b", PEERS, "t", str(tmp_path))
        assert (tmp_path / "member" / "old").exists()
    assert list(tmp_path.glob(".restored-*")) == []
