"""Benchmarks of the native core: `python -m pytest benchmarks --benchmark-only`.

A throughput is shown as `GB_s` among a benchmark's extra columns, from its fastest round: other
load on the machine can only slow a round down.
"""

import random
from collections.abc import Callable

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

Throughput = Callable[[Callable[[], object], int], None]


@pytest.fixture
def throughput(benchmark: BenchmarkFixture) -> Throughput:
    """Measures a function that works through so many bytes, and notes GB/s."""

    def measure(function: Callable[[], object], size_bytes: int) -> None:
        benchmark(function)
        if benchmark.stats is not None:  # None under --benchmark-disable
            rate = size_bytes / benchmark.stats.stats.min / 1e9
            benchmark.extra_info["GB_s"] = round(rate, 2)

    return measure


@pytest.fixture(scope="session")
def noise() -> bytes:
    """64 MiB that no cache holds and nothing compresses, the same every time."""
    return random.Random(1).randbytes(64 << 20)
