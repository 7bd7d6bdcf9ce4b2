"""The runs of Merging.tla: bounds, what is left out (a mutant), and what must come of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

HOLDS = "no error"
STUCK = "a deadlock"
INVARIANTS = ("ReadsAreCurrent", "OneAcknowledges", "Kept", "NoOverlap")


@dataclass(frozen=True)
class Merge:
    """One TLC run. `expect`: the invariant that it violates, STUCK, or HOLDS.

    `alike`: one node leads both partitions at first, so that the two others are alike.
    `writes`: one to B is done before anything else; the others are to `written`, by default B's
    key, which is the last one.
    """

    name: str
    expect: str = HOLDS
    without: tuple[str, ...] = ()
    alike: bool = False
    keys: int = 2
    writes: int = 1
    written: tuple[int, ...] = ()
    takeovers: int = 0
    downs: int = 0
    ups: int = 0
    lost: int = 0
    drops: int = 0
    splits: int = 0
    trims: int = 0
    invariants: tuple[str, ...] = INVARIANTS
    module: str = "Merging"
    options: tuple[str, ...] = field(default=())  # without -deadlock: the end must be a good one

    def wrapper(self) -> str:
        return "---- MODULE Root ----\nEXTENDS Merging\n====\n"

    def config(self) -> str:
        without = ", ".join(f'"{w}"' for w in self.without)
        written = ", ".join(map(str, self.written or (self.keys,)))
        return (
            "SPECIFICATION Spec\n"
            "CONSTANTS\n  Nodes = {a, b, c}\n  First = a\n"
            f"  Second = {'a' if self.alike else 'b'}\n  MaxKey = {self.keys}\n"
            f"  WriteKeys = {{{written}}}\n  MaxWrites = {self.writes}\n"
            f"  MaxTakeovers = {self.takeovers}\n  MaxDowns = {self.downs}\n"
            f"  MaxUps = {self.ups}\n  MaxLost = {self.lost}\n  MaxDrops = {self.drops}\n"
            f"  MaxSplits = {self.splits}\n  MaxTrims = {self.trims}\n  Without = {{{without}}}\n"
            + ("SYMMETRY Symmetry\n" if self.alike else "")
            + "".join(f"INVARIANT {i}\n" for i in self.invariants)
        )


def mutant(*without: str, expect: str, **bounds: Any) -> Merge:
    return Merge(f"merges without {' or '.join(without)}", expect, without, **bounds)


QUICK = (
    Merge("merge", writes=2, written=(1, 2)),
    Merge("merge, a takeover of either, one leader", alike=True, takeovers=1),
)

MAIN = (
    Merge("merge, a takeover of either", takeovers=1),
    Merge("merge, a node away for good", downs=1),
    Merge("merge, and a split", splits=1),
    Merge("merge by a child, or a split afterwards", keys=3, splits=1),
)

MUTANTS = (
    mutant("closing stops reads", expect="ReadsAreCurrent", writes=2),
    mutant("closed takes no writes", expect="OneAcknowledges", writes=2),
    mutant("flushed before it is forgotten", expect="Kept"),
    mutant("closed for sure", expect="ReadsAreCurrent", alike=True, drops=1, writes=2),
    mutant("one change at a time", expect="NoOverlap", keys=3, splits=1),
    mutant(
        "absorbs only what is here", "ready to apply", expect="ReadsAreCurrent", drops=1, writes=2
    ),
    mutant("absorbs only what is here", expect=STUCK, drops=1, writes=2),
    mutant("kept while it is needed", expect=STUCK, splits=1),
    mutant("lost when marked", expect=STUCK, downs=1, ups=1),
    mutant(
        "join with the inherited",
        expect="ReadsAreCurrent",
        alike=True,
        takeovers=1,
        drops=1,
        writes=2,
    ),
)

REACHED = (
    Merge(
        "reach a merge by a leader that took over",
        "NeverMergedByAnother",
        takeovers=1,
        invariants=("NeverMergedByAnother",),
    ),
    Merge(
        "reach a merge by what a split made meanwhile",
        "NeverMergedIntoAChild",
        keys=3,
        splits=1,
        invariants=("NeverMergedIntoAChild",),
    ),
    Merge(
        "reach a split where partitions were merged",
        "NeverSplitWhereItWasMerged",
        splits=1,
        invariants=("NeverSplitWhereItWasMerged",),
    ),
)
