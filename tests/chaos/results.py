"""What each fault cost: kept in build/chaos-results.json, printed when the session ends."""

from __future__ import annotations

import json
from pathlib import Path

from .workload import Gaps

FILE = Path(__file__).parents[2] / "build" / "chaos-results.json"


def record(fault: str, gaps: Gaps | None, checked: str) -> None:
    """`gaps` None: nothing is promised of interruptions under this fault."""
    results = load()
    results[fault] = {
        "writes_s": None if gaps is None else round(gaps.writes_s, 2),
        "reads_s": None if gaps is None else round(gaps.reads_s, 2),
        "checked": checked,
    }
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_text(json.dumps(results, indent=1) + "\n")
    print(f"\n{fault}: {results[fault]}")


def load() -> dict[str, dict[str, object]]:
    found: dict[str, dict[str, object]] = json.loads(FILE.read_text()) if FILE.exists() else {}
    return found


def table() -> list[str]:
    """Lines of text, a fault each."""
    lines = [f"{'fault':<58} {'writes s':>8} {'reads s':>8}  checked"]
    for fault, found in load().items():
        figures = ["-" if found[k] is None else f"{found[k]}" for k in ("writes_s", "reads_s")]
        lines.append(f"{fault:<58} {figures[0]:>8} {figures[1]:>8}  {found['checked']}")
    return lines
