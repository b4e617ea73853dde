"""Deny by default, proven with packets from other hosts."""

from __future__ import annotations

import contextlib
import socket

import pytest
import testinfra

LISTEN = "systemd-run --quiet --unit=listen-{port} --collect python3 -m http.server {port}"


@pytest.fixture
def peers(request):
    """Connect to all three hosts, for packets from one to another."""
    options = request.config.option
    return {
        name: testinfra.get_host(f"ssh://{name}", ssh_config=options.ssh_config, sudo=True)
        for name in ("lab1", "lab2", "lab3")
    }


@pytest.fixture
def listeners(peers):
    """Listen on lab3 on a port that is declared and on one that is not."""
    server = peers["lab3"]
    for port in (7001, 7002):
        server.run(LISTEN.format(port=port))
        # Without a listener that was seen, a closed port would prove nothing.
        server.check_output(f"timeout 20 sh -c 'until ss -Hltn sport = :{port} | grep -q LISTEN; do sleep 0.2; done'")
    yield server.interface("host0").addresses[0].split("/")[0]
    for port in (7001, 7002):
        server.run(f"systemctl stop listen-{port}")


def connects(host, address, port):
    script = f"import socket; socket.create_connection(('{address}', {port}), timeout=1.5)"
    return any(host.run(f'python3 -c "{script}"').rc == 0 for _attempt in range(3))


def test_declared_port_is_open_to_the_declared_source_only(peers, listeners):
    assert connects(peers["lab1"], listeners, 7001)
    assert not connects(peers["lab2"], listeners, 7001)


def test_undeclared_port_is_closed_to_everybody(peers, listeners):
    assert connects(peers["lab3"], "127.0.0.1", 7002), "nothing listens: the test would prove nothing"
    assert not connects(peers["lab1"], listeners, 7002)
    with pytest.raises(OSError), contextlib.closing(socket.create_connection((listeners, 7002), timeout=1.5)):
        pass


def test_rules_are_loaded_at_boot(host):
    unit = host.service("holdfast-firewall.service")
    assert unit.is_enabled
    assert unit.is_running


def test_tables_of_others_survive_a_reload(host):
    host.check_output("nft add table inet somebody_elses")
    try:
        host.check_output("systemctl reload holdfast-firewall.service")
        tables = host.check_output("nft list tables").splitlines()
    finally:
        host.run("nft delete table inet somebody_elses")
    assert {"table inet somebody_elses", "table inet holdfast"} <= set(tables)
