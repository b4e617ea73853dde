"""What every host carries, seen on the hosts."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize("name", ["lab1", "lab2", "lab3"])
def test_peers_resolve_to_their_addresses(host, name):
    addresses = [line.split()[0] for line in host.check_output(f"getent ahostsv4 {name}").splitlines()]
    assert addresses
    assert not any(address.startswith("127.") for address in addresses)


def test_lines_of_others_stay_in_the_hosts_file(host):
    lines = host.file("/etc/hosts").content_string.splitlines()
    assert "127.0.0.1 localhost" in lines
    assert lines.count("# BEGIN holdfast peers") == 1


def test_base_packages_are_installed(host):
    for package in ("ca-certificates", "nftables", "python3-cryptography", "ssl-cert"):
        assert host.package(package).is_installed, package


def test_unattended_upgrades_leave_the_services_alone(host):
    held = host.check_output("apt-config dump Unattended-Upgrade::Package-Blacklist")
    for pattern in ("postgresql", "patroni", "etcd", "redis", "rabbitmq"):
        assert f'"{pattern}";' in held, pattern


@pytest.mark.parametrize(
    ("name", "value"), [("base_reachable_time_ms", 5000), ("delay_first_probe_time", 1), ("retrans_time_ms", 200)]
)
def test_a_peer_without_power_is_soon_known_to_be_gone(host, name, value):
    assert int(host.file(f"/proc/sys/net/ipv4/neigh/host0/{name}").content_string) == value
