"""The journal without crashes: group commit, reading, trimming, a full or a failing disk."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest
from tests.storage.recorded_disk import RecordedDisk
from tests.storage.recorded_runtime import recorded_runtime

from trilith.errors import DiskFull, Overloaded, StorageFailure
from trilith.storage.journal import CUT, DROP, ENTRY, RESET, STATE, Journal, JournalConfig
from trilith.storage.segment import segment_path

CONFIG = JournalConfig(
    "node-1",
    segment_bytes=8192,
    retain_bytes=0,
    cache_bytes=1000,
    free_bytes_min=0,
    mark_delay_s=0.001,
    full_retry_s=0.001,
)


class Bench:
    """A journal on a recorded disk, with what it reported."""

    def __init__(self, disk: RecordedDisk | None = None) -> None:
        self.disk = disk or RecordedDisk()
        self.failures: list[OSError] = []
        self.syncs: list[tuple[float, int]] = []

    async def open(self, config: JournalConfig = CONFIG) -> Journal:
        return await Journal.open(
            recorded_runtime(self.disk),
            "journal",
            config,
            on_failure=self.failures.append,
            on_sync=lambda seconds, size: self.syncs.append((seconds, size)),
        )

    def writes(self) -> int:
        return sum(event.kind == "write" for event in self.disk.events)


def run(body: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(20):
            await body()

    asyncio.run(bounded())


async def durable(journal: Journal) -> None:
    """Wait until everything appended so far is durable."""
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    journal.probe(lambda: done.set_result(None))
    await done


async def condition(holds: Callable[[], bool]) -> None:
    while not holds():
        await asyncio.sleep(0.001)


def fill(journal: Journal, partition: int, count: int, size: int = 100) -> None:
    first = journal.last_index(partition) + 1
    for index in range(first, first + count):
        journal.append(ENTRY, partition, 1, index, bytes([index % 256]) * size, None)


async def fill_many(journal: Journal, partition: int, count: int) -> None:
    """More than the two segments that are reserved at a time."""
    for _ in range(count // 10):
        fill(journal, partition, 10)
        await durable(journal)


def test_records_of_one_loop_tick_share_one_sync_and_call_back_in_order() -> None:
    async def body() -> None:
        bench = Bench()
        journal = await bench.open()
        called: list[int] = []
        for index in range(1, 11):
            journal.append(ENTRY, 1, 1, index, b"x", lambda i=index: called.append(i))
        assert called == []
        await durable(journal)
        assert called == list(range(1, 11))
        assert bench.writes() == 1
        assert len(bench.syncs) == 1
        await journal.close()

    run(body)


def test_what_arrives_during_a_sync_goes_into_the_next_one() -> None:
    async def body() -> None:
        bench = Bench()
        journal = await bench.open()
        bench.disk.hold_syncs()
        fill(journal, 1, 1)
        await condition(lambda: bench.writes() == 1)
        for _ in range(5):
            fill(journal, 1, 2)
            await asyncio.sleep(0)
        assert bench.writes() == 1
        bench.disk.release_syncs()
        await durable(journal)
        assert bench.writes() == 2
        await journal.close()

    run(body)


def test_a_segment_that_fills_while_the_one_before_is_synced_is_written_after_it() -> None:
    """Its file was let go before its turn came: the journal never wrote anything again."""

    async def body() -> None:
        bench = Bench()
        journal = await bench.open()
        bench.disk.hold_syncs()
        fill(journal, 1, 1)
        await condition(lambda: bench.writes() == 1)
        while journal._tail.number < 3:
            try:
                fill(journal, 1, 1, size=2000)
            except Overloaded:
                await asyncio.sleep(0)  # until the next segment is reserved
        last = journal.last_index(1)
        bench.disk.release_syncs()
        async with asyncio.timeout(5):
            await durable(journal)
        await journal.close()
        again = await bench.open()
        assert again.recovered[1].last_index == last
        await again.close()

    run(body)


def test_one_callback_that_raises_does_not_stop_the_others() -> None:
    async def body() -> None:
        journal = await Bench().open()
        reported: list[object] = []
        asyncio.get_running_loop().set_exception_handler(
            lambda _, context: reported.append(context)
        )

        def broken() -> None:
            raise KeyError("a defect")

        called: list[int] = []
        journal.append(ENTRY, 1, 1, 1, b"", broken)
        journal.append(ENTRY, 1, 1, 2, b"", lambda: called.append(2))
        await durable(journal)
        assert called == [2]
        assert len(reported) == 1
        await journal.close()

    run(body)


def test_entries_are_read_whether_pending_cached_or_only_on_disk() -> None:
    async def body() -> None:
        journal = await Bench().open()
        fill(journal, 1, 100)
        pending = journal.read(1, 1, max_bytes=1 << 20, max_entries=1000)
        assert [index for _, index, _ in pending] == list(range(1, 101))
        await durable(journal)
        assert journal.read(1, 1, max_bytes=1 << 20, max_entries=1000) == pending
        assert journal.read(1, 40, max_bytes=250, max_entries=1000) == pending[39:41]
        assert journal.read(1, 40, max_bytes=1, max_entries=1000) == pending[39:40]
        assert journal.read(1, 40, max_bytes=1 << 20, max_entries=3) == pending[39:42]
        assert journal.read(1, 101, max_bytes=1, max_entries=1) == []
        with pytest.raises(LookupError):
            journal.read(2, 1, max_bytes=1, max_entries=1)
        await journal.close()

    run(body)


def test_epochs_are_known_by_index() -> None:
    async def body() -> None:
        journal = await Bench().open()
        for index in range(1, 10):
            journal.append(ENTRY, 1, 1 + index // 4, index, b"", None)
        assert [journal.entry_epoch(1, i) for i in range(11)] == [
            None, 1, 1, 1, 2, 2, 2, 2, 3, 3, None,
        ]  # fmt: skip
        journal.append(CUT, 1, 3, 4, b"", None)
        journal.append(ENTRY, 1, 7, 5, b"", None)
        assert [journal.entry_epoch(1, i) for i in range(3, 7)] == [1, 2, 7, None]
        journal.append(RESET, 1, 9, 20, b"", None)
        assert journal.entry_epoch(1, 20) == 9
        assert (journal.first_index(1), journal.last_index(1)) == (21, 20)
        await journal.close()

    run(body)


def test_an_entry_that_skips_or_repeats_an_index_is_refused() -> None:
    async def body() -> None:
        bench = Bench()
        journal = await bench.open()
        journal.append(ENTRY, 1, 1, 50, b"", None)  # a new log may start anywhere
        for index in (49, 50, 52):
            with pytest.raises(ValueError, match="after 50"):
                journal.append(ENTRY, 1, 1, index, b"", None)
        with pytest.raises(ValueError, match="before its first"):
            journal.append(CUT, 1, 1, 48, b"", None)
        with pytest.raises(ValueError, match="fit"):
            journal.append(ENTRY, 1, 1, 51, bytes(CONFIG.record_bytes_max + 1), None)
        journal.append(ENTRY, 1, 1, 51, bytes(CONFIG.record_bytes_max), None)
        await journal.close()
        again = await bench.open()
        assert again.recovered[1].last_index == 51
        await again.close()

    run(body)


def test_trimming_drops_whole_flushed_segments_and_keeps_what_only_they_told() -> None:
    async def body() -> None:
        bench = Bench()
        journal = await bench.open()
        journal.append(STATE, 1, 3, 0, b"state of 1", None)
        journal.append(STATE, 2, 3, 0, b"state of 2", None)
        journal.append(STATE, 3, 3, 0, b"state of 3", None)
        journal.append(RESET, 3, 2, 77, b"", None)
        fill(journal, 2, 5)
        await fill_many(journal, 1, 200)
        await durable(journal)
        segments = len(bench.disk.list("journal"))
        journal.trim({1: 200})  # partition 2 is not flushed
        await durable(journal)
        assert len(bench.disk.list("journal")) == segments
        journal.trim({1: 200, 2: 5})
        await condition(lambda: len(bench.disk.list("journal")) <= 3)
        assert journal.first_index(1) > 100
        assert (journal.first_index(2), journal.last_index(2)) == (6, 5)
        with pytest.raises(LookupError):
            journal.read(2, 5, max_bytes=1, max_entries=1)
        await journal.close()
        again = await bench.open()
        assert again.recovered[1].last_index == 200
        assert again.recovered[1].state == b"state of 1"
        two, three = again.recovered[2], again.recovered[3]
        assert (two.first_index, two.last_index, two.last_epoch) == (6, 5, 1)
        assert (two.state, two.damaged) == (b"state of 2", False)
        assert (three.first_index, three.last_index, three.last_epoch) == (78, 77, 2)
        assert three.state == b"state of 3"
        fill(again, 2, 1)
        await again.close()

    run(body)


def test_segments_that_several_trims_dropped_are_removed_oldest_first() -> None:
    async def body() -> None:
        bench = Bench()
        journal = await bench.open()
        await fill_many(journal, 1, 300)
        for applied in (150, 200, 300):  # none waits for the one before
            journal.trim({1: applied})
        await journal.close()
        removed = [e.path for e in bench.disk.events if e.kind == "remove"]
        assert len(removed) > 3
        assert removed == sorted(removed)

    run(body)


def test_trimming_keeps_recent_segments_for_peers_that_catch_up() -> None:
    async def body() -> None:
        bench = Bench()
        journal = await bench.open(JournalConfig("node-1", segment_bytes=8192, retain_bytes=20000))
        await fill_many(journal, 1, 300)
        await durable(journal)
        journal.trim({1: 300})
        await durable(journal)
        await condition(lambda: journal.bytes_on_disk < 40000)
        kept = journal.last_index(1) - journal.first_index(1) + 1
        assert kept * 140 >= 20000 - 8192
        await journal.close()

    run(body)


def test_a_dropped_partition_holds_no_segment_and_is_forgotten() -> None:
    async def body() -> None:
        bench = Bench()
        journal = await bench.open()
        fill(journal, 1, 20)
        await fill_many(journal, 2, 150)
        journal.append(DROP, 1, 1, 0, b"", None)
        await durable(journal)
        journal.trim({2: 150})
        await condition(lambda: not bench.disk.exists("journal/0000000001.seg"))
        await journal.close()
        again = await bench.open()
        assert set(again.recovered) == {2}
        await again.close()

    run(body)


def test_a_full_disk_stops_accepting_before_room_is_out_and_recovers_with_room() -> None:
    async def body() -> None:
        bench = Bench(RecordedDisk(capacity_bytes=3 * 8192))
        journal = await bench.open()
        assert journal.accepting
        acknowledged: list[int] = []

        async def append_for_ever() -> None:
            for index in range(1, 1000):
                journal.append(ENTRY, 1, 1, index, bytes(100), lambda: acknowledged.append(1))
                if index % 10 == 0:
                    await durable(journal)

        with pytest.raises(DiskFull):
            await append_for_ever()
        assert not journal.accepting
        await condition(lambda: len(acknowledged) == journal.last_index(1))
        last = journal.last_index(1)
        assert len(acknowledged) == last, "what was accepted had its room"
        read = journal.read(1, 1, max_bytes=1 << 20, max_entries=1000)
        assert len(read) == last
        bench.disk.capacity_bytes = 1 << 20
        await condition(lambda: journal.accepting)
        fill(journal, 1, 100)
        await durable(journal)
        assert bench.failures == []
        await journal.close()
        again = await bench.open()
        assert again.recovered[1].last_index == last + 100
        await again.close()

    run(body)


def test_a_journal_opens_on_a_full_disk_for_reading() -> None:
    async def body() -> None:
        bench = Bench()
        journal = await bench.open()
        fill(journal, 1, 10)
        await journal.close()
        bench.disk.capacity_bytes = 0
        again = await bench.open()
        assert not again.accepting
        assert again.recovered[1].last_index == 10
        assert len(again.read(1, 1, max_bytes=1 << 20, max_entries=100)) == 10
        with pytest.raises(DiskFull):
            fill(again, 1, 1)
        bench.disk.capacity_bytes = 1 << 20
        await condition(lambda: again.accepting)
        fill(again, 1, 1)
        await durable(again)
        await again.close()

    run(body)


@pytest.mark.parametrize("reserved", [True, False])
def test_a_torn_end_is_never_cut_off_without_a_note_of_it_even_on_a_full_disk(
    *, reserved: bool
) -> None:
    async def body() -> None:
        bench = Bench()
        config = replace(CONFIG, mark_delay_s=60.0)
        journal = await bench.open(config)
        fill(journal, 1, 3)
        await durable(journal)
        disk = bench.disk.crashed(lambda dirty: dirty)
        first, second = (segment_path("journal", number) for number in (1, 2))
        disk.flip(first, len(disk.content(first).rstrip(b"\0")) - 1)
        if not reserved:
            disk.remove(second)
        disk.capacity_bytes = disk.used_bytes()
        after = Bench(disk)
        if not reserved:  # else its room is enough
            for _ in range(2):
                with pytest.raises(DiskFull):
                    await after.open(config)
            disk.capacity_bytes = None
        for _ in range(2):
            again = await after.open(config)
            assert again.torn_end
            await again.close()
        await journal.close()

    run(body)


def test_too_many_pending_bytes_are_refused() -> None:
    async def body() -> None:
        config = JournalConfig("node-1", pending_bytes_max=10000, segment_bytes=1 << 20)
        journal = await Bench().open(config)
        with pytest.raises(Overloaded):
            fill(journal, 1, 1000)
        await durable(journal)
        fill(journal, 1, 1)
        await journal.close()

    run(body)


def test_a_failed_sync_is_reported_once_and_no_pending_callback_is_ever_called() -> None:
    async def body() -> None:
        bench = Bench()
        journal = await bench.open()
        fill(journal, 1, 3)
        await durable(journal)
        await condition(lambda: len(bench.syncs) == 2)  # the records, and the MARK behind them
        bench.disk.fail_next_sync(errno.EIO)
        bench.disk.hold_syncs()
        called: list[int] = []
        journal.append(ENTRY, 1, 1, 4, b"lost", lambda: called.append(4))
        await condition(lambda: bench.writes() == 3)
        journal.append(ENTRY, 1, 1, 5, b"lost too", lambda: called.append(5))
        bench.disk.release_syncs()
        await condition(lambda: bool(bench.failures))
        with pytest.raises(StorageFailure):
            journal.append(ENTRY, 1, 1, 6, b"", None)
        with pytest.raises(StorageFailure):
            journal.probe(lambda: called.append(6))
        assert not journal.accepting
        await journal.close()
        assert [failure.errno for failure in bench.failures] == [errno.EIO]
        assert called == []
        again = await bench.open()  # the cache still shows the bytes that the medium lost
        assert again.recovered[1].last_index == 3
        await again.close()

    run(body)


def test_a_closed_journal_refuses_records_and_has_made_the_earlier_ones_durable() -> None:
    async def body() -> None:
        bench = Bench()
        journal = await bench.open()
        called: list[int] = []
        journal.append(ENTRY, 1, 1, 1, b"", lambda: called.append(1))
        await journal.close()
        assert called == [1]
        with pytest.raises(StorageFailure):
            fill(journal, 1, 1)
        await journal.close()

    run(body)
