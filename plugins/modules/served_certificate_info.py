#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""See which certificates ports serve to new connections."""

from __future__ import annotations

DOCUMENTATION = r"""
module: served_certificate_info
short_description: See which certificates ports serve to new connections
version_added: 0.1.0
author: Holdfast maintainers (@holdfast)
description:
  - Connects to every port as a client does, verified, and compares the certificate it is shown with the expected one.
  - Waits until all of them are as expected, and fails with every one that is not.
  - Changes nothing.
extends_documentation_fragment: [holdfast.stateful.host_tls]
options:
  endpoints:
    description: The ports.
    type: list
    elements: dict
    required: true
    suboptions:
      service:
        description: What listens there, for messages.
        type: str
        required: true
      name:
        description: Name of the host.
        type: str
        required: true
      address:
        description: Address to connect to.
        type: str
        required: true
      port:
        description: Port to connect to.
        type: int
        required: true
      postgres:
        description: Whether TLS is asked for as PostgreSQL's protocol does.
        type: bool
        default: false
  expected:
    description: The certificates that hosts should serve, as PEM texts by name.
    type: dict
    required: true
  timeout:
    description: Seconds until every port must be as expected.
    type: float
    default: 30
attributes:
  check_mode:
    description: Only observes.
    support: full
"""

EXAMPLES = r"""
- name: See that PostgreSQL serves the new certificate
  holdfast.stateful.served_certificate_info:
    endpoints:
      - {service: postgres, name: db1, address: 192.0.2.11, port: 5432, postgres: true}
    expected:
      db1: "{{ lookup('ansible.builtin.file', 'pki/hosts/db1.crt') }}"
"""

RETURN = r"""
serials:
  description: Serial numbers by host, as all of its ports serve them.
  returned: success
  type: dict
refusal:
  description: V(gate) when a port does not serve the expected certificate.
  returned: failure
  type: str
"""

import ssl

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.holdfast.stateful.plugins.module_utils.etcd import EtcdError, Tls
from ansible_collections.holdfast.stateful.plugins.module_utils.host_tls import TLS_SPEC
from ansible_collections.holdfast.stateful.plugins.module_utils.served_certificate import serial_of, wait

ENDPOINT = {
    "service": {"type": "str", "required": True},
    "name": {"type": "str", "required": True},
    "address": {"type": "str", "required": True},
    "port": {"type": "int", "required": True},
    "postgres": {"type": "bool", "default": False},
}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **TLS_SPEC,
            "endpoints": {"type": "list", "elements": "dict", "required": True, "options": ENDPOINT},
            "expected": {"type": "dict", "required": True},
            "timeout": {"type": "float", "default": 30},
        },
        supports_check_mode=True,
    )
    params = module.params
    missing = sorted({item["name"] for item in params["endpoints"]} - set(params["expected"]))
    if missing:
        module.fail_json(msg=f"expected: no certificate is given for {', '.join(missing)}", refusal="gate")
    try:
        context = Tls(params["ca"], params["cert"], params["key"]).context()
        wrong = wait(params["endpoints"], params["expected"], context, params["timeout"])
        serials = {name: serial_of(ssl.PEM_cert_to_DER_cert(text)) for name, text in params["expected"].items()}
    except (EtcdError, ValueError) as error:
        module.fail_json(msg=str(error), refusal="gate")
    if wrong:
        module.fail_json(msg="; ".join(wrong), refusal="gate")
    module.exit_json(changed=False, serials=serials)


if __name__ == "__main__":
    main()
