# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The RabbitMQ probe: pika over verified TLS, a quorum queue, publisher confirms and consumer acknowledgements."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import ssl
from typing import Any

import pika
from pika.exceptions import AMQPError, ProbableAuthenticationError

from .base import Check, Probe, ProbeError, plain_text_refused, refused

QUEUE = "holdfast.probe."


class RabbitmqProbe(Probe):
    """Records are persistent messages in a quorum queue for each run; the publisher confirm is the acknowledgement."""

    _connection: Any = None
    _channel: Any = None

    def _parameters(self, host: str, port: int) -> pika.ConnectionParameters:
        target = self.target
        context = ssl.create_default_context(cafile=target.ca_file)
        return pika.ConnectionParameters(
            host=host,
            port=port,
            virtual_host=target.vhost,
            credentials=pika.PlainCredentials(target.user, target.password),
            ssl_options=pika.SSLOptions(context, server_hostname=host),
            heartbeat=5,
            blocked_connection_timeout=target.timeout,
            socket_timeout=min(2.0, target.timeout),
            stack_timeout=target.timeout,
            connection_attempts=1,
        )

    def open(self) -> str:
        """Connect to the first host that answers."""
        self.close()
        failures = []
        for host, port in self.target.hosts:
            try:
                self._connection = pika.BlockingConnection(self._parameters(host, port))
                self._channel = self._connection.channel()
                self._channel.confirm_delivery()
            except (AMQPError, OSError) as error:
                failures.append(f"{host}:{port} {type(error).__name__} {error}")
            else:
                version = self._connection._impl.server_properties.get("version", b"?")
                text = version.decode() if isinstance(version, bytes) else str(version)
                return f"{host}:{port}, RabbitMQ {text}, TLS verified"
        raise ProbeError(f"{self.target.service}: no host accepts a connection: {'; '.join(failures)}")

    def close(self) -> None:
        """Disconnect."""
        with contextlib.suppress(Exception):
            if self._connection is not None and self._connection.is_open:
                self._connection.close()
        self._connection = self._channel = None

    def _declare(self, run: str) -> str:
        queue = QUEUE + run
        self._channel.queue_declare(queue, durable=True, arguments={"x-queue-type": "quorum", "x-expires": 3_600_000})
        return queue

    def _guard(self, action: Any) -> Any:
        if self._channel is None:
            self.open()
        try:
            return action()
        except (AMQPError, OSError, AttributeError) as error:
            self.close()
            raise ProbeError(f"{self.target.service}: {type(error).__name__}: {error}") from error

    def write(self, run: str, sequence: int) -> None:
        """Publish one message, mandatory and confirmed."""

        def publish() -> None:
            queue = self._declare(run) if sequence == 0 else QUEUE + run
            self._channel.basic_publish(
                "", queue, json.dumps(sequence).encode(), pika.BasicProperties(delivery_mode=2), mandatory=True
            )

        self._guard(publish)

    def read(self, run: str) -> list[int]:
        """Take all messages off the queue and acknowledge them."""

        def drain() -> list[int]:
            found: list[int] = []
            queue = self._declare(run)
            while True:
                method, _properties, body = self._channel.basic_get(queue)
                if method is None:
                    return sorted(found)
                found.append(int(json.loads(body)))
                self._channel.basic_ack(method.delivery_tag)

        return list(self._guard(drain))

    def forget(self, run: str) -> None:
        """Delete the run's queue."""
        self._guard(lambda: self._channel.queue_delete(QUEUE + run))

    def refusals(self) -> list[Check]:
        """Plain text, the account every broker ships with, and a wrong password."""
        host, port = self.target.hosts[0]
        guest = RabbitmqProbe(dataclasses.replace(self.target, user="guest", password="guest"))  # noqa: S106
        wrong = RabbitmqProbe(dataclasses.replace(self.target, password="not-the-password"))  # noqa: S106
        return [
            plain_text_refused(host, port, b"AMQP\x00\x00\x09\x01"),
            refused(
                "guest is refused",
                lambda: pika.BlockingConnection(guest._parameters(host, port)).close(),
                (ProbableAuthenticationError,),
            ),
            refused(
                "a wrong password is refused",
                lambda: pika.BlockingConnection(wrong._parameters(host, port)).close(),
                (ProbableAuthenticationError,),
            ),
        ]
