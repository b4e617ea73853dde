from __future__ import annotations

import base64
import json
from urllib.parse import quote, quote_plus

import pytest
from holdfast.redact import MASK, Redactor, is_secret_name
from hypothesis import given
from hypothesis import strategies as st

SECRET = "s3cr3t/Va+lue&with=odd\"chars'<>"


@pytest.mark.parametrize(
    ("key", "secret"),
    [
        ("password", True), ("db_passwd", True), ("PGPASSWORD", True), ("sentinel_auth_pass", True), ("api_key", True),
        ("Authorization", True), ("erlang_cookie", True), ("private_key", True), ("vault_token", True),
        ("secret_id", True), ("secret_name", False), ("secrets_file", False), ("HOLDFAST_VAULT_PASSWORD_FILE", False),
        ("token_ttl", False),
        ("name", False), ("key", False), ("monkey", False), ("compass", False), ("bypass", False),
    ],
)  # fmt: skip
def test_names_that_hold_secrets(key: str, secret: bool) -> None:
    assert is_secret_name(key) is secret


@pytest.mark.parametrize(
    "text",
    [
        "password: hunter22", "password=hunter22", '"password": "hunter22"', "'app_password': 'hunter22'",
        "PGPASSWORD=hunter22 psql", "--password hunter22", "--admin-password=hunter22", "token => hunter22",
        "postgres://app:hunter22@db/x", "amqps://a:hunter22@h:5671/%2F", "Authorization: Bearer hunter22",
        'authorization: "Basic hunter22"', '{\\"password\\": \\"hunter22\\"}', "requirepass: hunter22",
        '"password" : "hunter22"', "masterauth = hunter22",
        "-----BEGIN PRIVATE KEY-----\nhunter22\n-----END PRIVATE KEY-----",
        "-----BEGIN RSA PRIVATE KEY-----\\nhunter22",
    ],
)  # fmt: skip
def test_secrets_are_found_by_name_and_shape(text: str) -> None:
    assert "hunter22" not in Redactor().text(text)


@pytest.mark.parametrize(
    "text",
    ["password_file: /etc/x/y", "secret_name: orders_db", "token_ttl=3600", "password: null", "no secret here",
     "http://host:5432/x", "ok: [n1] => {\"changed\": false}", "password: ***",
     "TASK [holdfast.stateful.secrets : Make what is missing] ***", "tools/dev/vault-password-client.py: not found",
     "task path: roles/secrets/tasks/main.yml:3"],
)  # fmt: skip
def test_what_only_speaks_about_secrets_stays_readable(text: str) -> None:
    assert Redactor().text(text) == text


@given(st.text(min_size=8, max_size=60), st.text(max_size=7), st.text(max_size=7))
def test_a_known_value_is_gone_in_every_form(secret: str, before: str, after: str) -> None:
    redactor = Redactor()
    redactor.add(secret)
    if secret not in redactor._known:
        return  # plainly no secret, such as "undefined"
    raw = secret.encode()
    for form in (
        secret,
        quote(secret, safe=""),
        quote_plus(secret),
        json.dumps(secret),
        base64.b64encode(raw).decode(),
    ):
        core = form.strip('"').rstrip("=")
        assert core not in redactor.text(f"x {form} y")
    inner = base64.b64encode(before.encode() + raw + after.encode()).decode()
    kept = redactor.text(inner)
    longest = max((len(part) for part in kept.split(MASK)), default=0)
    assert kept == MASK or longest < len(inner)


def test_base64_of_a_login_with_the_secret_inside_is_found() -> None:
    redactor = Redactor()
    redactor.add(SECRET)
    for user in ("a", "ab", "abc", "abcd"):
        inner = base64.b64encode(f"{user}:{SECRET}".encode()).decode()
        assert (
            base64.b64decode(redactor.text(inner).split(MASK)[0] + "====").decode("utf-8", "replace")[:-1]
            in f"{user}:s"
        )


def test_a_value_seen_under_a_secret_name_is_gone_everywhere() -> None:
    redactor = Redactor()
    redactor.learn(
        {"invocation": {"module_args": {"login_password": SECRET}}, "list": [{"token": {"deep": "abcdefgh"}}]}
    )
    assert redactor.text(f"cannot log in with {SECRET} or abcdefgh") == f"cannot log in with {MASK} or {MASK}"


def test_short_and_harmless_values_are_no_secrets() -> None:
    redactor = Redactor()
    redactor.add_all({"a": "true", "b": "5432", "c": "x", "d": None, "e": 12345678, "f": MASK})
    assert redactor.text("true 5432 x 12345678") == "true 5432 x 12345678"


def test_structures_keep_their_shape() -> None:
    redactor = Redactor()
    data = {
        "password": "abc",
        "user": "app",
        "keys": [1, None, True, "password=abc"],
        "secret": {"a": "b"},
        "token": None,
    }
    expected = {
        "password": MASK,
        "user": "app",
        "keys": [1, None, True, f"password={MASK}"],
        "secret": MASK,
        "token": None,
    }
    assert redactor.value(data) == expected


def test_a_multi_line_secret_is_found_line_by_line() -> None:
    redactor = Redactor()
    redactor.add("-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w0\n-----END KEY-----\n")
    assert "MIIEvQ" not in redactor.text("line: MIIEvQIBADANBgkqhkiG9w0")
