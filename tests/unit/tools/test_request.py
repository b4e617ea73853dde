from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
from holdfast.exit_codes import InputError
from holdfast.request import RunRequest

MakeRequest = Callable[..., RunRequest]


@pytest.fixture(autouse=True)
def site(playbook: Callable[[str, str], Path]) -> None:
    playbook("site.yml", "- ansible.builtin.debug: {}\n")


def test_a_request_cannot_change(make_request: MakeRequest) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        make_request().limit = "all"  # type: ignore[misc]


def test_options_become_ansibles(make_request: MakeRequest) -> None:
    request = make_request(check=True, diff=True, service="orders-db", extravars=(("a", "b"),))
    assert request.command_line() == "--check --diff"
    assert request.all_extravars() == {"holdfast_service": "orders-db", "a": "b"}
    assert make_request().command_line() == ""
    assert make_request().all_extravars() == {}


@pytest.mark.parametrize(("name", "value"), [("limit", "-e x=y"), ("tags", " "), ("service", "--help"), ("limit", "")])
def test_what_ansible_would_read_as_an_option_is_refused(make_request: MakeRequest, name: str, value: str) -> None:
    with pytest.raises(InputError, match="expected a name"):
        make_request(**{name: value})


def test_a_missing_playbook_is_refused(make_request: MakeRequest) -> None:
    with pytest.raises(InputError, match="no playbook"):
        make_request("nothing.yml")
