"""The ``holdfast`` command: one playbook per verb, through ansible-runner, with artifacts that hold no secret.

Nothing here decides whether data is safe: every such check is in the roles and modules. Delete this package and
``ansible-playbook playbooks/site.yml`` is as careful as before.
"""

__version__ = "0.1.0"
