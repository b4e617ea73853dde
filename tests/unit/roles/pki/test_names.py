# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

ROLES = Path(__file__).parents[4] / "roles"


def names(host: str, short: str, **more: Any) -> list[str]:
    """Return the names that the certificate of a host carries."""
    text = yaml.safe_load((ROLES / "pki" / "defaults" / "main.yml").read_text())["pki_subject_alt_names"]
    given = {"inventory_hostname": host, "inventory_hostname_short": short, "pki_names": [], "pki_addresses": []}
    return list(Templar(loader=DataLoader(), variables={**given, **more}).template(trust_as_template(text)))


@pytest.mark.parametrize(
    ("host", "short", "found"),
    [
        ("db1", "db1", ["DNS:db1", "DNS:localhost", "IP:127.0.0.1"]),
        ("db1.example.com", "db1", ["DNS:db1", "DNS:db1.example.com", "DNS:localhost", "IP:127.0.0.1"]),
        ("10.0.0.1", "10.0.0.1", ["DNS:10.0.0.1", "DNS:localhost", "IP:127.0.0.1"]),
    ],
)
def test_the_name_by_which_a_member_is_checked_is_in_its_certificate(host: str, short: str, found: list[str]) -> None:
    assert names(host, short) == found


def test_what_is_given_comes_once_each() -> None:
    assert names("db1", "db1", pki_names=["orders-db-rw", "db1"], pki_addresses=["10.0.0.1"])[-2:] == [
        "DNS:orders-db-rw",
        "IP:10.0.0.1",
    ]


def test_both_sides_spell_a_member_alike() -> None:
    """The subject of a certificate, and the line by which PostgreSQL lets that member copy."""
    issue = yaml.safe_load((ROLES / "pki" / "tasks" / "issue.yml").read_text())
    (request,) = [
        task["community.crypto.openssl_csr_pipe"] for task in issue if "community.crypto.openssl_csr_pipe" in task
    ]
    assert request["organizational_unit_name"] == "{{ inventory_hostname }}"
    lines = (ROLES / "postgres" / "templates" / "etc" / "patroni" / "config.yml.j2").read_text()
    assert re.findall(r'"OU=(.*?),O=Holdfast"', lines) == ["{{ member.name }}"] * 4
