"""The table of a comparison, in Markdown, with the machine that it was made on."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmarks.load.s3_driver import Result

OURS = "Trilith"
# what the project wants to reach, by the start of the other server's name and the workload
TARGETS = {
    ("SeaweedFS, 3", "PUT 4 KiB"): 4.0,
    ("SeaweedFS, 3", "GET 4 KiB"): 3.0,
    ("SeaweedFS, 3", "PUT 64 KiB"): 3.0,
    ("SeaweedFS, 3", "GET 64 KiB"): 2.0,
    ("SeaweedFS, 3", "PUT 8 MiB"): 1.8,
    ("SeaweedFS, 3", "GET 8 MiB"): 0.6,
    ("SeaweedFS, 1", "PUT 4 KiB"): 1.3,
    ("SeaweedFS, 1", "GET 4 KiB"): 1.5,
}
IDLE_MIB_MAX = 400
LOADED_MIB_MAX = 1024


@dataclass(frozen=True)
class Figures:
    """Of one server: results by workload, memory (shared pages counted once) in MiB."""

    results: dict[str, Result]
    idle_mib: float
    loaded_mib: float


def render(figures: dict[str, Figures], *, seconds: int, rounds: int) -> str:
    """The whole report; `figures` by the server's name."""
    method = f"Median of {rounds} rounds of {seconds} s; the servers take turns."
    parts = [
        f"Measured {datetime.now(UTC):%Y-%m-%d} on {describe_machine()}. {method}",
        _rates(figures),
        _memory(figures),
        _latencies(figures),
    ]
    if refused := _refused(figures):
        parts.append(refused)
    return "\n\n".join(parts) + "\n"


def _table(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] + ["---:"] * (len(header) - 1), *rows]
    return "\n".join("| " + " | ".join(row) + " |" for row in lines)


def _rate(result: Result, label: str) -> str:
    if "MiB" in label:
        return f"{result.megabytes_per_s:,.0f} MB/s"
    return f"{result.requests_per_s:,.0f}/s"


def _ratio(other: str, label: str, ours: Result, theirs: Result) -> str:
    if not theirs.requests_per_s:
        return "-"
    ratio = ours.requests_per_s / theirs.requests_per_s
    target = next(
        (
            wanted
            for (name, workload), wanted in TARGETS.items()
            if other.startswith(name) and label.startswith(workload + " x")
        ),
        None,
    )
    if target is None or "unique" in label:
        return f"{ratio:.2f}x"
    return f"**{ratio:.2f}x** ({'reaches' if ratio >= target else 'misses'} {target:g}x)"


def _rates(figures: dict[str, Figures]) -> str:
    others = [name for name in figures if name != OURS]
    ours = figures.get(OURS)
    names = ([OURS] if ours else []) + others
    header = ["workload", *names]
    if ours:
        header += [f"ratio to {name}" for name in others]
    rows = []
    for label in next(iter(figures.values())).results:
        row = [label, *(_rate(figures[name].results[label], label) for name in names)]
        if ours:
            row += [
                _ratio(name, label, ours.results[label], figures[name].results[label])
                for name in others
            ]
        rows.append(row)
    return _table(header, rows)


def _memory(figures: dict[str, Figures]) -> str:
    rows = [
        [name, f"{found.idle_mib:,.0f} MiB", f"{found.loaded_mib:,.0f} MiB"]
        for name, found in figures.items()
    ]
    note = f"Trilith's bounds: {IDLE_MIB_MAX} MiB idle, {LOADED_MIB_MAX} MiB under load."
    return _table(["memory of all processes", "idle", "highest under load"], rows) + "\n\n" + note


def _latencies(figures: dict[str, Figures]) -> str:
    rows = [
        [label, *(_percentiles(found.results[label]) for found in figures.values())]
        for label in next(iter(figures.values())).results
    ]
    return _table(["p50 / p99 / highest, ms", *figures], rows)


def _percentiles(result: Result) -> str:
    return f"{result.p50_ms:,.1f} / {result.p99_ms:,.1f} / {result.max_ms:,.0f}"


def _refused(figures: dict[str, Figures]) -> str:
    lines = [
        f"* {name}, {label}: {result.refused} refused, {result.socket_errors} socket errors "
        f"of {result.requests} requests"
        for name, found in figures.items()
        for label, result in found.results.items()
        if result.refused or result.socket_errors
    ]
    return "Not all requests succeeded:\n\n" + "\n".join(lines) if lines else ""


def describe_machine() -> str:
    """Processor, cores, memory, kernel, file system and versions in one line."""
    model = "an unknown processor"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    return (
        f"{os.cpu_count()} cores of {model}, {memory_gib:.0f} GiB, "
        f"{platform.system()} {platform.release()}, Python {platform.python_version()}, "
        f"trilith {_version('trilith')}"
    )


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "from source"
