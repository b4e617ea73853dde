"""An application reaches the master through Sentinel over verified TLS, may do its work and nothing else."""

from __future__ import annotations

import dataclasses
import re
import secrets
import socket
import ssl

import harness
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel

SERVICE = "sessions"
CONFIG = "/etc/redis/server/redis.conf"


@pytest.fixture(scope="module")
def target():
    return harness.target(SERVICE)


def tls(target, **overrides):
    return {
        "ssl": True,
        "ssl_ca_certs": target.ca_file,
        "ssl_cert_reqs": "required",
        "ssl_check_hostname": True,
        "username": target.user,
        "password": target.password,
        "socket_timeout": 3,
        "socket_connect_timeout": 3,
        "retry": Retry(NoBackoff(), 0),
        "decode_responses": True,
        **overrides,
    }


def sentinel(target):
    return Sentinel(target.sentinels, sentinel_kwargs=tls(target), **tls(target))


@pytest.fixture
def master(target):
    host, port = sentinel(target).discover_master(target.sentinel_name)
    return redis.Redis(host=host, port=port, **tls(target))


def test_a_write_reaches_both_replicas(target, master):
    key = f"test:{secrets.token_hex(4)}"
    master.set(key, "1", ex=60)
    assert master.wait(2, 2000) == 2
    for host, port in sentinel(target).discover_slaves(target.sentinel_name):
        assert redis.Redis(host=host, port=port, **tls(target)).get(key) == "1"


def test_there_is_one_master_and_two_replicas(target):
    roles = sorted(redis.Redis(host=host, port=port, **tls(target)).role()[0] for host, port in target.hosts)
    assert roles == ["master", "slave", "slave"]


def test_a_replica_refuses_writes(target):
    host, port = sentinel(target).discover_slaves(target.sentinel_name)[0]
    with pytest.raises(redis.exceptions.ReadOnlyError):
        redis.Redis(host=host, port=port, **tls(target)).set("x", "1")


def test_plain_text_is_refused(target):
    for host, port in target.hosts:
        with pytest.raises(redis.exceptions.ConnectionError):
            redis.Redis(host=host, port=port, socket_timeout=3, retry=Retry(NoBackoff(), 0)).ping()


def test_old_tls_is_refused(target):
    context = ssl.create_default_context(cafile=target.ca_file)
    # Without this the client itself would refuse, and the test would say nothing about the server.
    context.set_ciphers("DEFAULT@SECLEVEL=0")
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with (
        pytest.raises((ssl.SSLError, ConnectionResetError)),
        socket.create_connection(target.hosts[0], timeout=3) as plain,
    ):
        context.wrap_socket(plain, server_hostname=target.hosts[0][0])


def test_without_a_login_nothing_works(target):
    with pytest.raises(redis.exceptions.AuthenticationError):
        redis.Redis(
            host=target.hosts[0][0], port=target.hosts[0][1], **tls(target, username=None, password=None)
        ).ping()


def test_a_wrong_password_is_refused(target):
    wrong = dataclasses.replace(target, password="wrong")
    with pytest.raises(redis.exceptions.AuthenticationError):
        redis.Redis(host=target.hosts[0][0], port=target.hosts[0][1], **tls(wrong)).ping()


@pytest.mark.parametrize(
    "command",
    [
        "FLUSHALL",
        "FLUSHDB",
        "KEYS *",
        "CONFIG GET *",
        "CONFIG SET maxmemory 0",
        "ACL LIST",
        "SWAPDB 0 1",
        "SHUTDOWN NOSAVE",
        "REPLICAOF NO ONE",
        "CLIENT LIST",
        "CLIENT KILL TYPE normal",
        "CLIENT PAUSE 1",
        "MONITOR",
        "MODULE LIST",
        "SAVE",
        "BGREWRITEAOF",
        "PSYNC ? -1",
        "SCRIPT FLUSH",
        "FUNCTION FLUSH",
        "PUBLISH __sentinel__:hello x",
    ],
)
def test_the_application_may_not(master, command):
    with pytest.raises(redis.exceptions.NoPermissionError):
        master.execute_command(*command.split())


def test_the_application_may(master):
    key = f"test:{secrets.token_hex(4)}"
    with master.pipeline(transaction=True) as pipe:
        pipe.incr(key).expire(key, 60).get(key)
        assert pipe.execute()[-1] == "1"
    assert master.eval("return redis.call('GET', KEYS[1])", 1, key) == "1"
    assert master.publish("news", "x") == 0
    assert master.delete(key) == 1


def test_no_password_of_a_user_is_on_disk(host, target):
    users = host.file("/etc/redis/users.acl")
    assert (users.user, users.group, users.mode) == ("root", "redis", 0o640)
    assert target.password not in users.content_string
    assert all(re.search(r" #[0-9a-f]{64} ", line) for line in users.content_string.splitlines() if " on " in line)


def test_the_servers_file_keeps_its_mode(host):
    config = host.file(CONFIG)
    assert (config.user, config.group, config.mode) == ("redis", "redis", 0o640)
    assert not re.search(r"^(user|requirepass|include|rename-command) ", config.content_string, re.M)


def test_it_listens_on_declared_addresses_only(host):
    own = host.interface("host0").addresses[0].split("/")[0]
    found = {line.split()[3] for line in host.check_output("ss -Hltnp").splitlines() if "redis-server" in line}
    assert found == {f"{own}:6379", "127.0.0.1:6379"}


def test_the_sandbox_stays(host):
    line = next(
        line
        for line in host.check_output("systemd-analyze security --no-pager redis-server.service").splitlines()[::-1]
        if line
    )
    assert float(re.search(r"([0-9.]+) OK", line)[1]) <= 1.2


def test_the_server_cannot_write_its_users(host):
    shown = host.check_output("systemctl show redis-server --property=ReadWritePaths,ProtectSystem")
    assert "ProtectSystem=strict" in shown
    assert set(re.search(r"ReadWritePaths=(.*)", shown)[1].split()) == {"-/var/lib/redis", "/etc/redis/server"}
