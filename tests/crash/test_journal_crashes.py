"""The journal, its files cut at every write and sync boundary of a recorded run, and reopened.

Everything acknowledged is there; what is there is exactly a prefix of what was appended.
"""

from __future__ import annotations

import asyncio
from random import Random

import pytest
from tests.crash.journal_model import Record, matches, model_after
from tests.storage.recorded_disk import (
    RecordedDisk,
    Survival,
    all_survives,
    half_of_the_last_survives,
    nothing_survives,
    random_sectors_survive,
)
from tests.storage.recorded_runtime import recorded_runtime

from trilith.storage.journal import CUT, DROP, ENTRY, RESET, STATE, Journal, JournalConfig

CONFIG = JournalConfig(
    "node-1", segment_bytes=8192, retain_bytes=16384, cache_bytes=4096, mark_delay_s=0.001
)
SURVIVALS: dict[str, Survival] = {
    "all": all_survives,
    "nothing": nothing_survives,
    "torn": half_of_the_last_survives,
    "sectors-1": random_sectors_survive(1),
    "sectors-2": random_sectors_survive(2),
}


def unexpected_failure(error: OSError) -> None:
    raise AssertionError(error)


async def open_journal(disk: RecordedDisk, config: JournalConfig = CONFIG) -> Journal:
    return await Journal.open(
        recorded_runtime(disk), "journal", config, on_failure=unexpected_failure
    )


class Recording:
    """A run: the records in order, and after how many disk events each was acknowledged."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.disk = RecordedDisk()
        self.records: list[Record] = []
        self.acknowledged_at: dict[int, int] = {}
        self.trimmed_at: list[tuple[int, dict[int, int]]] = []

    def append(self, journal: Journal, record: Record) -> None:
        position = len(self.records)

        def acknowledge() -> None:
            self.acknowledged_at[position] = len(self.disk.events)

        journal.append(*record, acknowledge)
        self.records.append(record)

    def acknowledged(self, events: int) -> int:
        """How many records a crash after `events` disk events must keep."""
        kept = [position for position, when in self.acknowledged_at.items() if when <= events]
        return max(kept, default=-1) + 1

    def trimmed(self, events: int) -> dict[int, int]:
        """By partition, the highest index that the journal was ever told it may forget."""
        limits: dict[int, int] = {}
        for when, applied in self.trimmed_at:
            if when <= events:
                limits = {p: max(index, limits.get(p, 0)) for p, index in applied.items()}
        return limits

    async def step(self, journal: Journal) -> None:
        random = self.random
        partition = random.randrange(1, 5)
        last = journal.last_index(partition)
        choice = random.random()
        payload = random.randbytes(random.choice([0, 10, 100, 700]))
        if choice < 0.75:
            self.append(journal, (ENTRY, partition, 1 + last // 7, last + 1, payload))
        elif choice < 0.85:
            self.append(journal, (STATE, partition, 1, 0, payload))
        elif choice < 0.90:
            keep = random.randint(journal.first_index(partition) - 1, last)
            self.append(journal, (CUT, partition, 1, keep, b""))
        elif choice < 0.93:
            self.append(journal, (RESET, partition, 1, last + 3, b""))
        elif choice < 0.95:
            self.append(journal, (DROP, partition, 1, 0, b""))
        elif choice < 0.97:
            await self.settle()
            applied = {p: journal.last_index(p) - random.randint(0, 3) for p in range(1, 5)}
            self.trimmed_at.append((len(self.disk.events), applied))
            journal.trim(applied)
        if random.random() < 0.3:
            await asyncio.sleep(0)

    async def settle(self) -> None:
        async with asyncio.timeout(10):
            while len(self.acknowledged_at) < len(self.records):
                await asyncio.sleep(0)

    async def run(self, steps: int) -> None:
        journal = await open_journal(self.disk)
        for _ in range(steps):
            await self.step(journal)
        await self.settle()
        await journal.close()


async def check_crash(recording: Recording, events: int, survival: Survival) -> None:
    """The journal after one crash, and whether it goes on from there."""
    disk = recording.disk.image(events, survival)
    journal = await open_journal(disk)
    least = recording.acknowledged(events)
    limits = recording.trimmed(events)
    prefixes = range(least, len(recording.records) + 1)
    found = next(
        (n for n in prefixes if matches(journal, model_after(recording.records[:n]), limits)), None
    )
    assert found is not None, f"no prefix of at least {least} records was recovered"
    partition = 9
    journal.append(ENTRY, partition, 1, 1, b"after the crash", None)
    await journal.close()
    again = await open_journal(disk)
    expected = model_after(
        [*recording.records[:found], (ENTRY, partition, 1, 1, b"after the crash")]
    )
    assert matches(again, expected, limits)
    await again.close()


@pytest.mark.parametrize("survival", SURVIVALS)
@pytest.mark.parametrize("seed", [1, 2])
def test_a_crash_at_any_boundary_keeps_what_was_acknowledged(seed: int, survival: str) -> None:
    async def body() -> None:
        recording = Recording(seed)
        await recording.run(160)
        kinds = {event.kind for event in recording.disk.events}
        assert {"open", "write", "sync", "remove"} <= kinds, "the run must roll and trim"
        for events in range(len(recording.disk.events) + 1):
            await check_crash(recording, events, SURVIVALS[survival])

    asyncio.run(body())


def test_a_crash_during_recovery_loses_nothing_either() -> None:
    async def body() -> None:
        recording = Recording(3)
        await recording.run(60)
        total = len(recording.disk.events)
        for events in range(2, total + 1, 5):
            first = recording.disk.image(events, random_sectors_survive(events))
            second = first.crashed(all_survives)  # records the recovery's own events
            base = second.crashed(all_survives)
            journal = await open_journal(second)
            recovered = dict(journal.recovered)
            for cut in range(len(second.events) + 1):
                disk = base.crashed(all_survives)
                for event in second.events[:cut]:
                    disk.apply(event)
                again = await open_journal(disk.crashed(nothing_survives))
                assert again.recovered == recovered
                await again.close()
            await journal.close()

    asyncio.run(body())


def test_a_torn_group_is_cut_although_valid_records_of_it_follow() -> None:
    """The first sectors of an unacknowledged group were lost, the last ones were not."""

    async def body() -> None:
        disk = RecordedDisk()
        journal = await open_journal(disk)
        durable: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        journal.append(ENTRY, 1, 1, 1, b"durable", lambda: durable.set_result(None))
        await durable
        for index in range(2, 6):
            journal.append(ENTRY, 1, 1, index, bytes([index]) * 600, None)
        writes = sum(event.kind == "write" for event in disk.events)
        while sum(event.kind == "write" for event in disk.events) == writes:
            await asyncio.sleep(0)

        def lose_the_first_sectors(dirty: list[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
            return [(offset + 700, data[700:]) for offset, data in dirty]

        again = await open_journal(disk.crashed(lose_the_first_sectors))
        assert again.recovered[1].last_index == 1
        assert not again.recovered[1].damaged
        assert again.lost_regions == []
        await again.close()
        await journal.close()

    asyncio.run(body())
