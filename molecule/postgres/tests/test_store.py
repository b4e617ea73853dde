"""Each service has its own users in the consensus store: Patroni's stays in its scope, the hook may delete one key."""

from __future__ import annotations

import json

import pytest

# Runs on a member as root: etcdctl with the credentials that are configured there, whose passwords stay on the host.
ASK = """
import json, os, re, subprocess, sys
hook = json.load(open("/etc/patroni/release_leader_key.json"))["etcd"]
text = open("/etc/patroni/config.yml").read()
store = text[text.index("etcd3:"):text.index("bootstrap:")]
patroni = {key: json.loads(re.search(key + ": (.*)", store)[1]) for key in ("username", "password")}
users = {
    "nobody": "",
    "patroni": patroni["username"] + ":" + patroni["password"],
    "hook": hook["user"] + ":" + hook["password"],
    "wrong": patroni["username"] + ":not-the-password",
}
done = subprocess.run(
    ["etcdctl", "--endpoints=" + ",".join(hook["urls"]), "--cacert=" + hook["ca"], "--cert=" + hook["cert"],
     "--key=" + hook["key"], *sys.argv[2:]],
    env={**os.environ, "ETCDCTL_API": "3", **({"ETCDCTL_USER": users[sys.argv[1]]} if users[sys.argv[1]] else {})},
    capture_output=True, text=True,
)
print(json.dumps([done.returncode, done.stdout + done.stderr]))
"""
SCOPE = "/service/orders-db/"


@pytest.fixture
def ask(host):
    """Run etcdctl as somebody and return its exit code and what it said."""

    def run(user, *words):
        quoted = " ".join(f"'{word}'" for word in words)
        return json.loads(host.check_output(f"python3 - {user} {quoted} <<'END'\n{ASK}\nEND"))

    return run


@pytest.mark.parametrize("user", ["patroni", "hook"])
def test_both_see_who_leads(ask, user):
    code, said = ask(user, "get", SCOPE + "leader")
    assert code == 0, said
    assert "lab" in said


@pytest.mark.parametrize(
    ("user", "words", "said"),
    [
        ("nobody", ("get", SCOPE + "leader"), "permission denied"),
        ("wrong", ("get", SCOPE + "leader"), "invalid user ID or password"),
        ("patroni", ("get", "/service/another/leader"), "permission denied"),
        ("patroni", ("put", "/elsewhere", "x"), "permission denied"),
        ("patroni", ("user", "list"), "permission denied"),
        ("hook", ("put", SCOPE + "config", "{}"), "permission denied"),
        ("hook", ("del", SCOPE + "members/lab1"), "permission denied"),
        ("hook", ("del", SCOPE, "--prefix"), "permission denied"),
        ("hook", ("get", "/service/another/leader"), "permission denied"),
    ],
)
def test_everything_else_is_refused(ask, user, words, said):
    code, output = ask(user, *words)
    assert code != 0
    assert said in output


def test_the_hooks_files_are_not_for_everybody(host):
    assert host.file("/etc/patroni/release_leader_key.json").mode == 0o600
    assert host.run("su -s /bin/sh nobody -c 'cat /etc/patroni/release_leader_key.json'").rc != 0
