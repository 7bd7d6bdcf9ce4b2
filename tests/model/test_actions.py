"""Each action of the specifications is named in the code that does it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ENGINE = HERE.parents[1] / "engine" / "trilith"
# What the world does, not the code: time, losses, crashes, an end at which nothing is left to do.
OF_THE_WORLD = {"Pass", "Lose", "Tick", "Done", "Down"}
SETS = {"Nodes", "Parts", "WriteKeys", "Keys", "Last", "Len"}
CHARACTERS_BEFORE = 90  # a comment names its actions before it says of which model they are


def actions(specification: str) -> set[str]:
    text = (HERE / f"{specification}.tla").read_text("utf-8")
    found = re.search(r"^Next ==(.*?)\n(?:\n|(?=\S))", text, re.DOTALL | re.MULTILINE)
    assert found is not None
    return set(re.findall(r"\b[A-Z][A-Za-z]+\b", found[1])) - SETS - OF_THE_WORLD


def named() -> set[str]:
    found: set[str] = set()
    for file in ENGINE.rglob("*.py"):
        text = re.sub(r"\s*\n\s*(#\s)?", " ", file.read_text("utf-8"))
        for match in re.finditer(r"in the model|\w+\.tla|model of merges", text):
            before = text[max(0, match.start() - CHARACTERS_BEFORE) : match.start()]
            found.update(re.findall(r"\b[A-Z][A-Za-z]+\b", before))
    return found


@pytest.mark.parametrize("specification", ["Replication", "Lease", "Merging"])
def test_the_code_names_each_action(specification: str) -> None:
    wanted = actions(specification)
    assert len(wanted) > 3
    assert wanted - named() == set()
