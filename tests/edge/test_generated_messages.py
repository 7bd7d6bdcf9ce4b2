"""The committed messages are those of proto/."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GENERATOR_MISSING = 75


def test_the_generated_messages_are_up_to_date(tmp_path: Path) -> None:
    done = subprocess.run(
        [ROOT / "tools" / "generate_wire.sh", tmp_path],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    if done.returncode == GENERATOR_MISSING:
        pytest.skip("the generator of messages cannot be installed: is a package index reachable?")
    assert done.returncode == 0, done.stderr
    made = sorted((tmp_path / "trilith/wire/v1").iterdir())
    assert made
    committed = ROOT / "engine/trilith/wire/v1"
    assert [path.name for path in made] == sorted(
        path.name for path in committed.iterdir() if "_pb2" in path.name
    )
    for path in made:
        assert path.read_text() == (committed / path.name).read_text(), f"{path.name}: make proto"
