"""SIGKILL the controller at random points of the first run; the next run must complete it."""

from __future__ import annotations

import os
import random
import signal
import subprocess

import harness
import pytest

REPEATS = 10 if harness.FULL else 1
#: Tasks of a first run; only steers where kills fall, and is corrected by a run that ends earlier.
FIRST_RUN_TASKS = 84


def fresh_hosts() -> None:
    """Destroy the lab and make it anew."""
    for name in ("destroy_lab.yml", "create_lab.yml"):
        done = harness.run_playbook(name)
        assert done.code == 0, done.output[-2000:]


def kill_at_task(number: int, delay: float) -> int:
    """Run site.yml and SIGKILL it and all its workers `delay` seconds into the task; return how many tasks had begun.

    Returns a negative count when the run ended before that task.
    """
    process = subprocess.Popen(
        harness.playbook_argv("site.yml"),
        cwd=harness.ROOT,
        env=harness.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    begun = 0
    assert process.stdout is not None
    for line in process.stdout:
        begun += line.startswith("TASK [")
        if begun >= number:
            try:
                process.wait(timeout=delay)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                return begun
            break
    process.stdout.read()
    assert process.wait() == 0, "the run failed before it was to be killed"
    return -begun


@pytest.mark.parametrize("repeat", range(REPEATS))
def test_rerun_completes(repeat):
    dice = random.Random()  # noqa: S311 - where to kill is no secret
    tasks = FIRST_RUN_TASKS
    while True:
        fresh_hosts()
        number, delay = dice.randint(1, tasks), dice.uniform(0.0, 1.5)
        begun = kill_at_task(number, delay)
        if begun > 0:
            break
        tasks = -begun
    print(f"killed {delay:.2f} s into task {number} of about {tasks}")
    completed = harness.run_playbook("site.yml")
    assert completed.code == 0, f"killed at task {number} + {delay:.2f} s: {completed.output[-4000:]}"
    proof = harness.holdfast("prove")
    assert proof.returncode == 0, f"killed at task {number} + {delay:.2f} s: {proof.stdout}{proof.stderr}"
    again = harness.run_playbook("site.yml")
    assert (again.code, again.changed) == (0, []), f"killed at task {number} + {delay:.2f} s"
