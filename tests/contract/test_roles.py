"""Every role keeps the promises of ARCHITECTURE.md: the same shape, the same verbs, nothing swallowed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROLES = Path(__file__).resolve().parents[2] / "roles"
CLUSTERED = ("etcd", "postgres", "rabbitmq", "redis", "redis_sentinel")
VERBS = ("main", "preflight", "drain", "undrain", "upgrade", "restart", "verify")
INCLUDES = {f"ansible.builtin.{name}" for name in ("include_tasks", "import_tasks", "include_role", "import_role")}
#: What a role may take beside its own variables: everything else is global state by another name.
HANDED_IN = {"service_contract_service", "service_id"}
MAIN_LINES, TOPIC_LINES = 60, 120

Findings = list[str]
Check = Callable[[Path], Findings]


def load(path: Path) -> Any:
    return yaml.load(path.read_text(encoding="utf-8"), yaml.CSafeLoader) if path.exists() else None


def specs(role: Path) -> dict[str, Any]:
    return dict((load(role / "meta/argument_specs.yml") or {}).get("argument_specs") or {})


def options(role: Path) -> dict[str, dict[str, Any]]:
    """All options of all entry points by name; entry points that share one have to agree, which check_defaults says."""
    return {name: spec for entry in specs(role).values() for name, spec in (entry.get("options") or {}).items()}


def flat(tasks: list[dict[str, Any]] | None) -> Iterator[dict[str, Any]]:
    for task in tasks or []:
        yield task
        for part in ("block", "rescue", "always"):
            yield from flat(task.get(part))


def task_files(role: Path) -> dict[str, list[dict[str, Any]]]:
    return {path.stem: list(flat(load(path))) for path in sorted((role / "tasks").rglob("*.yml"))}


def texts(role: Path) -> Iterator[tuple[str, str]]:
    for part in ("defaults", "handlers", "tasks", "templates", "vars"):
        for path in sorted((role / part).rglob("*")):
            if path.is_file():
                yield str(path.relative_to(role)), path.read_text(encoding="utf-8")


def check_entry_points(role: Path) -> Findings:
    """Every entry point has a spec and a file. An entry point is main, a verb, or what anyone calls with tasks_from."""
    declared, files = set(specs(role)), set(task_files(role))
    called = {
        str(name)
        for pattern in ("playbooks/*.yml", "molecule/*/*.yml", "roles/*/tasks/*.yml")
        for path in role.parent.parent.glob(pattern)
        for name in re.findall(rf"{role.name}\n\s+tasks_from: (\w+)", path.read_text(encoding="utf-8"))
    }
    entries = (files & set(VERBS)) | called
    return (
        [f"no spec for entry point {name}" for name in sorted(entries - declared)]
        + [f"a spec for {name}, but no tasks/{name}.yml" for name in sorted(declared - files)]
        + ([] if "main" in declared else ["no spec for entry point main"])
    )


def check_verbs(role: Path) -> Findings:
    if role.name not in CLUSTERED:
        return []
    missing = [verb for verb in VERBS if verb not in specs(role) or verb not in task_files(role)]
    return [f"a clustered role without the verb {verb}" for verb in missing]


def check_defaults(role: Path) -> Findings:
    """defaults/main.yml and the specs name the same variables, with the same default where the spec states one."""
    defaults = load(role / "defaults/main.yml") or {}
    found = []
    for entry, spec in specs(role).items():
        for name, option in (spec.get("options") or {}).items():
            if name in HANDED_IN:
                continue
            if name not in defaults and not option.get("required"):
                found.append(f"{entry}: {name} is optional, but defaults/main.yml does not have it")
            if "default" in option and name in defaults and option["default"] != defaults[name]:
                found.append(
                    f"{entry}: {name} is {option['default']!r} in the spec, {defaults[name]!r} in the defaults"
                )
            if not option.get("description"):
                found.append(f"{entry}: {name} has no description")
    return found + [f"{name} is in the defaults, but in no spec" for name in sorted(set(defaults) - set(options(role)))]


def check_contents(role: Path) -> Findings:
    """tasks/main.yml is a table of contents; topic files stay readable."""
    found = []
    for path in sorted((role / "tasks").rglob("*.yml")):
        lines, limit = len(path.read_text().splitlines()), MAIN_LINES if path.stem == "main" else TOPIC_LINES
        if lines > limit:
            found.append(f"tasks/{path.name} has {lines} lines, {limit} is the most")
    found += [
        f"tasks/main.yml does something itself: {task.get('name')}"
        for task in task_files(role).get("main", [])
        if not INCLUDES & set(task) and "block" not in task
    ]
    return found


def check_names(role: Path) -> Findings:
    """A task's name begins with the topic it belongs to, so that a failure says where to look."""
    return [
        f"tasks/{stem}.yml: {task.get('name')!r} does not begin with {stem + ' | '!r}"
        for stem, tasks in task_files(role).items()
        for task in tasks
        if stem != "main" and not str(task.get("name", "")).startswith(f"{stem} | ")
    ]


def check_forbidden(role: Path) -> Findings:
    found = []
    for stem, tasks in task_files(role).items():
        for task in tasks:
            where = f"tasks/{stem}.yml: {task.get('name')}"
            found += [f"{where}: {key}" for key in ("ignore_errors", "ignore_unreachable") if task.get(key)]
            if task.get("failed_when") is False:
                found.append(f"{where}: failed_when: false")
            found += [f"{where}: {key}" for key in task if key.rpartition(".")[2] == "pause"]
            source = next((str((task[key] or {}).get("tasks_from", "")) for key in task if key.endswith("_role")), "")
            if Path(source).suffix:
                found.append(f"{where}: tasks_from: {source} (the extension switches argument validation off)")
    return found


def check_variables(role: Path) -> Findings:
    """Public variables are `<role>_x`, all others `__<role>_x`; nobody reads another role's internal ones."""
    inner, found = f"__{role.name}_", []
    for stem, tasks in task_files(role).items():
        for task in tasks:
            own = [task.get("register"), (task.get("loop_control") or {}).get("loop_var")]
            own += [] if any(key.endswith("_role") for key in task) else list(task.get("vars") or {})
            found += [
                f"tasks/{stem}.yml: {name} should begin with {inner}"
                for name in own
                if name and not name.startswith(inner)
            ]
            for name in task.get("ansible.builtin.set_fact") or {}:
                if name != "cacheable" and not name.startswith((inner, f"{role.name}_")):
                    found.append(f"tasks/{stem}.yml: {name} should begin with {inner} or {role.name}_")
    for path in sorted((role / "vars").rglob("*.yml")):
        found += [
            f"vars/{path.name}: {name} should begin with {inner}"
            for name in load(path) or {}
            if not name.startswith(inner)
        ]
    for name in load(role / "defaults/main.yml") or {}:
        if not name.startswith(f"{role.name}_") and name not in HANDED_IN:
            found.append(f"defaults/main.yml: {name} should begin with {role.name}_")
    for path, text in texts(role):
        for name in sorted(set(re.findall(r"(?<!\w)__[a-z]\w*", text))):
            if not name.startswith(inner) and not name.endswith("__"):
                found.append(f"{path}: {name} belongs to somebody else")
    return found


def check_groups(role: Path) -> Findings:
    """Group names are the inventory's to choose."""
    literal = re.compile(
        r"\bgroups\s*(\[\s*['\"]|\.\s*(?!get\b|keys\b|values\b|items\b)[a-z])|['\"]\w+['\"]\s+(not )?in\s+group_names"
    )
    return [
        f"{path}: a hard-coded group name: {match[0]}" for path, text in texts(role) for match in literal.finditer(text)
    ]


CHECKS: dict[str, Check] = {
    check.__name__: check
    for check in (
        check_entry_points,
        check_verbs,
        check_defaults,
        check_contents,
        check_names,
        check_forbidden,
        check_variables,
        check_groups,
    )
}


@pytest.mark.parametrize("name", sorted(path.name for path in ROLES.iterdir() if path.is_dir()))
@pytest.mark.parametrize("check", sorted(CHECKS))
def test_role(name: str, check: str) -> None:
    assert CHECKS[check](ROLES / name) == []


def test_all_clustered_roles_exist() -> None:
    assert [name for name in CLUSTERED if not (ROLES / name).is_dir()] == []


# -- the checks themselves: each has to notice its own kind of damage --------------------------------------------------

GOOD = {
    "meta/argument_specs.yml": (
        "argument_specs:\n"
        + "".join(
            f"  {verb}: {{options: {{etcd_size: {{type: int, default: 3, description: Size.}}}}}}\n" for verb in VERBS
        )
    ),
    "defaults/main.yml": "etcd_size: 3\n",
    "vars/main.yml": "__etcd_port: 1\n",
    "tasks/main.yml": "- name: Include converge\n  ansible.builtin.include_tasks: converge.yml\n",
    "tasks/converge.yml": (
        "- name: converge | Do it\n  ansible.builtin.command: /bin/true\n  register: __etcd_done\n"
        "  when: __etcd_port > etcd_size\n"
    ),
} | {f"tasks/{verb}.yml": f"- name: {verb} | Do it\n  ansible.builtin.ping:\n" for verb in VERBS if verb != "main"}

BROKEN: dict[str, tuple[str, dict[str, str]]] = {
    "an entry point without a spec": (
        "check_entry_points",
        {"meta/argument_specs.yml": "argument_specs: {main: {}}\n"},
    ),
    "a spec file is missing": ("check_entry_points", {"meta/argument_specs.yml": ""}),
    "a spec without a task file": (
        "check_entry_points",
        {"meta/argument_specs.yml": GOOD["meta/argument_specs.yml"] + "  dance: {}\n"},
    ),
    "tasks_from of a playbook": (
        "check_entry_points",
        {
            "../../playbooks/site.yml": "- name: x\n  include_role:\n    name: holdfast.stateful.etcd\n"
            "    tasks_from: converge\n"
        },
    ),
    "a verb is missing": (
        "check_verbs",
        {"tasks/drain.yml": ""} | {"meta/argument_specs.yml": "argument_specs: {main: {}}\n"},
    ),
    "a default is not in the spec": ("check_defaults", {"defaults/main.yml": "etcd_size: 3\netcd_more: 1\n"}),
    "an option is not in the defaults": ("check_defaults", {"defaults/main.yml": ""}),
    "defaults differ": ("check_defaults", {"defaults/main.yml": "etcd_size: 4\n"}),
    "an option without a description": (
        "check_defaults",
        {"meta/argument_specs.yml": "argument_specs: {main: {options: {etcd_size: {type: int}}}}\n"},
    ),
    "main does something": ("check_contents", {"tasks/main.yml": "- name: Do it\n  ansible.builtin.ping:\n"}),
    "main is too long": ("check_contents", {"tasks/main.yml": GOOD["tasks/main.yml"] + "#\n" * 60}),
    "a topic file is too long": ("check_contents", {"tasks/converge.yml": GOOD["tasks/converge.yml"] + "#\n" * 120}),
    "a task without its topic": ("check_names", {"tasks/converge.yml": "- name: Do it\n  ansible.builtin.ping:\n"}),
    "a task in a block": (
        "check_names",
        {"tasks/converge.yml": "- name: converge | All\n  block:\n    - name: Do it\n      ansible.builtin.ping:\n"},
    ),
    "ignore_errors": (
        "check_forbidden",
        {"tasks/converge.yml": "- name: converge | Do it\n  ansible.builtin.ping:\n  ignore_errors: true\n"},
    ),
    "failed_when: false": (
        "check_forbidden",
        {"tasks/converge.yml": "- name: converge | Do it\n  ansible.builtin.ping:\n  failed_when: false\n"},
    ),
    "pause": (
        "check_forbidden",
        {"tasks/converge.yml": "- name: converge | Wait\n  ansible.builtin.pause: {seconds: 9}\n"},
    ),
    "tasks_from with an extension": (
        "check_forbidden",
        {
            "tasks/converge.yml": "- name: converge | x\n  ansible.builtin.include_role:\n"
            "    {name: x, tasks_from: drain.yml}\n"
        },
    ),
    "a registered variable without prefix": (
        "check_variables",
        {"tasks/converge.yml": "- name: converge | x\n  ansible.builtin.ping:\n  register: result\n"},
    ),
    "a fact without prefix": (
        "check_variables",
        {"tasks/converge.yml": "- name: converge | x\n  ansible.builtin.set_fact: {leader: me}\n"},
    ),
    "a variable of the role without prefix": ("check_variables", {"vars/main.yml": "etcd_port: 1\n"}),
    "a default without prefix": ("check_variables", {"defaults/main.yml": "size: 3\n"}),
    "another role's variable": ("check_variables", {"templates/x.j2": "{{ __postgres_port }}\n"}),
    "a group by subscript": ("check_groups", {"templates/x.j2": "{{ groups['database'] }}\n"}),
    "a group by attribute": ("check_groups", {"vars/main.yml": "__etcd_x: '{{ groups.database }}'\n"}),
    "membership in a group": (
        "check_groups",
        {"tasks/converge.yml": "- name: converge | x\n  ansible.builtin.ping:\n  when: \"'db' in group_names\"\n"},
    ),
}


def make(root: Path, files: dict[str, str]) -> Path:
    role = root / "roles" / "etcd"
    for name, text in (GOOD | files).items():
        path = role / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return role


@pytest.mark.parametrize("check", sorted(CHECKS))
def test_a_good_role_passes(check: str, tmp_path: Path) -> None:
    assert CHECKS[check](make(tmp_path, {})) == []


@pytest.mark.parametrize("damage", sorted(BROKEN))
def test_a_damaged_role_does_not(damage: str, tmp_path: Path) -> None:
    check, files = BROKEN[damage]
    assert CHECKS[check](make(tmp_path, files))
