"""The blocking client is the asynchronous one, made from it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_blocking_client_is_up_to_date(tmp_path: Path) -> None:
    tool = ROOT / "tools" / "blocking_client.py"
    subprocess.run([sys.executable, tool, tmp_path], check=True, timeout=120)
    made = sorted(tmp_path.iterdir())
    assert made
    for path in made:
        committed = ROOT / "engine/trilith/client" / path.name
        assert path.read_text() == committed.read_text(), f"{path.name}: make blocking"
