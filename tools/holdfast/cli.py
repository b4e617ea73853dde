"""The command line: words to a verb, errors to an exit code."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from holdfast import __version__
from holdfast.exit_codes import ExitCode, HoldfastError, table


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``holdfast`` with these words (``sys.argv`` by default) and return its exit code.

    Raises:
        SystemExit: with code 2 on unusable arguments, 0 after ``--help``: argparse's way.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    before, remote = _split(words)
    parser = build_parser()
    args = parser.parse_args(before)
    if remote and args.verb != "lab ssh":
        parser.error("only `lab ssh HOST -- COMMAND` takes words after --")
    args.words, args.remote = words, remote
    from holdfast.verbs import VERBS

    try:
        return int(VERBS[args.verb](args))
    except HoldfastError as error:
        sys.stderr.write(f"holdfast: {error}\n")
        return int(error.code)
    except BrokenPipeError:
        return int(ExitCode.OK)
    except KeyboardInterrupt:
        return int(ExitCode.CANCELLED)
    except OSError as error:
        sys.stderr.write(f"holdfast: {error}\n")
        return int(ExitCode.INTERNAL)


def _split(words: list[str]) -> tuple[list[str], list[str]]:
    """The words before and after the first ``--``."""
    if "--" not in words:
        return words, []
    at = words.index("--")
    return words[:at], words[at + 1 :]


def _common(top: bool) -> argparse.ArgumentParser:
    """The options that every verb takes, before or after its name."""
    # Below a verb an option that is not given must not overwrite the one given before the verb.
    default = None if top else argparse.SUPPRESS
    parent = argparse.ArgumentParser(add_help=False)
    group = parent.add_argument_group("global options")
    group.add_argument(
        *("-i", "--inventory"),
        default=default,
        metavar="PATH",
        help="inventory (default: HOLDFAST_INVENTORY, else inventories/lab)",
    )
    group.add_argument(
        "--artifacts", default=default, metavar="DIR", help="make the run folder in DIR (default: .holdfast/runs)"
    )
    off = False if top else argparse.SUPPRESS
    group.add_argument("--no-color", action="store_true", default=off, help="no colours (also: NO_COLOR)")
    group.add_argument(
        "-v",
        "--verbose",
        action="count",
        default=0 if top else argparse.SUPPRESS,
        help="ansible's own output; -vv for more",
    )
    return parent


def build_parser() -> argparse.ArgumentParser:
    """The parser; ``verb`` in its result is a key of :data:`holdfast.verbs.VERBS`."""
    parser = argparse.ArgumentParser(
        prog="holdfast",
        description="Stateful services on hosts you own, with promises that are measured.",
        epilog=f"exit codes:\n{table()}\n\nEvery run leaves a folder with summary.json, junit.xml and stdout.log.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[_common(top=True)],
    )
    parser.add_argument("--version", action="version", version=f"holdfast {__version__}")
    common = _common(top=False)
    verbs = parser.add_subparsers(title="verbs", required=True, metavar="VERB")

    def add(
        where: argparse._SubParsersAction[argparse.ArgumentParser], verb: str, text: str
    ) -> argparse.ArgumentParser:
        sub = where.add_parser(
            verb.split()[-1], help=text, description=text[0].upper() + text[1:] + ".", parents=[common]
        )
        sub.set_defaults(verb=verb)
        return sub

    lab = verbs.add_parser("lab", help="the lab: full systems on this machine", parents=[common])
    labs = lab.add_subparsers(title="verbs", required=True, metavar="VERB")
    add(labs, "lab up", "create the lab's hosts")
    add(labs, "lab down", "remove the lab's hosts")
    add(labs, "lab status", "show the lab's hosts").add_argument("--json", action="store_true", help="as JSON")
    ssh = add(labs, "lab ssh", "open a shell on a lab host, or run a command there: lab ssh HOST -- COMMAND")
    ssh.add_argument("host", metavar="HOST")

    explain = add(verbs, "explain", "what was decided for a service, and why")
    _service(explain)
    explain.add_argument("--json", action="store_true", help="the contracts as JSON")

    apply = add(verbs, "apply", "make the hosts what the catalog says")
    apply.add_argument("--limit", metavar="PATTERN", help="only these hosts or groups")
    apply.add_argument("--tags", metavar="TAGS", help="only tasks with these tags")
    apply.add_argument("--check", action="store_true", help="change nothing, say what would change")
    apply.add_argument("--diff", action="store_true", help="show differences")

    status = add(verbs, "status", "the health of the services; code 5 unless all are healthy")
    _service(status)
    status.add_argument("--json", action="store_true", help='{"services": [...]}')

    connect = add(verbs, "connect", "what a client needs to connect")
    connect.add_argument("service", metavar="SERVICE")
    form = connect.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="as JSON")
    form.add_argument("--uri", action="store_true", help="as URI; RabbitMQ: one per host")
    connect.add_argument("--show-secret", action="store_true", help="with the password, out of the vault")

    _service(add(verbs, "prove", "measure from a client's side whether the promises hold; code 6 unless all do"))
    add(verbs, "check", "validate the catalog; contacts no host")
    return parser


def _service(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("service", nargs="?", metavar="SERVICE", help="one service (default: all)")


if __name__ == "__main__":
    sys.exit(main())
