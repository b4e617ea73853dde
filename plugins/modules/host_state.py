#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Converge packages, directories, files and units of one role in one remote call."""

from __future__ import annotations

DOCUMENTATION = r"""
module: host_state
short_description: Converge packages, directories, files and units of one role in one remote call
version_added: 0.1.0
author: Holdfast (@holdfast)
description:
  - Compares everything a role keeps on a host with what it should be, and converges it. A run that has nothing to do
    costs one remote call, a run that installs packages costs three.
  - The order is packages, O(absent), O(directories), O(files), O(units). A unit that is to be stopped and whose own
    file is in O(absent) is stopped before the file goes. Entries with C(stage) V(before_packages) come
    before the packages, and so does what O(absent) names below C(/etc/apt).
  - What needs a reload or a restart is observed (file time against unit time), not remembered by a handler, so a run
    that was killed between a write and a reload is completed by the next one.
  - Templates are rendered on the controller, as M(ansible.builtin.template) does.
  - Files are written under a temporary name, owned, validated and synchronised, and then renamed. A kill leaves the
    old or the new file. When a call fails, what was already written stays, and the next run completes the rest.
options:
  packages:
    description:
      - Debian packages that must be installed, each a name or a dictionary with C(name) and C(version). A version may
        hold shell wildcards.
      - Virtual packages are not supported, because dpkg knows only real ones.
      - Packages are installed by C(apt-get), without recommended packages, and no service of theirs is started with a
        default configuration. Left-overs of a dpkg that was killed are completed first.
      - One that is installed keeps its version, also when a missing one would need another; then nothing is installed.
    type: list
    elements: raw
    default: []
  packages_ahead:
    description:
      - Packages that later tasks are going to ask for, installed together with O(packages) because one transaction of
        apt takes far less time than several. Written like O(packages).
      - Their services and sockets are disabled after the installation, so that a host that boots before those tasks
        have run does not start them with a default configuration.
    type: list
    elements: raw
    default: []
  directories:
    description:
      - Directories that must exist, parents first. A missing parent is an error, it is never made silently.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: Absolute path.
        type: path
        required: true
      owner:
        description: User name or number.
        type: str
        default: root
      group:
        description: Group name or number.
        type: str
        default: root
      mode:
        description: Mode as a quoted octal string.
        type: raw
        default: '0755'
      claimed_by:
        description:
          - File that says whose the directory is. While the directory holds something and this file does not exist,
            nothing at all is changed on the host, and the directory is in RV(unclaimed). Owner, group and mode of a
            directory that holds something are left alone.
        type: path
      stage:
        description: When to converge it, before the packages are installed or after.
        type: str
        choices: [before_packages, normal]
        default: normal
  files:
    description:
      - Files that must have a certain content. A link in the place of a file is replaced by the file, never followed.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: Absolute path.
        type: path
        required: true
      template:
        description:
          - Template below C(templates/) of the role. Without O(files[].content) and O(files[].src) the default is the
            path of the file with C(.j2), so that templates mirror their destinations.
        type: str
      content:
        description: The content itself.
        type: str
      src:
        description: File below C(files/) of the role, copied as it is.
        type: str
      owner:
        description: User name or number.
        type: str
        default: root
      group:
        description: Group name or number.
        type: str
        default: root
      mode:
        description: Mode as a quoted octal string.
        type: raw
        default: '0644'
      secret:
        description: Whether the content stays out of the diff, the result and the messages.
        type: bool
        default: false
      validate:
        description:
          - Command that accepts or refuses the new content, with C(%s) in the place of the temporary file. Not run in
            check mode.
        type: str
      block:
        description:
          - Manage only the lines between two marker comments that carry this name; the rest of the file belongs to
            others and stays as it is.
        type: str
      create_only:
        description:
          - Whether the content is only written when the file does not exist. After that the server owns the content,
            and only owner, group and mode are converged.
        type: bool
        default: false
      defer:
        description:
          - With O(files[].create_only), do not write an absent file but report it in RV(ignore:absent), so that a role
            can decide what to bootstrap.
        type: bool
        default: false
      stage:
        description: When to converge it, before the packages are installed or after.
        type: str
        choices: [before_packages, normal]
        default: normal
  absent:
    description:
      - Paths that must not exist, each a path or a dictionary with C(path) and C(recurse). A directory that is not
        empty is only removed with C(recurse=true).
    type: list
    elements: raw
    default: []
  expect:
    description:
      - Files that, where they exist, must have a certain line. One without it belongs to something else, and the call
        fails before anything is changed.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: Absolute path.
        type: path
        required: true
      line:
        description: The whole line.
        type: str
        required: true
  units:
    description:
      - Systemd units. Reload and restart of a unit that runs are decided by the times of the files it watches.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the unit.
        type: str
        required: true
      enabled:
        description: Whether the unit starts at boot. Left alone when not given.
        type: bool
      state:
        description:
          - Whether the unit runs. Left alone when not given. A failed unit is reset and started.
        type: str
        choices: [started, stopped]
      masked:
        description: Whether the unit is masked. Left alone when not given.
        type: bool
      no_block:
        description: Do not wait until the unit has started.
        type: bool
        default: false
      reload_on:
        description:
          - Files or directories. The unit is reloaded when one of them changed after the unit's last change of state,
            or when the last reload failed.
        type: list
        elements: path
        default: []
      restart_on:
        description:
          - Files or directories. The unit is restarted when one of them changed after the unit started.
        type: list
        elements: path
        default: []
      pending_restart_on:
        description:
          - Files or directories. The unit is reported in RV(pending_restart) when one of them changed after the unit
            started. Nothing is restarted, the members of a cluster restart one at a time and elsewhere.
        type: list
        elements: path
        default: []
  _contents:
    description: Internal, the contents of all files in one opaque value that is in no log. Set by the action plugin.
    type: str
    default: ''
attributes:
  check_mode:
    description: Changes nothing and predicts, also when packages, users and units are still missing.
    support: full
  diff_mode:
    description: Shows every difference, of secret files only that there is one.
    support: full
notes:
  - A oneshot unit without C(RemainAfterExit) is never active, so V(started) would start it in every run.
  - Paths in O(files), O(directories) and O(absent) must be at least two levels deep.
"""

EXAMPLES = r"""
- name: Converge redis on the host
  holdfast.stateful.host_state:
    packages: [redis-server, redis-tools]
    directories:
      - {path: /etc/redis/conf.d, owner: redis, group: redis, mode: "0750"}
    files:
      - {path: /etc/redis/base.conf, group: redis, mode: "0640"}
      - {path: /etc/redis/users.acl, owner: redis, group: redis, mode: "0640", secret: true}
      - {path: /etc/redis/redis.conf, owner: redis, group: redis, mode: "0640", create_only: true}
    absent:
      - /etc/redis/old.conf
    units:
      - name: redis-server.service
        enabled: true
        state: started
        pending_restart_on: [/etc/redis/base.conf]
  register: redis_host

- name: Converge the firewall
  holdfast.stateful.host_state:
    packages: [nftables]
    files:
      - {path: /etc/nftables.conf, mode: "0600", validate: "/usr/sbin/nft --check --file %s"}
    units:
      - {name: nftables.service, enabled: true, state: started, reload_on: [/etc/nftables.conf]}
"""

RETURN = r"""
changed_files:
  description: Paths that were written, removed, or whose owner or mode was changed.
  returned: always
  type: list
  elements: str
changed_units:
  description: Units that were changed in any way.
  returned: always
  type: list
  elements: str
started_units:
  description: Units that were started because they did not run.
  returned: always
  type: list
  elements: str
restarted_units:
  description: Units that were restarted because of a newer file.
  returned: always
  type: list
  elements: str
reloaded_units:
  description: Units that were reloaded because of a newer file.
  returned: always
  type: list
  elements: str
pending_restart:
  description: Units that run with an older configuration than the one on disk and wait for a rolling restart.
  returned: always
  type: list
  elements: str
daemon_reloaded:
  description: Whether systemd was told to read its unit files again.
  returned: always
  type: bool
missing_packages:
  description: Packages that were not installed before, in apt's spelling.
  returned: always
  type: list
  elements: str
dpkg_repaired:
  description: Whether the left-overs of a dpkg that was killed were completed.
  returned: always
  type: bool
absent:
  description: Files with O(files[].create_only) and O(files[].defer) that do not exist.
  returned: always
  type: list
  elements: str
unclaimed:
  description: Directories whose C(claimed_by) kept the call from changing anything.
  returned: always
  type: list
  elements: str
diff:
  description: One before and after per difference.
  returned: in diff mode
  type: list
  elements: dict
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.holdfast.stateful.plugins.module_utils.host_state import (
    ARGUMENT_SPEC,
    INTERNAL_SPEC,
    HostStateError,
    Run,
    normalise_absent,
    unpack_contents,
)
from ansible_collections.holdfast.stateful.plugins.module_utils.host_state_files import converge_paths, remove_path
from ansible_collections.holdfast.stateful.plugins.module_utils.host_state_gates import require_lines, unclaimed
from ansible_collections.holdfast.stateful.plugins.module_utils.host_state_packages import (
    check_packages,
    install_missing,
    units_of_those_ahead,
)
from ansible_collections.holdfast.stateful.plugins.module_utils.host_state_policy import release
from ansible_collections.holdfast.stateful.plugins.module_utils.host_state_systemctl import Units, disable
from ansible_collections.holdfast.stateful.plugins.module_utils.host_state_units import (
    secret_words,
    split_going,
)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={**ARGUMENT_SPEC, **INTERNAL_SPEC},
        supports_check_mode=True,
    )
    run = Run(check=module.check_mode, want_diff=module._diff)
    try:
        converge(module.params, run)
    except HostStateError as error:
        module.fail_json(msg=str(error), **run.result())
    module.exit_json(**run.result())


def converge(params: dict, run: Run) -> None:  # type: ignore[type-arg]  # sanity wants no typing import here
    """Converge everything."""
    require_lines(params["expect"])
    run.unclaimed = unclaimed(params["directories"])
    if run.unclaimed:
        return
    contents = unpack_contents(params["_contents"])
    packages = params["packages"] + params["packages_ahead"]
    if not run.check:
        release(expired_only=True)
    check_packages(packages, run)
    # What tells apt where packages come from goes before packages are asked for.
    for entry in params["absent"]:
        if normalise_absent(entry)[0].startswith("/etc/apt/"):
            remove_path(entry, run)
    converge_paths(params, contents, "before_packages", run)
    if run.missing_packages:
        run.changed = True
    installed = install_missing(packages, run)
    if units := units_of_those_ahead(installed, params["packages"]):
        disable(units)
    # A unit whose file is gone can't be told from one that never was.
    going, staying = split_going(params["units"], params["absent"])
    Units(going, set(), run).converge()
    for entry in params["absent"]:
        remove_path(entry, run)
    converge_paths(params, contents, "normal", run)
    secrets = [contents[entry["path"]] for entry in params["files"] if entry["secret"] and entry["path"] in contents]
    Units(staying if run.check else going + staying, secret_words(secrets), run).converge()


if __name__ == "__main__":
    main()
