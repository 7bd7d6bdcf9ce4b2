"""Real client programs: found on PATH or the test is skipped, run with a deadline."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

DEADLINE_S = 300.0


def need(program: str, package: str = "") -> str:
    """The program's path; skips the test with the package that brings it."""
    found = shutil.which(program)
    if found is None:
        pytest.skip(f"{program} is not installed (apt-get install {package or program})")
    return found


def run(
    *arguments: str | Path, environment: Mapping[str, str], deadline_s: float = DEADLINE_S
) -> str:
    """Standard output of a client that must succeed; its errors are in the failure's note."""
    done = subprocess.run(
        [str(argument) for argument in arguments],
        env=dict(environment),
        capture_output=True,
        text=True,
        timeout=deadline_s,
        check=False,
    )
    assert done.returncode == 0, f"{arguments}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout
