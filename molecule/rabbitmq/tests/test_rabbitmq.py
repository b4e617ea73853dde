"""An application publishes with confirms over verified TLS, may do its work, and nothing else is let in."""

from __future__ import annotations

import dataclasses
import secrets
import socket
import ssl

import harness
import pika
import pytest
from ansible_collections.holdfast.stateful.plugins.module_utils.probe.base import plain_text_refused

SERVICE = "events"
CONFIG = "/etc/rabbitmq/rabbitmq.conf"
MEMBERS = 3


@pytest.fixture(scope="module")
def target():
    return harness.target(SERVICE)


def parameters(target, host=0, **overrides):
    address, port = target.hosts[host]
    context = ssl.create_default_context(cafile=target.ca_file)
    wanted = {
        "virtual_host": target.vhost,
        "credentials": pika.PlainCredentials(target.user, target.password),
        "ssl_options": pika.SSLOptions(context, address),
        "socket_timeout": 3,
        "stack_timeout": 6,
        "blocked_connection_timeout": 10,
        **overrides,
    }
    return pika.ConnectionParameters(address, port, **wanted)


@pytest.fixture
def channel(target):
    connection = pika.BlockingConnection(parameters(target))
    yield connection.channel()
    if connection.is_open:
        connection.close()


@pytest.fixture
def queue(channel):
    name = f"test-{secrets.token_hex(4)}"
    channel.queue_declare(name, durable=True)
    yield name
    if channel.is_open:
        channel.queue_delete(name)


def test_a_confirmed_message_is_read_from_every_other_member(target, channel, queue):
    channel.confirm_delivery()
    for number in range(2 * MEMBERS):
        channel.basic_publish("", queue, str(number).encode(), mandatory=True)
    got = []
    for host in range(MEMBERS):
        connection = pika.BlockingConnection(parameters(target, host))
        reader = connection.channel()
        for _number in range(2):
            method, _properties, body = reader.basic_get(queue)
            got.append(int(body))
            reader.basic_ack(method.delivery_tag)
        connection.close()
    assert got == list(range(2 * MEMBERS))


def test_a_queue_without_a_type_is_a_quorum_queue(host, queue, target):
    listed = host.run(f"sudo rabbitmqctl --quiet list_queues --vhost {target.vhost} name type")
    assert f"{queue}\tquorum" in listed.stdout


@pytest.mark.parametrize("user", ["guest", "admin", "monitor", "events_app"])
def test_a_wrong_password_is_refused(target, user):
    with pytest.raises(pika.exceptions.ProbableAuthenticationError):
        pika.BlockingConnection(parameters(target, credentials=pika.PlainCredentials(user, "guest")))


def test_anonymous_login_is_not_offered(target):
    # The server names its mechanisms in its first frame, before anybody has logged in.
    address, port = target.hosts[0]
    context = ssl.create_default_context(cafile=target.ca_file)
    with (
        socket.create_connection((address, port), timeout=3) as plain,
        context.wrap_socket(plain, server_hostname=address) as tls,
    ):
        tls.sendall(b"AMQP\x00\x00\x09\x01")
        first = tls.recv(4096)
    assert b"PLAIN" in first
    assert b"ANONYMOUS" not in first
    assert b"EXTERNAL" not in first


def test_the_application_sees_no_other_vhost(target):
    with pytest.raises(pika.exceptions.ProbableAccessDeniedError):
        pika.BlockingConnection(parameters(target, virtual_host="/"))


def test_the_application_can_not_touch_what_belongs_to_the_broker(target):
    for action, more in {
        "exchange_delete": {},
        "exchange_declare": {"exchange_type": "topic", "durable": True},
    }.items():
        connection = pika.BlockingConnection(parameters(target))
        with pytest.raises(pika.exceptions.ChannelClosedByBroker, match="ACCESS_REFUSED"):
            getattr(connection.channel(), action)("amq.topic", **more)
        connection.close()


def test_plain_text_is_refused(host, target):
    address, port = target.hosts[0]
    assert port == 5671
    seen = plain_text_refused(address, port, b"AMQP\x00\x00\x09\x01")
    assert seen.ok, seen.detail
    for closed in (5672, 15672):
        # From the host itself, which its firewall lets through: nothing listens.
        own = host.check_output("hostname -I").split()[0]
        done = host.run(f"python3 -c \"import socket; socket.create_connection(('{own}', {closed}), timeout=3)\"")
        assert "ConnectionRefusedError" in done.stderr, done.stderr


def test_old_tls_is_refused(target):
    address, port = target.hosts[0]
    context = ssl.create_default_context(cafile=target.ca_file)
    # Without this the client itself would refuse, and the test would say nothing about the server.
    context.set_ciphers("DEFAULT@SECLEVEL=0")
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with (
        pytest.raises((ssl.SSLError, ConnectionResetError)),
        socket.create_connection((address, port), timeout=3) as plain,
    ):
        context.wrap_socket(plain, server_hostname=address)


def test_another_authority_is_not_believed(target):
    other = dataclasses.replace(target, ca_file="/etc/ssl/certs/ca-certificates.crt")
    with pytest.raises(ssl.SSLCertVerificationError):
        pika.BlockingConnection(parameters(other))


def test_the_distribution_wants_a_certificate(host, target):
    """Asked from a member: nobody else reaches the port."""
    address = target.hosts[0][0]
    # With TLS 1.3 the refusal arrives with the first read.
    script = (
        "import socket, ssl; context = ssl.create_default_context(cafile='/etc/holdfast/pki/ca.crt'); "
        f"plain = socket.create_connection(('{address}', 25672), timeout=3); "
        f"context.wrap_socket(plain, server_hostname='{address}').recv(1)"
    )
    done = host.run(f'python3 -c "{script}"')
    assert done.rc != 0
    assert "SSLError" in done.stderr or "ConnectionResetError" in done.stderr, done.stderr[-400:]


def test_only_declared_addresses_listen(host):
    listed = host.run("sudo ss -Htlnp").stdout
    ports = {}
    for line in listed.splitlines():
        address, _colon, port = line.split()[3].rpartition(":")
        ports.setdefault(int(port), set()).add(address.strip("[]"))
    assert {5671, 15671, 25672, 4369} <= set(ports)
    assert not {5672, 15672, 15692} & set(ports)
    for port in (5671, 15671, 25672):
        assert not any(address in {"*", "::"} or address.startswith("0.") for address in ports[port])
    assert len(ports[4369]) == 2
    assert "127.0.0.1" in ports[4369]


def test_secrets_are_closed(host):
    cookie = host.file("/var/lib/rabbitmq/.erlang.cookie")
    with host.sudo():
        assert (cookie.user, cookie.group, cookie.mode) == ("rabbitmq", "rabbitmq", 0o400)
        assert host.file(CONFIG).mode == 0o640
        assert "default_pass" not in host.file(CONFIG).content_string
        assert '"password"' not in host.file("/etc/rabbitmq/definitions.json").content_string


def test_every_member_is_in_one_cluster_without_guest(host, target):
    with host.sudo():
        status = host.check_output("rabbitmqctl --quiet cluster_status --formatter json")
        users = host.check_output("rabbitmqctl --quiet list_users")
        vhosts = host.check_output("rabbitmqctl --quiet list_vhosts")
    assert status.count('"rabbit@') > 2 * MEMBERS
    assert {line.split()[0] for line in users.splitlines()} - {"user"} == {"admin", "monitor", target.user}
    assert target.vhost in vhosts.split()
    assert "/" not in vhosts.split()


def test_the_sandbox_holds(host):
    with host.sudo():
        said = host.run("systemd-analyze security rabbitmq-server.service --no-pager").stdout.strip().splitlines()[-1]
    assert float(said.split(":")[1].split()[0]) <= 2.5, said
