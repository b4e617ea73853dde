"""Playbooks read as stories: short, only roles and module calls, and they parse with the inventories they are for."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

PLAYBOOKS = Path(__file__).resolve().parents[2] / "playbooks"
LINES = 120
#: Everything else is verb_noun.yml.
NAMED_OTHERWISE = {"site"}
#: What hides a story in another file, or in a language of its own.
NOT_A_STORY = {"include_tasks", "import_tasks", "command", "shell", "raw", "script", "expect", "pause", "include_vars"}
SWALLOWS = ("ignore_errors",)

Findings = list[str]


def plays(path: Path) -> list[dict[str, Any]]:
    return list(yaml.load(path.read_text(encoding="utf-8"), yaml.CSafeLoader) or [])


def tasks(play: dict[str, Any]) -> Iterator[dict[str, Any]]:
    waiting = [task for part in ("pre_tasks", "tasks", "post_tasks", "handlers") for task in play.get(part) or []]
    while waiting:
        task = waiting.pop(0)
        yield task
        waiting += [inner for part in ("block", "rescue", "always") for inner in task.get(part) or []]


def for_labs_only(path: Path) -> bool:
    """Playbooks about the lab's own hosts mean nothing for hosts that an inventory of yours names."""
    return path.stem.endswith("_lab")


def check_playbook(path: Path) -> Findings:
    found = []
    lines = len(path.read_text(encoding="utf-8").splitlines())
    if lines > LINES:
        found.append(f"{lines} lines, {LINES} is the most")
    if path.stem not in NAMED_OTHERWISE and not re.fullmatch(r"[a-z]+(_[a-z]+)+", path.stem):
        found.append("the name is not verb_noun.yml")
    for play in plays(path):
        if "name" not in play:
            found.append("a play without a name")
        if (
            "gather_facts" not in play
            and "import_playbook" not in play
            and "ansible.builtin.import_playbook" not in play
        ):
            found.append(f"{play.get('name')}: gather_facts is left to the configuration")
        # One refuses, all stop: also where another ansible.cfg rules, or none.
        if play.get("hosts", "localhost") != "localhost" and not isinstance(play.get("any_errors_fatal"), bool):
            found.append(f"{play.get('name')}: any_errors_fatal is left to the configuration")
        for task in tasks(play):
            where = f"{play.get('name')}: {task.get('name')}"
            if "name" not in task and "block" not in task:
                found.append(f"{where}: a task without a name")
            found += [f"{where}: {key}" for key in task if key.rpartition(".")[2] in NOT_A_STORY]
            found += [f"{where}: {key}" for key in SWALLOWS if task.get(key)]
            if task.get("failed_when") is False:
                found.append(f"{where}: failed_when: false")
            source = next((str((task[key] or {}).get("tasks_from", "")) for key in task if key.endswith("_role")), "")
            if Path(source).suffix:
                found.append(f"{where}: tasks_from: {source}")
    return found


def syntax(playbooks: list[Path], inventory: Path, environment: dict[str, str], root: Path) -> str:
    """Return what `ansible-playbook --syntax-check` complains about; it stops at the first playbook that is wrong."""
    command = ["ansible-playbook", "--inventory", str(inventory), "--syntax-check", *map(str, playbooks)]
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stderr[-2000:] or done.stdout[-2000:] or "no message"


@pytest.mark.parametrize("name", sorted(path.name for path in PLAYBOOKS.glob("*.yml")))
def test_playbook(name: str) -> None:
    assert check_playbook(PLAYBOOKS / name) == []


@pytest.mark.parametrize("inventory", ["lab", "example"])
def test_syntax(inventory: str, root: Path, ansible: dict[str, str]) -> None:
    made_for = [path for path in sorted(PLAYBOOKS.glob("*.yml")) if inventory == "lab" or not for_labs_only(path)]
    assert len(made_for) > 3
    assert syntax(made_for, root / "inventories" / inventory, ansible, root) == ""


PLAY = "- name: A play\n  hosts: all\n  gather_facts: false\n  any_errors_fatal: true\n  tasks:\n"
BROKEN = {
    "too long": ("show_x.yml", PLAY + "#\n" * LINES),
    "not a verb and a noun": ("status.yml", PLAY),
    "a play without a name": ("show_x.yml", "- hosts: all\n  gather_facts: false\n  any_errors_fatal: true\n"),
    "facts by default": ("show_x.yml", "- name: A play\n  hosts: all\n  any_errors_fatal: true\n"),
    "errors by default": ("show_x.yml", "- name: A play\n  hosts: all\n  gather_facts: false\n"),
    "a task without a name": ("show_x.yml", PLAY + "    - ansible.builtin.ping:\n"),
    "a command": ("show_x.yml", PLAY + "    - name: Do\n      ansible.builtin.command: /bin/true\n"),
    "a story elsewhere": ("show_x.yml", PLAY + "    - name: Do\n      ansible.builtin.include_tasks: x.yml\n"),
    "inside a block": (
        "show_x.yml",
        PLAY + "    - name: Do\n      block:\n        - name: Do\n          ansible.builtin.shell: x\n",
    ),
    "ignored": ("show_x.yml", PLAY + "    - name: Do\n      ansible.builtin.ping:\n      ignore_errors: true\n"),
    "never fails": ("show_x.yml", PLAY + "    - name: Do\n      ansible.builtin.ping:\n      failed_when: false\n"),
    "an extension": (
        "show_x.yml",
        PLAY + "    - name: Do\n      ansible.builtin.include_role: {name: x, tasks_from: drain.yml}\n",
    ),
}


@pytest.mark.parametrize("damage", sorted(BROKEN))
def test_a_damaged_playbook_is_noticed(damage: str, tmp_path: Path) -> None:
    name, text = BROKEN[damage]
    (tmp_path / name).write_text(text)
    assert check_playbook(tmp_path / name)


def test_a_good_playbook_passes(tmp_path: Path) -> None:
    (tmp_path / "show_x.yml").write_text(PLAY + "    - name: Do\n      ansible.builtin.ping:\n")
    assert check_playbook(tmp_path / "show_x.yml") == []


def test_a_syntax_error_is_noticed(tmp_path: Path, root: Path, ansible: dict[str, str]) -> None:
    (tmp_path / "show_x.yml").write_text(PLAY + "    - name: Do\n      holdfast.stateful.no_such_module:\n")
    assert "no_such_module" in syntax([tmp_path / "show_x.yml"], root / "inventories/example", ansible, root)


#: They end an outage, or must not be held up by one: a dead host that they have nothing to ask stops none of them.
WORK_WHILE_HOSTS_ARE_DOWN = ("pause_postgres", "reinit_postgres_replica", "remove_postgres_member", "resume_postgres")


@pytest.mark.parametrize("name", WORK_WHILE_HOSTS_ARE_DOWN)
def test_what_works_while_hosts_are_down_finds_the_service_without_asking_any(name: str) -> None:
    imported = [play.get("ansible.builtin.import_playbook") for play in plays(PLAYBOOKS / f"{name}.yml")]
    assert [item for item in imported if item] == ["find_postgres.yml"]


def test_resuming_goes_on_without_a_member_that_is_down(root: Path) -> None:
    play = next(play for play in plays(PLAYBOOKS / "resume_postgres.yml") if "hosts" in play)
    assert play["any_errors_fatal"] is False
    resume = yaml.safe_load((root / "roles/postgres/tasks/resume.yml").read_text())
    assert not any(task.get("run_once") for task in resume), "the one host that is chosen may be the one that is down"


@pytest.mark.parametrize(("limit", "found"), [("all", "lab1,lab2,lab3"), ("!lab3", "lab1,lab2")])
def test_a_service_is_found_while_every_host_is_down(
    limit: str, found: str, tmp_path: Path, root: Path, ansible: dict[str, str]
) -> None:
    show = tmp_path / "show_x.yml"
    show.write_text(
        f"- name: Find\n  ansible.builtin.import_playbook: {root}/playbooks/find_postgres.yml\n"
        "- name: Show\n  hosts: selected_postgres:&selected_etcd\n  gather_facts: false\n  tasks:\n"
        "    - name: Show\n      ansible.builtin.debug:\n"
        "        msg: \"{{ service_contract_service.service }}={{ ansible_play_hosts | sort | join(',') }}=\"\n"
    )
    # Hosts of a lab that nobody has made: whatever was asked of them would fail.
    command = ["ansible-playbook", "--inventory", str(root / "inventories/lab"), "--limit", limit, str(show)]
    done = subprocess.run(
        [*command, "--extra-vars", "holdfast_service=orders-db"],
        cwd=root, env={**ansible, "HOLDFAST_LAB": "nowhere"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"orders-db={found}=" in done.stdout
