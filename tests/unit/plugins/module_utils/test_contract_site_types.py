# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from ansible_collections.holdfast.stateful.plugins.module_utils.contract_site_types import site_of, sites_of

DECLARED = {"service": "orders-db-b", "members": [{"name": "b1", "address": "10.0.2.1"}]}


def test_a_site_is_typed_with_its_defaults() -> None:
    site = site_of(DECLARED)
    assert site is not None
    assert (site.port, site.authority_file, site.slot) == (5432, "", "orders_db_b")
    assert site.to_dict() == {**DECLARED, "authority_file": ""}


def test_no_site_is_none() -> None:
    assert site_of(None) is None
    assert sites_of([]) == ()
