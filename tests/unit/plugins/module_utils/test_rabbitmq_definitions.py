# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is sent for which difference, and that nothing is sent without one."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.holdfast.stateful.plugins.module_utils.rabbitmq_definitions import (
    ALGORITHM,
    Definitions,
    diff_of,
    input_problems,
    password_hash,
    password_matches,
    plan,
    stable_hash,
    unknown_references,
)

HASH = password_hash("secret", b"abcd")
WISH: dict[str, list[dict[str, Any]]] = {
    "vhosts": [{"name": "v", "default_queue_type": "quorum"}],
    "users": [{"name": "app", "password": "secret", "password_hash": None, "tags": []}],
    "permissions": [{"user": "app", "vhost": "v", "configure": "a", "write": "b", "read": "c"}],
}


def have(**more: Any) -> Definitions:
    tables: dict[str, Any] = {
        "vhosts": {"v": {"name": "v", "default_queue_type": "quorum"}},
        "users": {"app": {"password_hash": HASH, "hashing_algorithm": ALGORITHM, "tags": []}},
        "permissions": {("app", "v"): {"configure": "a", "write": "b", "read": "c"}},
    }
    return Definitions(**{**tables, **more})


def test_nothing_is_sent_when_nothing_differs() -> None:
    assert plan(have(), WISH) == []


def test_an_empty_cluster_gets_everything_in_an_order_that_works() -> None:
    assert [step.path for step in plan(Definitions(), WISH)] == ["/vhosts/v", "/users/app", "/permissions/v/app"]


@pytest.mark.parametrize(
    ("found", "path"),
    [
        ({"vhosts": {"v": {"default_queue_type": "classic"}}}, "/vhosts/v"),
        (
            {"users": {"app": {"password_hash": HASH, "hashing_algorithm": ALGORITHM, "tags": ["administrator"]}}},
            "/users/app",
        ),
        (
            {"users": {"app": {"password_hash": password_hash("x", b"1234"), "hashing_algorithm": ALGORITHM}}},
            "/users/app",
        ),
        ({"users": {"app": {"password_hash": HASH, "hashing_algorithm": "rabbit_password_hashing_md5"}}}, "/users/app"),
        ({"permissions": {("app", "v"): {"configure": "a", "write": "b", "read": ".*"}}}, "/permissions/v/app"),
    ],
)
def test_a_difference_is_sent_alone(found: dict[str, Any], path: str) -> None:
    assert [step.path for step in plan(have(**found), WISH)] == [path]


def test_what_others_wrote_about_a_vhost_is_kept() -> None:
    raw = {"default_queue_type": "classic", "metadata": {"description": "theirs", "tags": ["x", "y"]}}
    step = plan(have(vhosts={"v": raw}), WISH)[0]
    assert step.body == {"default_queue_type": "quorum", "description": "theirs", "tags": "x,y"}


def test_names_are_quoted() -> None:
    wish = {**WISH, "vhosts": [{"name": "/", "default_queue_type": "quorum"}], "users": [], "permissions": []}
    assert plan(Definitions(), wish)[0].path == "/vhosts/%2F"


def test_a_permission_for_every_vhost_reaches_those_of_others_too() -> None:
    wish = {**WISH, "users": [], "permissions": [{"user": "m", "vhost": "*", "configure": "", "write": "", "read": ""}]}
    seen = have(vhosts={"theirs": {"default_queue_type": "quorum"}, "v": {"default_queue_type": "quorum"}})
    assert [step.path for step in plan(seen, wish)] == ["/permissions/theirs/m", "/permissions/v/m"]


def test_passwords_are_in_no_diff() -> None:
    text = repr(diff_of(plan(Definitions(), WISH)))
    assert "secret" not in text
    assert HASH not in text


def test_a_password_is_recognised_by_any_salt() -> None:
    want = {"password": "secret"}
    assert password_matches(password_hash("secret", b"1234"), ALGORITHM, want)
    assert not password_matches(password_hash("Secret", b"1234"), ALGORITHM, want)
    assert not password_matches("%%", ALGORITHM, want)


def test_the_stable_hash_is_stable_and_scoped() -> None:
    assert stable_hash("p", "a") == stable_hash("p", "a")
    assert stable_hash("p", "a") != stable_hash("p", "b")
    assert password_matches(stable_hash("p", "a"), ALGORITHM, {"password": "p"})


def test_the_hash_is_the_one_rabbitmq_documents() -> None:
    # rabbitmq.com/docs/passwords: salt 908D C60A, password test12
    assert password_hash("test12", bytes.fromhex("908DC60A")) == "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR"


def test_bad_wishes() -> None:
    assert "guest" in input_problems({**WISH, "users": [{"name": "guest", "password": "x"}]})[0]
    assert "neither" in input_problems({**WISH, "users": [{"name": "u"}]})[0]
    wish = {**WISH, "permissions": [{"user": "nobody", "vhost": "none"}]}
    assert len(unknown_references(wish, Definitions())) == 2
