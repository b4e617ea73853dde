"""Which grants a role gets and loses, and which requests that takes; the etcd scenario proves them against etcd."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import pytest
from ansible_collections.holdfast.stateful.plugins.module_utils import etcd_auth
from ansible_collections.holdfast.stateful.plugins.module_utils.etcd import EtcdClient, EtcdError, LoginRefusedError
from ansible_collections.holdfast.stateful.plugins.module_utils.etcd_auth import Grant, compare_grants, prefix_end


def text(value: str) -> str:
    return base64.b64decode(value).decode()


def test_a_prefix_ends_before_its_neighbour() -> None:
    end = prefix_end("/service/orders-db/")
    assert end > "/service/orders-db/leader"
    assert end <= "/service/orders-db0"
    assert not end > "/service/orders-db2/leader"


READ = Grant.wanted({"access": "READ", "prefix": "/service/a/"})
WRITE = Grant.wanted({"access": "READWRITE", "prefix": "/service/a/"})
KEY = Grant.wanted({"access": "WRITE", "key": "/service/a/leader"})


@pytest.mark.parametrize(
    ("found", "wanted", "missing", "surplus"),
    [
        ([], [READ, KEY], [READ, KEY], []),
        ([READ, KEY], [KEY, READ], [], []),
        ([READ], [WRITE], [WRITE], []),
        ([WRITE, KEY], [WRITE], [], [KEY]),
    ],
)
def test_grants(found: list[Grant], wanted: list[Grant], missing: list[Grant], surplus: list[Grant]) -> None:
    assert compare_grants(found, wanted) == (missing, surplus)


def test_etcd_leaves_read_out_of_its_answers() -> None:
    assert Grant.found({"key": READ.key, "range_end": READ.range_end}) == READ


class Store(EtcdClient):
    """What etcd would answer, and what it was asked."""

    def __init__(self, enabled: bool, users: Mapping[str, str], roles: Mapping[str, list[dict[str, str]]]) -> None:
        self.user, self.password, self.tokens = "root", "root-password", {}
        self.enabled, self.users, self.roles = enabled, dict(users), dict(roles)
        self.asked: list[str] = []
        self.deaf = False
        self.opener, self.timeout = self, 1.0  # type: ignore[assignment]  # `like` carries the store along

    def login(self, base: str) -> bool:
        if self.enabled and self.users.get(self.user) != self.password:
            raise LoginRefusedError(f"{base}: refused")
        return self.enabled

    def post(self, _base: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        asked = body or {}
        if path.endswith("/list"):
            return {"users": list(self.users), "roles": list(self.roles)}
        if path.endswith("user/get"):
            return {"roles": [asked["name"].replace("root_b", "root")]}
        if path.endswith("role/get"):
            return {"perm": self.roles[asked["role"]]}
        self.asked.append(path.removeprefix("/v3/auth/"))
        if path.endswith(("user/add", "user/changepw")) and not self.deaf:
            self.users[asked["name"]] = asked["password"]
        self.enabled = self.enabled or path.endswith("auth/enable")
        return {}


def like(store: Any, user: str, password: str) -> Store:
    made = Store(store.enabled, store.users, store.roles)
    made.user, made.password = user, password
    return made


USERS = [{"name": "patroni-a", "password": "p", "grants": [{"access": "READWRITE", "prefix": "/service/a/"}]}]
GRANTED = {"permType": "READWRITE", "key": WRITE.key, "range_end": WRITE.range_end}


@pytest.fixture(autouse=True)
def clients(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(etcd_auth.EtcdClient, "like", like)


def test_a_new_store_gets_root_then_users_and_asks_for_them_last() -> None:
    store = Store(False, {}, {})
    etcd_auth.converge(store, "b", USERS, check=False)
    assert store.asked == [
        "role/add",
        "user/add",
        "user/grant",
        "role/add",
        "role/grant",
        "user/add",
        "user/grant",
        "enable",
    ]


def test_a_converged_store_is_left_alone() -> None:
    store = Store(True, {"root": "root-password", "patroni-a": "p"}, {"root": [], "patroni-a": [GRANTED]})
    assert etcd_auth.converge(store, "b", USERS, check=False) == []
    assert store.asked == []


def test_another_password_is_set_and_a_surplus_grant_revoked() -> None:
    surplus = {"permType": "WRITE", "key": KEY.key}
    store = Store(True, {"root": "root-password", "patroni-a": "old"}, {"root": [], "patroni-a": [GRANTED, surplus]})
    done = etcd_auth.converge(store, "b", USERS, check=False)
    assert store.asked == ["role/revoke", "user/changepw"]
    assert not any("old" in line or "'p'" in line for line in done)


def test_check_mode_only_says_what_it_would_do() -> None:
    store = Store(False, {}, {})
    assert "authentication enabled" in etcd_auth.converge(store, "b", USERS, check=True)
    assert store.asked == []


def test_a_wrong_root_password_stops_before_any_change() -> None:
    store = Store(True, {"root": "another"}, {"root": []})
    with pytest.raises(LoginRefusedError):
        etcd_auth.converge(store, "b", USERS, check=False)
    assert store.asked == []


def test_only_root_may_try() -> None:
    store = Store(True, {}, {})
    store.user = "patroni-a"
    with pytest.raises(EtcdError, match="root"):
        etcd_auth.converge(store, "b", USERS, check=False)


def test_a_second_root_is_added_and_the_first_changed_by_either() -> None:
    store = Store(True, {"root": "root-password", "patroni-a": "p"}, {"root": [], "patroni-a": [GRANTED]})
    both = [{"name": "root", "password": "root-password"}, {"name": "root_b", "password": "second"}]
    done = etcd_auth.converge(store, "b", USERS, both, check=False)
    assert done == ["user root_b added", "role root given to user root_b"]
    store.user, store.password, store.asked = "root_b", "second", []
    both[0]["password"] = "renewed"
    assert etcd_auth.converge(store, "b", USERS, both, check=False) == ["password of user root set"]
    assert store.users["root"] == "renewed"


def test_a_new_store_gets_both_roots_whoever_is_handed_out() -> None:
    store = Store(False, {}, {})
    store.user, store.password = "root_b", "second"
    both = [{"name": "root", "password": "first"}, {"name": "root_b", "password": "second"}]
    etcd_auth.converge(store, "b", USERS, both, check=False)
    assert (store.users["root"], store.users["root_b"]) == ("first", "second")
    assert store.asked[-1] == "enable"


def test_a_password_that_was_set_is_proven() -> None:
    store = Store(True, {"root": "root-password", "patroni-a": "old"}, {"root": [], "patroni-a": [GRANTED]})
    store.deaf = True
    with pytest.raises(EtcdError, match="expected user patroni-a to log in with the password just set"):
        etcd_auth.converge(store, "b", USERS, check=False)
