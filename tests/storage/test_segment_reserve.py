"""Segments are filled before they are needed, and a little at a time where there is time."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from tests.storage.recorded_disk import RecordedDisk
from tests.storage.recorded_runtime import recorded_runtime

from trilith.runtime.clock import SystemClock
from trilith.runtime.entropy import SystemEntropy
from trilith.runtime.ports import Runtime
from trilith.runtime.system_disk import SystemDisk
from trilith.runtime.tcp_network import TcpNetwork
from trilith.runtime.workers import ThreadWorkers
from trilith.storage.segment import segment_path
from trilith.storage.segment_reserve import (
    HEAD_START_BYTES,
    LEAD,
    SLICE_BYTES,
    SLICE_BYTES_HURRIED,
    SegmentReserve,
)

SEGMENT_BYTES = 4 * SLICE_BYTES_HURRIED


class Bench:
    """A reserve of segments 5 and 6, of which 5 is being written."""

    def __init__(self) -> None:
        self.used = 0
        self.disk = RecordedDisk()
        self.disk.make_directory("journal")
        self.reserve = SegmentReserve(
            recorded_runtime(self.disk),
            "journal",
            segment_bytes=SEGMENT_BYTES,
            free_bytes_min=0,
            retry_s=60.0,
            used=lambda: self.used,
            on_change=lambda: None,
            on_error=lambda _: None,
        )

    def fills(self, number: int) -> list[tuple[int, int]]:
        """(offset, length) of zeros that were written into a segment."""
        path = segment_path("journal", number)
        return [(offset, length) for of, offset, length in self.disk.fills if of == path]

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(30):
            while not condition():
                await asyncio.sleep(0)

    def filled(self, number: int) -> int:
        return sum(length for _, length in self.fills(number))

    def wanted(self) -> int:
        return min(SEGMENT_BYTES, HEAD_START_BYTES + LEAD * self.used)

    async def reserved(self) -> None:
        """Once there are so many records that all of the next one is to be filled."""
        self.used = SEGMENT_BYTES // LEAD
        task = self.reserve.want(5)
        assert task is not None
        await asyncio.wait_for(task, 30)


def run(body: Callable[[Bench], Awaitable[None]]) -> None:
    async def whole() -> None:
        bench = Bench()
        await body(bench)
        await bench.reserve.close()

    asyncio.run(whole())


def end_to_end(fills: list[tuple[int, int]]) -> bool:
    return [0, *(offset + length for offset, length in fills)] == [
        *(offset for offset, _ in fills),
        SEGMENT_BYTES,
    ]


def test_the_segment_that_is_needed_now_is_filled_at_once_and_the_next_in_slices() -> None:
    async def body(bench: Bench) -> None:
        bench.reserve.want(5)
        await bench.until(lambda: bench.filled(6) == HEAD_START_BYTES)
        assert {length for _, length in bench.fills(5)} == {SLICE_BYTES_HURRIED}
        assert end_to_end(bench.fills(5))
        bench.used = SEGMENT_BYTES // LEAD // 2  # behind the zeros
        await bench.until(lambda: bench.filled(6) == bench.wanted())
        await bench.reserved()
        assert {length for _, length in bench.fills(6)} == {SLICE_BYTES}
        assert end_to_end(bench.fills(6))

    run(body)


def test_zeros_hurry_where_the_records_come_close() -> None:
    async def body(bench: Bench) -> None:
        await bench.reserved()
        lengths = [length for _, length in bench.fills(6)]
        behind = bench.used // SLICE_BYTES_HURRIED
        assert lengths[:behind] == [SLICE_BYTES_HURRIED] * behind
        assert set(lengths[behind:]) == {SLICE_BYTES}
        assert end_to_end(bench.fills(6))

    run(body)


def test_zeros_are_no_further_ahead_than_the_records_ask_for() -> None:
    async def body(bench: Bench) -> None:
        bench.used = HEAD_START_BYTES // 2
        task = bench.reserve.want(5)
        await bench.until(lambda: bench.filled(6) == bench.wanted())
        for _ in range(1000):
            await asyncio.sleep(0)
        assert bench.filled(6) == bench.wanted() < SEGMENT_BYTES
        bench.reserve.want(6)  # it is needed now
        assert task is not None
        await bench.until(lambda: 6 in bench.reserve.files)

    run(body)


def test_room_is_found_once_it_is_reserved_filled_or_not() -> None:
    """Who is full takes no records, and without records nothing more is filled."""

    async def body(bench: Bench) -> None:
        bench.disk.capacity_bytes = SEGMENT_BYTES
        bench.reserve.want(5)
        await bench.until(lambda: bench.reserve.full)
        bench.disk.capacity_bytes = None
        bench.reserve.try_now()
        await bench.until(lambda: not bench.reserve.full)
        assert 6 not in bench.reserve.files

    run(body)


def test_a_segment_is_there_to_be_written_only_when_it_is_filled() -> None:
    async def body(bench: Bench) -> None:
        bench.reserve.want(5)
        await bench.until(lambda: bench.filled(6) > 0)
        assert 5 in bench.reserve.files
        assert 6 not in bench.reserve.files
        await bench.reserved()
        assert 6 in bench.reserve.files

    run(body)


def test_who_starts_waits_for_the_first_segment_only() -> None:
    async def body(bench: Bench) -> None:
        await bench.reserve.start(5)
        assert set(bench.reserve.files) == {5}
        await bench.reserved()
        assert set(bench.reserve.files) == {5, 6}

    run(body)


def test_closing_does_not_wait_for_what_is_left_to_fill() -> None:
    async def body(bench: Bench) -> None:
        bench.reserve.want(5)
        while not bench.fills(6):
            await asyncio.sleep(0)
        await bench.reserve.close()
        assert len(bench.fills(6)) <= 2
        assert bench.reserve.files == {}

    run(body)


def test_a_start_that_is_cancelled_closes_no_file_under_a_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its number could be another file's by then, and the zeros would have gone there."""
    is_filling, may_go_on = threading.Event(), threading.Event()
    seen: list[int] = []

    def sync(descriptor: int) -> None:
        is_filling.set()
        assert may_go_on.wait(30)
        seen.append(os.fstat(descriptor).st_size)

    monkeypatch.setattr("trilith.runtime.system_disk.os.fdatasync", sync)

    async def story() -> None:
        disk, workers = SystemDisk(tmp_path), ThreadWorkers(1)
        disk.make_directory("journal")
        reserve = SegmentReserve(
            Runtime(SystemClock(), disk, TcpNetwork(), workers, SystemEntropy()),
            "journal",
            segment_bytes=SEGMENT_BYTES,
            free_bytes_min=0,
            retry_s=60.0,
            used=lambda: 0,
            on_change=lambda: None,
            on_error=lambda _: None,
        )
        starting = asyncio.ensure_future(reserve.start(5))
        while not is_filling.is_set():
            await asyncio.sleep(0.001)
        starting.cancel()
        await asyncio.wait((starting,))
        may_go_on.set()
        await workers.run(lambda: None)  # behind what is under way
        await reserve.close()
        workers.close()

    asyncio.run(story())
    assert seen == [SEGMENT_BYTES]
