"""What each verb runs and shows. Everything heavy is imported when it is needed: status is on a clock."""

from __future__ import annotations

import json
import os
import shlex
import sys
from argparse import Namespace
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from holdfast import project
from holdfast.exit_codes import ExitCode, InputError, MissingResultError
from holdfast.request import RunRequest

if TYPE_CHECKING:
    from rich.console import Console

    from holdfast.redact import Redactor
    from holdfast.runner import Judge, Outcome, Progress


def request_for(args: Namespace, verb: str, playbook: str, **more: Any) -> RunRequest:
    """The typed request behind parsed arguments.

    Raises:
        InputError: no checkout, inventory or playbook, or a value that cannot be meant.
    """
    root = project.find_root()
    artifacts = getattr(args, "artifacts", None)
    return RunRequest(
        verb=verb,
        playbook=playbook,
        root=root,
        inventory=project.resolve_inventory(root, getattr(args, "inventory", None)),
        runs_dir=Path(artifacts).expanduser().absolute() if artifacts else project.default_runs_dir(root),
        service=getattr(args, "service", None),
        limit=getattr(args, "limit", None),
        tags=getattr(args, "tags", None),
        check=getattr(args, "check", False),
        diff=getattr(args, "diff", False),
        verbosity=getattr(args, "verbose", 0),
        resume=shlex.join(["holdfast", *args.words]),
        **more,
    )


def _warm_up() -> None:
    """Import what shows the result while ansible is still working on it."""
    import rich.console
    import rich.table  # noqa: F401

    import holdfast.artifacts  # noqa: F401


def _run(args: Namespace, request: RunRequest, judge: Judge | None = None) -> Outcome:
    from holdfast.report import report
    from holdfast.runner import run

    verbose = request.verbosity > 0
    colour = not getattr(args, "no_color", False) and "NO_COLOR" not in os.environ

    def show(redactor: Redactor) -> Progress:
        from holdfast.progress import choose

        return choose(redactor, verbose=verbose, colour=colour)

    silent = request.read_only and not verbose
    outcome = run(request, None if silent else show, judge, _warm_up if silent else None)
    report(outcome, brief=request.read_only)
    return outcome


def _checked(read: Callable[[Mapping[str, Any]], object]) -> Judge:
    """A judge that is content when ``read`` can make sense of what was published."""

    def judge(published: Mapping[str, Any]) -> ExitCode:
        read(published)
        return ExitCode.OK

    return judge


def _console(args: Namespace) -> Console:
    from rich.console import Console

    return Console(no_color=getattr(args, "no_color", False) or None, highlight=False, emoji=False, markup=False)


def _print_json(data: object) -> None:
    sys.stdout.write(json.dumps(data, indent=2, ensure_ascii=False) + "\n")


def apply(args: Namespace) -> ExitCode:
    """Make the hosts what the catalog says."""
    return _run(args, request_for(args, "apply", "site.yml")).code


def check(args: Namespace) -> ExitCode:
    """Validate the catalog and everything derived from it; no host is contacted."""
    return _run(args, request_for(args, "check", "check_catalog.yml", reads_vault=False)).code


def explain(args: Namespace) -> ExitCode:
    """Show what was decided and why."""
    from holdfast.explain import contracts_of, render

    request = request_for(args, "explain", "explain_service.yml", read_only=True, reads_vault=False)
    outcome = _run(args, request, _checked(lambda published: contracts_of(published, request.service)))
    if outcome.code is ExitCode.OK:
        contracts = contracts_of(outcome.published, request.service)
        if args.json:
            _print_json(contracts)
        else:
            render(contracts, _console(args))
    return outcome.code


def status(args: Namespace) -> ExitCode:
    """Show the health of the services."""
    from holdfast.status import judge, render, services_of

    request = request_for(args, "status", "show_status.yml", read_only=True, reads_vault=False)
    outcome = _run(args, request, judge)
    if outcome.code in (ExitCode.OK, ExitCode.UNHEALTHY):
        services = services_of(outcome.published)
        if args.json:
            _print_json({"services": services})
        else:
            render(services, _console(args))
    return outcome.code


def prove(args: Namespace) -> ExitCode:
    """Measure from a client's side whether the promises hold."""
    from holdfast.prove import judge, proofs_of, render

    outcome = _run(args, request_for(args, "prove", "prove_services.yml"), judge)
    if outcome.code in (ExitCode.OK, ExitCode.NOT_PROVEN):
        render(proofs_of(outcome.published), _console(args))
    return outcome.code


def connect(args: Namespace) -> ExitCode:
    """Show how a client connects."""
    from holdfast.connect import connection_of, read_password, render, uri_of

    request = request_for(args, "connect", "show_connection.yml", read_only=True, reads_vault=False)
    outcome = _run(args, request, _checked(connection_of))
    if outcome.code is not ExitCode.OK:
        return outcome.code
    connection = connection_of(outcome.published)
    if args.show_secret:
        from holdfast.environment import ansible_environment

        environment = ansible_environment(request.root, outcome.run_id)
        connection["password"] = read_password(outcome.published, request.root, environment)
    if args.json:
        _print_json(connection)
    elif args.uri:
        sys.stdout.write(uri_of(connection) + "\n")
    else:
        render(connection, _console(args))
    return outcome.code


def lab_up(args: Namespace) -> ExitCode:
    """Create the lab's hosts."""
    outcome = _run(args, request_for(args, "lab-up", "create_lab.yml"))
    if outcome.code is ExitCode.OK and "lab" in outcome.published:
        _show_lab(outcome.published, args)
    return outcome.code


def lab_down(args: Namespace) -> ExitCode:
    """Remove the lab's hosts."""
    return _run(args, request_for(args, "lab-down", "destroy_lab.yml")).code


def lab_status(args: Namespace) -> ExitCode:
    """Show the lab's hosts."""
    outcome = _run(
        args, request_for(args, "lab-status", "show_lab.yml", read_only=True, reads_vault=False), _checked(_lab_of)
    )
    if outcome.code is ExitCode.OK:
        _show_lab(outcome.published, args)
    return outcome.code


def _lab_of(published: Mapping[str, Any]) -> dict[str, Any]:
    lab = published.get("lab")
    if not isinstance(lab, dict):
        raise MissingResultError("the playbook ended without publishing lab")
    return lab


def _show_lab(published: dict[str, Any], args: Namespace) -> None:
    lab = _lab_of(published)
    if getattr(args, "json", False):
        _print_json(lab)
        return
    from rich.table import Table
    from rich.text import Text

    console = _console(args)
    console.print(f"Lab {lab.get('id')}, network {lab.get('network')}")
    table = Table(box=None, padding=(0, 2, 0, 2), header_style="dim")
    for title in ("host", "address", "state"):
        table.add_column(title, overflow="fold")
    for host in lab.get("hosts") or ():
        table.add_row(*(Text(str(host.get(key, "-"))) for key in ("name", "address", "state")))
    console.print(table)


def lab_ssh(args: Namespace) -> ExitCode:
    """Become ssh to a lab host. Does not return when all goes well."""
    request = request_for(args, "lab-ssh", "show_lab.yml", read_only=True, reads_vault=False)
    outcome = _run(args, request, _checked(_lab_of))
    if outcome.code is not ExitCode.OK:
        return outcome.code
    lab = _lab_of(outcome.published)
    names = [str(host.get("name")) for host in lab.get("hosts") or ()]
    if args.host not in names:
        raise InputError(f"no lab host {args.host!r}: there are {', '.join(names) or 'none; try: holdfast lab up'}")
    config = (lab.get("ssh") or {}).get("config")
    if not config:
        raise MissingResultError("show_lab.yml published no lab.ssh.config")
    sys.stdout.flush()
    # ssh hands the words to the remote shell joined by spaces, as with plain ssh
    os.execvp("ssh", ["ssh", "-F", str(request.root / config), args.host, *args.remote])  # noqa: S606
    raise AssertionError("execvp returned")


VERBS: dict[str, Callable[[Namespace], ExitCode]] = {
    "apply": apply,
    "check": check,
    "connect": connect,
    "explain": explain,
    "lab down": lab_down,
    "lab ssh": lab_ssh,
    "lab status": lab_status,
    "lab up": lab_up,
    "prove": prove,
    "status": status,
}
