"""Sentinels agree over TLS, know everybody, and tell an application where the master is and nothing more."""

from __future__ import annotations

import re

import harness
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

SERVICE = "sessions"
CONFIG = "/etc/redis/sentinel/sentinel.conf"


@pytest.fixture(scope="module")
def target():
    return harness.target(SERVICE)


def connect(target, at, **overrides):
    host, port = target.sentinels[at]
    options = {
        "ssl": True,
        "ssl_ca_certs": target.ca_file,
        "ssl_cert_reqs": "required",
        "ssl_check_hostname": True,
        "username": target.user,
        "password": target.password,
        "socket_timeout": 3,
        "retry": Retry(NoBackoff(), 0),
        "decode_responses": True,
    }
    return redis.Redis(host=host, port=port, **{**options, **overrides})


def test_all_name_one_master(target):
    named = {tuple(connect(target, at).sentinel_get_master_addr_by_name(target.sentinel_name)) for at in range(3)}
    assert len(named) == 1


@pytest.mark.parametrize("at", range(3))
def test_each_knows_all_others(target, at):
    seen = connect(target, at).sentinel_masters()[target.sentinel_name]
    assert (seen["num-other-sentinels"], seen["num-slaves"], seen["quorum"], seen["flags"]) == (2, 2, 2, "master")


def test_plain_text_is_refused(target):
    host, port = target.sentinels[0]
    with pytest.raises(redis.exceptions.ConnectionError):
        redis.Redis(host=host, port=port, socket_timeout=3, retry=Retry(NoBackoff(), 0)).ping()


def test_without_a_login_nothing_works(target):
    with pytest.raises(redis.exceptions.AuthenticationError):
        connect(target, 0, username=None, password=None).ping()


@pytest.mark.parametrize(
    "command",
    [
        "SENTINEL FAILOVER {name}",
        "SENTINEL RESET *",
        "SENTINEL REMOVE {name}",
        "SENTINEL SET {name} quorum 1",
        "SENTINEL MONITOR evil 127.0.0.1 1 1",
        "SENTINEL CONFIG GET *",
        "SENTINEL IS-MASTER-DOWN-BY-ADDR 127.0.0.1 1 1 x",
        "ACL LIST",
        "SHUTDOWN",
        "PUBLISH __sentinel__:hello x",
    ],
)
def test_the_application_may_not(target, command):
    with pytest.raises(redis.exceptions.NoPermissionError):
        connect(target, 0).execute_command(*command.format(name=target.sentinel_name).split())


def test_the_application_hears_of_a_failover(target):
    pubsub = connect(target, 0).pubsub()
    pubsub.subscribe("+switch-master")
    assert pubsub.get_message(timeout=2)["type"] == "subscribe"


def test_the_file_keeps_its_mode_after_sentinel_wrote_it(host):
    config = host.file(CONFIG)
    assert (config.user, config.group, config.mode) == ("redis", "redis", 0o640)
    assert re.search(r"^sentinel myid [0-9a-f]{40}$", config.content_string, re.M)
    assert re.search(r"^sentinel resolve-hostnames no$", config.content_string, re.M)
    assert not re.search(r"^user ", config.content_string, re.M)


def test_it_listens_on_declared_addresses_only(host):
    own = host.interface("host0").addresses[0].split("/")[0]
    found = {line.split()[3] for line in host.check_output("ss -Hltnp").splitlines() if "redis-sentinel" in line}
    assert found == {f"{own}:26379", "127.0.0.1:26379"}
