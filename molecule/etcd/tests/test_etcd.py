"""Three members agree over TLS 1.3; nobody without a certificate gets an answer, and nothing listens elsewhere."""

from __future__ import annotations

import json

import pytest

PKI = "/etc/holdfast/pki"
FILES = f"--cacert {PKI}/ca.crt --cert {PKI}/host.crt --key {PKI}/host.key"
PORTS = (2379, 2380)
STRANGER = """
import socket, ssl, sys
address, port, how = sys.argv[1:]
with socket.create_connection((address, int(port)), 5) as talk:
    context = ssl.create_default_context(cafile="/etc/holdfast/pki/ca.crt")
    try:
        if how == "tls":
            talk = context.wrap_socket(talk, server_hostname=address)
        talk.sendall(b"GET /version HTTP/1.0\\r\\n\\r\\n")
        print(talk.recv(500).decode() or "refused: closed")
    except (ssl.SSLError, ConnectionError) as error:
        print("refused:", error)
"""


def address(host):
    lines = [line.split() for line in host.file("/etc/hosts").content_string.splitlines()]
    return next(line[0] for line in lines if line[1:] == [hostname(host)] and not line[0].startswith("127."))


def hostname(host):
    return host.check_output("hostname")


def etcdctl(host, words):
    return json.loads(
        host.check_output(f"ETCDCTL_API=3 etcdctl --endpoints https://127.0.0.1:2379 {FILES} -w json {words}")
    )


def test_three_voting_members_agree_on_a_leader(host):
    listed = etcdctl(host, "member list")["members"]
    assert len(listed) == 3
    assert not any(item.get("isLearner") for item in listed)
    seen = etcdctl(host, "endpoint status --cluster")
    assert len(seen) == 3
    assert len({item["Status"]["leader"] for item in seen}) == 1


def test_a_write_is_read_on_every_member(host):
    key = f"/holdfast-test/{hostname(host)}"
    etcdctl(host, f"put {key} here")
    ends = ",".join(url for item in etcdctl(host, "member list")["members"] for url in item["clientURLs"])
    for end in ends.split(","):
        found = host.check_output(f"ETCDCTL_API=3 etcdctl --endpoints {end} {FILES} get --print-value-only {key}")
        assert found.strip() == "here"
    etcdctl(host, f"del {key}")


@pytest.mark.parametrize("port", PORTS)
@pytest.mark.parametrize("how", ["tls", "plain"])
def test_a_member_without_a_certificate_gets_no_answer(host, port, how):
    # From a member, because the firewall lets nobody else come near.
    done = host.run("python3 -c %s %s %s %s", STRANGER, address(host), str(port), how)
    assert done.rc == 0, done.stderr
    assert "etcdserver" not in done.stdout
    assert done.stdout.startswith(("refused", "HTTP/1.0 400"))


def test_it_listens_on_its_address_and_on_loopback_only(host):
    lines = [line.split()[3] for line in host.check_output("ss -Hltn").splitlines()]
    found = {line for line in lines if line.rsplit(":", 1)[1] in {"2379", "2380"}}
    own = address(host)
    assert found == {f"{own}:2379", f"{own}:2380", "127.0.0.1:2379"}


def test_the_permission_to_begin_is_gone(host):
    assert not host.file("/etc/etcd/begin.env").exists
    assert "ETCD_INITIAL_CLUSTER_STATE=existing" in host.file("/etc/etcd/etcd.env").content_string


def test_the_data_is_for_etcd_only_and_the_unit_is_confined(host):
    found = host.file("/var/lib/etcd/orders-db")
    assert (found.user, found.mode) == ("etcd", 0o700)
    score = host.check_output("systemd-analyze security --no-pager etcd.service | tail -1 | grep -oE '[0-9]+\\.[0-9]+'")
    assert float(score) <= 2.5
