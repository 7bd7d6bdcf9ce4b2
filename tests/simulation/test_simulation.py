"""A fixed set of seeds, the same run twice, and a few known bugs that must be found.

Each runs in a process of its own, so that a run depends on nothing that other tests left behind.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
SEEDS = 24


def simulate(*arguments: str, code: str | None = None, hash_seed: str = "0") -> tuple[int, str]:
    command = [sys.executable, *(("-c", code) if code else ("-m", "tests.simulation")), *arguments]
    paths = [str(ROOT), str(ROOT / "engine"), str(ROOT / "native")]
    environment = {
        **os.environ,
        "PYTHONHASHSEED": hash_seed,
        "PYTHONPATH": os.pathsep.join(paths),
    }
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    return done.returncode, done.stdout + done.stderr


def test_a_fixed_set_of_seeds_keeps_every_promise() -> None:
    status, told = simulate("--first", "1", "--count", str(SEEDS), "--jobs", "2")
    assert status == 0, told


def test_objects_and_their_chunks_survive_killed_and_paused_nodes() -> None:
    status, told = simulate(
        *("--workload", "objects", "--kinds", "kill,pause"),
        *("--first", "1", "--count", "6", "--jobs", "2"),
    )
    assert status == 0, told


def test_objects_and_rows_written_together_are_one_under_any_faults() -> None:
    status, told = simulate(
        *("--workload", "together"), *("--first", "1", "--count", "8", "--jobs", "2")
    )
    assert status == 0, told


def test_the_last_zone_has_what_it_is_said_to_have_whatever_splits_it_missed() -> None:
    status, told = simulate(
        *("--workload", "survivor"), *("--first", "1", "--count", "40", "--jobs", "2")
    )
    assert status == 0, told


@pytest.mark.parametrize("seed", [7, 1028])
def test_a_seed_is_a_run(seed: int) -> None:
    """Equal traces, event for event, also where sets of strings iterate in another order."""
    code = (
        "from tests.simulation.run import run_registers\n"
        f"result = run_registers({seed}, keep_trace=True)\n"
        "print(*result.lines, result.digest, sep='\\n')\n"
    )
    first, second = simulate(code=code, hash_seed="0"), simulate(code=code, hash_seed="1")
    assert first[0] == 0, first[1]
    assert first[1].splitlines() == second[1].splitlines()


@pytest.mark.parametrize(
    "mutation",
    [
        "acknowledge_before_the_slowest",
        "read_before_it_is_applied",
        "commit_without_the_repairs",
        "complete_repairs_unseen",
    ],
)
def test_a_known_bug_is_found(mutation: str) -> None:
    """The table in tests/README.md has all of them: `make simulate MUTATION=... COUNT=100`."""
    status, told = simulate(
        "--first", "1", "--count", "40", "--jobs", "1", "--until-found", "--mutation", mutation
    )
    assert status == 1, told
    assert "make simulate SEED=" in told
