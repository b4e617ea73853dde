"""Where things are: the checkout, its inventories, the state folder, ansible's programs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from holdfast.exit_codes import InputError

DEFAULT_INVENTORY = "inventories/lab"


def find_root() -> Path:
    """The checkout: ``HOLDFAST_ROOT``, else where this package is installed from (an editable install).

    Raises:
        InputError: that folder holds no ``ansible.cfg`` and ``playbooks/``.
    """
    told = os.environ.get("HOLDFAST_ROOT")
    root = Path(told).expanduser().resolve() if told else Path(__file__).resolve().parents[2]
    if not ((root / "ansible.cfg").is_file() and (root / "playbooks").is_dir()):
        origin = "HOLDFAST_ROOT" if told else "the place holdfast is installed from"
        raise InputError(
            f"no Holdfast checkout at {root} ({origin}): expected ansible.cfg and playbooks/ there. "
            "Set HOLDFAST_ROOT to the checkout, or install it with: pip install -e <checkout>"
        )
    return root


def resolve_inventory(root: Path, given: str | None) -> str:
    """The inventory as an absolute path; a list such as ``host1,host2,`` is returned as it is.

    A relative path is looked up from the caller's folder first, then from the root. Without one ``HOLDFAST_INVENTORY``
    names it, else it is the lab.

    Raises:
        InputError: there is no such file or folder.
    """
    if given and "," in given:
        return given
    told = given or os.environ.get("HOLDFAST_INVENTORY")
    wanted = Path(told or DEFAULT_INVENTORY).expanduser()
    places = [wanted] if wanted.is_absolute() else [Path.cwd() / wanted, root / wanted]
    if not told:
        places = [root / wanted]
    for place in places:
        if place.exists():
            return str(place.absolute())
    tried = " and ".join(str(place) for place in places)
    known = sorted(p.name for p in (root / "inventories").glob("*") if p.is_dir())
    hint = f"; in inventories/ there are: {', '.join(known)}" if known else ""
    raise InputError(f"no inventory at {tried}: give one with -i{hint}")


def state_dir(root: Path) -> Path:
    """The controller's state folder; not necessarily there yet."""
    return root / ".holdfast"


def default_runs_dir(root: Path) -> Path:
    """Where run folders go when nobody says otherwise."""
    return state_dir(root) / "runs"


def find_playbook(root: Path, name: str) -> Path:
    """``playbooks/<name>``.

    Raises:
        InputError: it is not there.
    """
    path = root / "playbooks" / name
    if not path.is_file():
        raise InputError(f"no playbook {path}: this checkout is incomplete or older than this command")
    return path


def scripts_dir() -> Path:
    """The folder with the ``ansible-*`` programs that belong to this Python. A venv's link is not followed."""
    return Path(sys.executable).parent


def git_commit(root: Path) -> str | None:
    """The checked-out commit, or ``None`` outside git or before the first commit."""
    if not (root / ".git").exists():
        return None
    try:
        argv = ["git", "-C", str(root), "rev-parse", "--verify", "HEAD"]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None
