"""The verifier in PgBouncer's user list belongs to the password, and is the same on every run."""

from __future__ import annotations

from ansible_collections.holdfast.stateful.plugins.filter.postgres import FilterModule, stable_verifier
from ansible_collections.holdfast.stateful.plugins.module_utils.postgres_objects import scram_matches


def test_a_verifier_is_stable_and_belongs_to_its_password() -> None:
    found = stable_verifier("hush hush", "orders-db/pooler-admin")
    assert found == FilterModule().filters()["scram_verifier"]("hush hush", "orders-db/pooler-admin")
    assert scram_matches("hush hush", found)
    assert not scram_matches("hush", found)
    assert "hush" not in found


def test_another_scope_has_another_salt() -> None:
    assert stable_verifier("hush", "a") != stable_verifier("hush", "b")
