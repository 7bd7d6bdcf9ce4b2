"""`make simulate`: one seed again, or new seeds for so many seconds, or a hunt for a mutation."""

from __future__ import annotations

import argparse
import gc
import multiprocessing
import os
import sys
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from functools import partial

from tests.simulation.mutations import MUTATIONS, applied
from tests.simulation.run import Result, run_objects, run_registers, run_together
from tests.simulation.survivor import run_survivor

FIXED_HASH_SEED = "0"
WORKLOADS = {
    "registers": run_registers,
    "objects": run_objects,
    "together": run_together,
    "survivor": run_survivor,
}


def one(
    seed: int,
    kinds: list[str] | None,
    mutation: str | None,
    trace: bool,
    workload: str = "registers",
) -> Result:
    chosen = MUTATIONS[mutation] if mutation else None
    if chosen is not None and kinds is None:
        kinds = chosen.kinds
    with applied(chosen):
        return WORKLOADS[workload](seed, keep_trace=trace, kinds=kinds)


def command_for(seed: int, options: argparse.Namespace) -> str:
    """What reproduces a run exactly."""
    extra = f" KINDS={','.join(options.kinds)}" if options.kinds is not None else ""
    extra += f" MUTATION={options.mutation}" if options.mutation else ""
    extra += f" WORKLOAD={options.workload}" if options.workload != "registers" else ""
    return f"make simulate SEED={seed}{extra}"


def report(result: Result, options: argparse.Namespace, *, verbose: bool) -> None:
    verdict = "FAILED" if result.problems else "ok"
    if verbose or result.problems:
        print(
            f"seed {result.seed}: {verdict}; faults {result.faults} of {','.join(result.kinds)}; "
            f"{result.calls} calls ({result.unknown} unknown, {result.refused} refused); "
            f"{result.collected} chunks collected; "
            f"{result.simulated_s:.1f} s simulated in {result.cpu_s:.2f} s; "
            f"trace {result.digest:08x}"
        )
    if result.problems:
        for problem in result.problems[: options.problems]:
            print("  " + problem)
        print("  again: " + command_for(result.seed, options), flush=True)


def seeds_from(options: argparse.Namespace) -> Iterator[int]:
    start = options.first
    if start is None:  # a hunt is repeatable; a search for new bugs is not
        start = 1 if options.mutation else time.time_ns() % 1_000_000_000
    deadline = time.monotonic() + (options.seconds or float("inf"))
    number = 0
    while time.monotonic() < deadline and (options.count is None or number < options.count):
        yield start + number
        number += 1


def many(options: argparse.Namespace) -> int:
    """Runs seeds on several processes; the exit status."""
    run = partial(
        one,
        kinds=options.kinds,
        mutation=options.mutation,
        trace=False,
        workload=options.workload,
    )
    totals: Counter[str] = Counter()
    simulated = cpu = 0.0
    started = time.monotonic()
    # Frozen: each run ends with a collection, which need not walk through all modules.
    with multiprocessing.Pool(options.jobs, gc.freeze, maxtasksperchild=200) as pool:
        for result in _bounded(pool, run, seeds_from(options), options.jobs):
            totals["runs"] += 1
            totals["failed"] += bool(result.problems)
            totals["calls"] += result.calls
            totals["faults"] += result.faults
            totals["collected"] += result.collected
            totals["splits"] += result.splits
            totals["merges"] += result.merges
            totals["beyond"] += result.beyond_design
            simulated += result.simulated_s
            cpu += result.cpu_s
            report(result, options, verbose=False)
            if result.problems and (options.until_found or options.mutation):
                break
    elapsed = time.monotonic() - started
    print(
        f"{totals['runs']} seeds, {totals['failed']} failed, {totals['faults']} faults, "
        f"{totals['splits']} splits, {totals['merges']} merges, "
        f"{totals['calls']} calls, {totals['collected']} chunks collected; "
        f"{simulated:.0f} s simulated in {elapsed:.0f} s, "
        f"{simulated / cpu if cpu else 0:.0f} simulated seconds per second of a core"
    )
    return 1 if totals["failed"] else 0


def _bounded(pool: object, run: object, seeds: Iterator[int], jobs: int) -> Iterator[Result]:
    """Results in the order of the seeds, never far ahead of what was asked for."""
    waiting: list[object] = []
    for seed in seeds:
        waiting.append(pool.apply_async(run, (seed,)))  # type: ignore[attr-defined]
        if len(waiting) >= 2 * jobs:
            yield waiting.pop(0).get()  # type: ignore[attr-defined]
    while waiting:
        yield waiting.pop(0).get()  # type: ignore[attr-defined]


def _without_loop(unraisable: sys.UnraisableHookArgs) -> None:
    """Coroutines that a run left half done are closed when nobody refers to them any more."""
    if not isinstance(unraisable.exc_value, RuntimeError):
        sys.__unraisablehook__(unraisable)


def main() -> int:
    sys.unraisablehook = _without_loop
    warnings.filterwarnings("ignore", "coroutine .* was never awaited", RuntimeWarning)
    parser = argparse.ArgumentParser(prog="make simulate", description=__doc__)
    parser.add_argument("--seed", type=int, help="run this one, with its whole trace to --trace")
    parser.add_argument("--seconds", type=float, help="run new seeds for so long")
    parser.add_argument("--first", type=int, help="the first seed (default: of the clock)")
    parser.add_argument("--count", type=int, help="so many seeds")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--kinds", type=lambda text: text.split(","), help="faults to draw from")
    parser.add_argument("--workload", choices=sorted(WORKLOADS), default="registers")
    parser.add_argument("--mutation", choices=sorted(MUTATIONS))
    parser.add_argument("--until-found", action="store_true", help="stop at the first failure")
    parser.add_argument("--problems", type=int, default=3, help="problems printed for a run")
    parser.add_argument("--trace", help="file for the event trace of --seed")
    options = parser.parse_args()
    if options.mutation:
        options.workload = MUTATIONS[options.mutation].workload
    if os.environ.get("PYTHONHASHSEED") != FIXED_HASH_SEED:
        environment = {**os.environ, "PYTHONHASHSEED": FIXED_HASH_SEED}
        arguments = [sys.executable, "-m", "tests.simulation", *sys.argv[1:]]
        os.execve(sys.executable, arguments, environment)
    if options.seed is None:
        return many(options)
    result = one(
        options.seed, options.kinds, options.mutation, bool(options.trace), options.workload
    )
    report(result, options, verbose=True)
    if options.trace:
        with open(options.trace, "w", encoding="utf-8") as file:
            file.write("\n".join(result.lines) + "\n")
    return 1 if result.problems else 0


if __name__ == "__main__":
    sys.exit(main())
