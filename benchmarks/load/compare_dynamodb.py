"""Trilith, ministack, dynalite and etcd under the same load in the same run, as tables of ratios.

    python -m benchmarks.load.compare_dynamodb                   writes benchmarks/load/dynamodb.md
    python -m benchmarks.load.compare_dynamodb --items 10000000  the large table at full size
    python -m benchmarks.load.compare_dynamodb --only trilith    one server; writes nothing

The servers take turns, round by round, each on an empty directory; each figure is the median over
the rounds. A full run takes some ten minutes with 1,000,000 items. Needs `wrk`, `node`, `npm`,
`etcd` and `etcdctl`, and installs the emulators under ~/.cache/trilith-benchmarks.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from statistics import median

from benchmarks.load.dynamodb_driver import Workload, create_table, drive, load_items
from benchmarks.load.dynamodb_report import LABELS, OURS, Report
from benchmarks.load.dynamodb_servers import (
    Dynalite,
    Etcd,
    Ministack,
    TrilithTables,
    install_dynalite,
    install_ministack,
    missing_programs,
)
from benchmarks.load.s3_driver import Result
from benchmarks.load.servers import Server

OUTPUT = Path(__file__).with_name("dynamodb.md")
TABLE = "benchmark"
WARM_UP_S = 4
ITEMS = 20_000  # of the table that is written and read
SMALL_ITEMS = 10_000
SCALE_VALUE_BYTES = 128
SCALE_ROUNDS = 5
SCALE_SECONDS = 4
# in the order in which they run: what is read has been written just before
OPERATIONS = {
    "trilith": ("put", "get", "query", "update", "transact"),
    "ministack": ("put", "get", "query", "update", "transact"),
    "dynalite": ("put", "get", "query", "update"),  # it has no transactions
}


def say(name: str, label: str, result: Result) -> None:
    bad = f"  REFUSED {result.refused}" if result.refused else ""
    bad += f"  SOCKET ERRORS {result.socket_errors}" if result.socket_errors else ""
    print(
        f"{name:32} {label:40} {result.requests_per_s:>9,.1f}/s  p50 {result.p50_ms:.2f}"
        f"  p99 {result.p99_ms:.2f} ms{bad}",
        flush=True,
    )


def measure(
    server: Server, operations: tuple[str, ...], given: argparse.Namespace, *, halves: bool
) -> tuple[dict[str, Result], dict[str, Result]]:
    """One round of one server: (at full rate, at half of that)."""
    full: dict[str, Result] = {}
    half: dict[str, Result] = {}
    try:
        server.start()
        create_table(server.endpoint, TABLE)
        load_items(server.endpoint, TABLE, ITEMS, given.size_bytes)
        first = Workload(operations[0], given.size_bytes, given.connections, ITEMS)
        drive(server.endpoint, TABLE, first, WARM_UP_S)
        for operation in operations:
            workload = replace(first, operation=operation)
            full[operation] = found = drive(server.endpoint, TABLE, workload, given.seconds)
            say(server.name, LABELS[operation], found)
            if halves and found.refused * 2 < found.requests:
                slower = replace(workload, rate=found.requests_per_s / 2)
                half[operation] = drive(server.endpoint, TABLE, slower, given.seconds)
                say(server.name, LABELS[operation] + ", half rate", half[operation])
    finally:
        server.stop()
    return full, half


def combine(rounds: list[dict[str, Result]]) -> dict[str, Result]:
    """Medians over the rounds; refusals are added up, so that none is hidden."""
    merged = {}
    for operation in rounds[0]:
        results = [found[operation] for found in rounds if operation in found]
        middle = sorted(results, key=lambda result: result.requests_per_s)[len(results) // 2]
        merged[operation] = Result(
            sum(result.requests for result in results),
            median(result.requests_per_s for result in results),
            median(result.megabytes_per_s for result in results),
            median(result.p50_ms for result in results),
            median(result.p90_ms for result in results),
            median(result.p99_ms for result in results),
            middle.max_ms,
            refused=sum(result.refused for result in results),
            socket_errors=sum(result.socket_errors for result in results),
        )
    return merged


def measure_scale(
    server: Server, given: argparse.Namespace
) -> dict[str, list[tuple[float, float]]]:
    """GetItem and Query on a small and a large table of one cluster, in turns."""
    pairs: dict[str, list[tuple[float, float]]] = defaultdict(list)
    counts = {"small": SMALL_ITEMS, "large": given.items}
    try:
        server.start()
        for table, items in counts.items():
            create_table(server.endpoint, table)
            started = time.monotonic()
            load_items(server.endpoint, table, items, SCALE_VALUE_BYTES)
            print(f"{items:,} items written in {time.monotonic() - started:.0f} s", flush=True)
        for _ in range(SCALE_ROUNDS):
            for operation in ("get", "query"):
                rates = []
                for table, items in counts.items():
                    workload = Workload(
                        operation, SCALE_VALUE_BYTES, given.connections, ITEMS, items
                    )
                    found = drive(server.endpoint, table, workload, SCALE_SECONDS)
                    say(server.name, f"{LABELS[operation]} of {items:,} items", found)
                    rates.append(found.requests_per_s)
                pairs[operation].append((rates[0], rates[1]))
    finally:
        server.stop()
    return dict(pairs)


def measure_etcd(folder: Path) -> float:
    etcd = Etcd(folder)
    try:
        etcd.start()
        rate = etcd.writes_per_s()
    finally:
        etcd.stop()
    print(f"{etcd.name:32} {'writes (check perf --load=xl)':40} {rate:>9,.1f}/s", flush=True)
    return rate


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=int, default=6, help="of each workload in each round")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--size-bytes", type=int, default=512)
    parser.add_argument("--items", type=int, default=1_000_000, help="large table; 0: leave out")
    parser.add_argument("--only", choices=["trilith", "ministack", "dynalite", "etcd", "scale"])
    parser.add_argument("--ministack", help="its program; default: installed from PyPI")
    parser.add_argument("--dynalite", help="its cli.js; default: installed from npm")
    parser.add_argument("--folder", type=Path, help="where the servers keep their data")
    parser.add_argument("--output", type=Path, help="default: dynamodb.md, for a full run only")
    return parser.parse_args()


def make_servers(given: argparse.Namespace, folder: Path) -> dict[str, Server]:
    servers: dict[str, Server] = {}
    if given.only in (None, "trilith"):
        servers["trilith"] = TrilithTables(folder / "trilith")
    if given.only in (None, "ministack"):
        program = given.ministack or install_ministack()
        servers["ministack"] = Ministack(folder / "ministack", program)
    if given.only in (None, "dynalite"):
        program = given.dynalite or install_dynalite()
        servers["dynalite"] = Dynalite(folder / "dynalite", program)
    return servers


def run(given: argparse.Namespace, folder: Path) -> Report:
    report = Report(given.connections, given.size_bytes, given.seconds, given.rounds)
    full: dict[str, list[dict[str, Result]]] = defaultdict(list)
    halves: list[dict[str, Result]] = []
    servers = make_servers(given, folder)
    for number in range(given.rounds if servers else 0):
        print(f"round {number + 1} of {given.rounds}", flush=True)
        for name, server in servers.items():
            found, half = measure(server, OPERATIONS[name], given, halves=name == "trilith")
            full[server.name].append(found)
            if half:
                halves.append(half)
    report.full = {name: combine(rounds) for name, rounds in full.items()}
    report.half = combine(halves) if halves else {}
    if given.only in (None, "etcd"):
        report.etcd_writes_per_s = measure_etcd(folder / "etcd")
    if given.items and given.only in (None, "scale"):
        report.scale_items = (SMALL_ITEMS, given.items)
        report.scale = measure_scale(TrilithTables(folder / "scale"), given)
    return report


def main() -> int:
    given = parse_arguments()
    missing = missing_programs(
        dynalite=given.only in (None, "dynalite"), etcd=given.only in (None, "etcd")
    )
    if missing:
        print("\n".join(missing), file=sys.stderr)
        return 2
    folder = Path(tempfile.mkdtemp(prefix="trilith-load-", dir=given.folder))
    try:
        report = run(given, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if OURS not in report.full:
        return 0  # every figure has been printed
    text = report.render()
    print("\n" + text)
    output = given.output or (OUTPUT if given.only is None else None)
    if output:
        output.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
