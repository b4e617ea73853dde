"""A package comes from the declared source that its key verifies, nothing else does, and a refusal leaves no trace."""

from __future__ import annotations

import json
import re

import apt_repository
import harness
import pytest
import testinfra

SIGNED, UNSIGNED, NEWER = "/srv/holdfast-signed", "/srv/holdfast-unsigned", "/srv/holdfast-newer"
# A program with data, a tool that works with its version alone, and what else the sources offer.
STORE, TOOL = "holdfast-store", "holdfast-store-tool"
OFFERED = {"holdfast-probe": "", "holdfast-other": "", STORE: ""}
FILES = (
    "/etc/apt/sources.list.d/holdfast.sources",
    "/etc/apt/preferences.d/holdfast",
    "/etc/apt/preferences.d/holdfast-mirror",
    "/etc/apt/apt.conf.d/53holdfast-mirror",
    "/etc/apt/holdfast.sources.d/mirror.sources",
)


@pytest.fixture(scope="module")
def lab1(request):
    return testinfra.get_host("ssh://lab1", ssh_config=request.config.option.ssh_config, sudo=True)


@pytest.fixture(scope="module")
def keys(lab1, request):
    """Bring repositories to the host, and return the right key and another one."""
    with apt_repository.signers("right", "other") as (folder, (right, other)):
        apt_repository.make(folder / "holdfast-signed", right, {**OFFERED, TOOL: f"{STORE} (= 1.0)"})
        apt_repository.make(folder / "holdfast-newer", right, {**OFFERED, TOOL: f"{STORE} (= 2.0)"}, version="2.0")
        apt_repository.make(folder / "holdfast-unsigned", None, OFFERED)
        names = ("holdfast-signed", "holdfast-newer", "holdfast-unsigned")
        apt_repository.bring(folder, names, ["ssh", "-F", request.config.option.ssh_config, "lab1"])
        yield {"right": right, "other": other, "folder": folder}
        apply(keys={"folder": folder})
        lab1.check_output(f"rm -rf {SIGNED} {UNSIGNED} {NEWER}; dpkg --purge holdfast-probe {STORE} {TOOL}")


def source(signer, path=SIGNED, packages=("holdfast-probe",), **changes):
    return apt_repository.declared(path, signer, packages, **changes)


def apply(kind="distro", *sources, keys, packages=()):
    """Run the scenario's playbook with sources declared."""
    variables = {
        "host_baseline_package_source": kind,
        "host_baseline_package_sources": list(sources),
        "host_baseline_packages": list(packages),
    }
    path = keys["folder"] / "variables.json"
    path.write_text(json.dumps(variables))
    return harness.run_playbook("../molecule/package_source/converge.yml", "-e", f"@{path}")


def traces(host):
    return [path for path in FILES if host.file(path).exists]


def test_a_declared_package_comes_from_the_vendor_and_no_other(lab1, keys):
    seen = apply("vendor", source(keys["right"]), keys=keys, packages=["holdfast-probe"])
    assert seen.code == 0, seen.output[-3000:]
    assert lab1.package("holdfast-probe").version == "1.0"
    assert "Candidate: (none)" in lab1.check_output("LC_ALL=C apt-cache policy holdfast-other")
    assert "Candidate: (none)" not in lab1.check_output("LC_ALL=C apt-cache policy openssl")
    again = apply("vendor", source(keys["right"]), keys=keys, packages=["holdfast-probe"])
    assert again.code == 0, again.output[-3000:]
    assert again.changed == []


def test_back_to_the_distribution_nothing_is_left(lab1, keys):
    seen = apply(keys=keys)
    assert seen.code == 0, seen.output[-3000:]
    assert traces(lab1) == []


@pytest.mark.parametrize(
    ("case", "said"),
    [
        ("unsigned", "not signed|can't be done securely"),
        ("signed by somebody else", "NO_PUBKEY|Missing key|not signed|can't be done securely"),
        ("known by another release", "expected release o=Somebody to match"),
        ("not there", "does not have a Release file|expected indexes"),
    ],
)
def test_a_source_that_is_not_what_was_declared_is_refused(lab1, keys, case, said):
    declared = {
        "unsigned": source(keys["right"], UNSIGNED),
        "signed by somebody else": source(keys["other"]),
        "known by another release": source(keys["right"], release="o=Somebody"),
        "not there": source(keys["right"], "/srv/holdfast-nowhere"),
    }[case]
    lab1.check_output("dpkg --purge holdfast-probe")
    seen = apply("vendor", declared, keys=keys, packages=["holdfast-probe"])
    assert seen.code != 0, f"{case}: was accepted"
    assert "no package was installed" in seen.output
    assert re.search(said, seen.output), seen.said
    assert traces(lab1) == []
    assert not lab1.package("holdfast-probe").is_installed
    lab1.check_output("apt-get update -qq")


@pytest.mark.parametrize(
    ("kind", "changes", "said"),
    [
        ("vendor", {"key": ""}, "no source is read unsigned"),
        ("vendor", {"key": None, "key_file": "/nowhere/key.asc"}, "found none in /nowhere/key.asc"),
        ("vendor", {"uris": ["http://a.example.invalid/x [trusted=yes]"]}, "expected uris such as"),
        ("vendor", {"packages": []}, "a vendor may replace nothing else"),
        ("distro", {}, "expected no declared sources"),
        ("elsewhere", {}, "value of host_baseline_package_source must be one of"),
        ("vendor", {"trusted": True}, "trusted"),
    ],
)
def test_bad_input_is_refused_before_a_change(lab1, keys, kind, changes, said):
    seen = apply(kind, source(keys["right"], **changes), keys=keys)
    assert seen.code != 0, "was accepted"
    assert said in seen.output
    assert seen.changed == []
    assert traces(lab1) == []


def test_a_mirror_is_all_that_apt_reads(lab1, keys):
    seen = apply("mirror", source(keys["right"], packages=[], release=None), keys=keys, packages=["holdfast-other"])
    assert seen.code == 0, seen.output[-3000:]
    offers = [line.split()[1] for line in lab1.check_output("LC_ALL=C apt-cache policy").splitlines() if ":/" in line]
    assert offers == [f"file:{SIGNED}"]
    assert lab1.package("holdfast-other").is_installed
    again = apply("mirror", source(keys["right"], packages=[], release=None), keys=keys)
    assert again.changed == []
    lab1.check_output("dpkg --purge holdfast-other")
    # Back again, and a package that only the distribution has is found without anybody's help.
    lab1.check_output("dpkg --purge hello")
    back = apply(keys=keys, packages=["hello"])
    assert back.code == 0, back.output[-3000:]
    assert lab1.package("hello").is_installed
    lab1.check_output("dpkg --purge hello")


def versions(host):
    """Return what is installed of the program and its tool."""
    found = {name: host.package(name) for name in (STORE, TOOL)}
    return {name: package.version for name, package in found.items() if package.is_installed}


@pytest.mark.parametrize(("first", "then"), [(SIGNED, NEWER), (NEWER, SIGNED)], ids=["newer", "older"])
def test_another_source_upgrades_and_downgrades_nothing_that_is_there(lab1, keys, first, then):
    """Neither by being declared, nor because something new would need another version; nor does the way back."""
    version, other = ("1.0", "2.0") if first == SIGNED else ("2.0", "1.0")
    lab1.check_output(f"dpkg --purge {STORE} {TOOL}")
    begun = apply("vendor", source(keys["right"], first, [f"{STORE}*"]), keys=keys, packages=[STORE])
    assert begun.code == 0, begun.output[-3000:]
    assert versions(lab1) == {STORE: version}

    moved = apply("vendor", source(keys["right"], then, [f"{STORE}*"]), keys=keys, packages=[STORE])
    assert moved.code == 0, moved.output[-3000:]
    assert other in lab1.check_output(f"LC_ALL=C apt-cache madison {STORE}"), "the other version is not offered"
    refused = apply("vendor", source(keys["right"], then, [f"{STORE}*"]), keys=keys, packages=[STORE, TOOL])
    assert refused.code != 0, f"the tool came, with {versions(lab1)}"
    assert f"beside {STORE}={version}, which no installation upgrades, downgrades or removes" in refused.output
    assert versions(lab1) == {STORE: version}

    back = apply(keys=keys, packages=[STORE])
    assert back.code == 0, back.output[-3000:]
    again = apply(keys=keys, packages=[STORE])
    assert (again.code, again.changed) == (0, []), again.output[-3000:]
    assert versions(lab1) == {STORE: version}

    fitting = apply("vendor", source(keys["right"], first, [f"{STORE}*"]), keys=keys, packages=[STORE, TOOL])
    assert fitting.code == 0, fitting.output[-3000:]
    assert versions(lab1) == {STORE: version, TOOL: version}
