# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether Patroni may start on this host, and whether it may make a cluster there; nothing is changed."""

from __future__ import annotations

import grp
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible_collections.holdfast.stateful.plugins.module_utils import postgres_locale
from ansible_collections.holdfast.stateful.plugins.module_utils.etcd import EtcdClient, EtcdError, Tls, url_of
from ansible_collections.holdfast.stateful.plugins.module_utils.patroni_config import parameters_of
from ansible_collections.holdfast.stateful.plugins.module_utils.postgres_host import (
    DataDirectory,
    scope_blocker,
    start_blocker,
    unknown_owner,
)
from ansible_collections.holdfast.stateful.plugins.module_utils.postgres_trial import bootstrap_blocker


def may_start(params: Mapping[str, Any], data: DataDirectory) -> str:
    """Return why Patroni must not start here: another cluster's data, or another cluster under this scope."""
    stores = [url_of(member["address"], params["etcd_client_port"]) for member in params["etcd_members"]]
    try:
        context = Tls(params["ca"], params["cert"], params["key"]).context()
        client = EtcdClient(context, 3.0, params["etcd_user"], params["etcd_password"])
        if data.entries == 0:
            leader = client.get_from_any(stores, f"/service/{params['scope']}/leader")
            declared = [member["name"] for member in params["members"]]
            return scope_blocker(leader, [*declared, *params["leaving"]], params["scope"])
    except EtcdError:
        # Without data there is nothing to lose, and without the store Patroni copies and makes nothing either.
        if data.entries == 0:
            return ""
        raise
    try:
        known = client.get_from_any(stores, f"/service/{params['scope']}/initialize")
    except EtcdError as error:
        return unknown_owner(data, params["major"], params["scope"], str(error))
    return start_blocker(data, known, params["major"], params["scope"])


def may_begin(params: Mapping[str, Any], data: DataDirectory, check: bool) -> str:
    """Return why no cluster may be made here: a locale that is not there, or parameters that PostgreSQL won't take."""
    program = f"/usr/lib/postgresql/{params['major']}/bin/postgres"
    # In a first run in check mode the packages are not there.
    unjudged = data.entries > 0 or not params["config"] or (check and not Path(program).exists())
    bad = "" if unjudged else bootstrap_blocker(parameters_of(params["config"]), program)
    return postgres_locale.unknown(params["initdb"]) or bad


def group_of(name: str) -> int | None:
    """Return the number of a group, which comes with the packages."""
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        return None
