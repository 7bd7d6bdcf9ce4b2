"""Small calls of the hot paths. Targets: a ring lookup <= 0.5 us, framing 4 KiB <= 1 us."""

import random
import select
from itertools import cycle
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from trilith_native import codec, record, ring
from trilith_native.synced_file import SyncedFile

KEY = b"\x00\x00\x00\x07bucket/a/name/of/ordinary/length.json"
TOKENS = [random.Random(seed).getrandbits(64) for seed in range(1009)]


@pytest.mark.parametrize("nodes", [3, 100])
def test_ring_lookup(benchmark: BenchmarkFixture, nodes: int) -> None:
    owner = ring.Ring([(f"node{i}", 1) for i in range(nodes)]).owner
    tokens = cycle(TOKENS)
    benchmark(lambda: owner(next(tokens)))


def test_ring_lookup_of_a_key(benchmark: BenchmarkFixture) -> None:
    lookup = ring.Ring([(f"node{i}", 1) for i in range(100)]).owner_of
    benchmark(lookup, KEY)


@pytest.mark.parametrize("size", [100, 4096, 1 << 20])
def test_frame(benchmark: BenchmarkFixture, noise: bytes, size: int) -> None:
    payload = noise[:size]
    benchmark(lambda: record.frame(7, 1, 12, 3, 123456, payload))


def test_scan_1000_records_of_4_kib(benchmark: BenchmarkFixture, noise: bytes) -> None:
    segment = b"".join(record.frame(7, 1, 12, 3, i, noise[i : i + 4096]) for i in range(1000))
    records, end = benchmark(record.scan, segment, 0, 7)
    assert (len(records), end) == (1000, len(segment))


def test_find_valid_after_in_16_mib(benchmark: BenchmarkFixture, noise: bytes) -> None:
    assert benchmark(record.find_valid_after, noise[: 16 << 20], 0, 7) == -1


def test_escape_bytes(benchmark: BenchmarkFixture) -> None:
    benchmark(codec.escape_bytes, KEY)


def test_unescape_bytes(benchmark: BenchmarkFixture) -> None:
    benchmark(codec.unescape_bytes, codec.escape_bytes(KEY))


@pytest.fixture
def operations(noise: bytes) -> list[tuple[int, bytes, bytes]]:
    return [(codec.PUT, KEY + bytes([i]), noise[i : i + 300]) for i in range(100)]


def test_encode_100_operations(
    benchmark: BenchmarkFixture, operations: list[tuple[int, bytes, bytes]]
) -> None:
    benchmark(codec.encode_batch, operations)


def test_decode_100_operations(
    benchmark: BenchmarkFixture, operations: list[tuple[int, bytes, bytes]]
) -> None:
    assert benchmark(codec.decode_batch, codec.encode_batch(operations)) == operations


def test_join_100_batches(
    benchmark: BenchmarkFixture, operations: list[tuple[int, bytes, bytes]]
) -> None:
    benchmark(codec.join_batches, [codec.encode_batch([operation]) for operation in operations])


@pytest.mark.parametrize("size", [4096, 1 << 20])
def test_synced_write(benchmark: BenchmarkFixture, tmp_path: Path, noise: bytes, size: int) -> None:
    payload = [noise[:size]]
    with (tmp_path / "file").open("wb") as file:
        file.truncate(size)
        synced = SyncedFile(file.fileno())

        def write() -> None:
            synced.submit(payload, 0)
            select.select([synced.event_fd], [], [])
            assert synced.result() == 0

        benchmark(write)
        synced.close()
