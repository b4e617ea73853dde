"""Every control of two public baselines passes on every member, or docs/hardening/postgres.md explains why not."""

from __future__ import annotations

import postgres_hardening as hardening


def test_the_page_and_the_member_say_the_same(host):
    measured = {check.id: hardening.measure(host, check) for check in hardening.CHECKS}
    passed = sum(good for good, _said in measured.values())
    print(f"hardening: {passed} of {len(measured)} measured controls pass on {host.check_output('hostname')}")
    assert hardening.differences(measured) == []


def test_a_page_that_is_wrong_would_be_noticed(host):
    measured = {check.id: hardening.measure(host, check) for check in hardening.CHECKS[:12]}
    wrong = {name: (not good, said) for name, (good, said) in measured.items()}
    noticed = hardening.differences(wrong)
    assert all(any(line.startswith(f"{name}: ") for line in noticed) for name in wrong)
