"""Damage to journal bytes that had been durable: found, and never a silently shorter log."""

from __future__ import annotations

import asyncio

import pytest
from tests.crash.journal_model import Record, model_after
from tests.storage.recorded_disk import RecordedDisk
from tests.storage.recorded_runtime import recorded_runtime

from trilith.errors import Corruption, DataDirectoryUnusable
from trilith.storage.journal import ENTRY, RESET, STATE, Journal, JournalConfig
from trilith.storage.segment import FIRST_RECORD_OFFSET, segment_path
from trilith_native.record import HEADER_SIZE

CONFIG = JournalConfig("node-1", segment_bytes=4096, cache_bytes=0, mark_delay_s=0.001)
PAYLOAD_BYTES = 100


def unexpected_failure(error: OSError) -> None:
    raise AssertionError(error)


async def open_journal(disk: RecordedDisk, config: JournalConfig = CONFIG) -> Journal:
    return await Journal.open(
        recorded_runtime(disk), "journal", config, on_failure=unexpected_failure
    )


async def write_records(disk: RecordedDisk, records: list[Record]) -> None:
    """Each record in a sync of its own; then a clean close."""
    journal = await open_journal(disk)
    for record in records:
        durable: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        journal.append(*record, lambda done=durable: done.set_result(None))
        await durable
    await journal.close()


def some_records(count: int = 12) -> list[Record]:
    records: list[Record] = [(STATE, partition, 1, 0, b"state") for partition in (1, 2, 3)]
    for index in range(1, count + 1):
        records.extend(
            (ENTRY, partition, 1, index, bytes([partition, index]) * (PAYLOAD_BYTES // 2))
            for partition in (1, 2)
        )
    return records


def entries(journal: Journal, partition: int) -> list[tuple[int, int, bytes]]:
    first = journal.first_index(partition)
    return journal.read(partition, first, max_bytes=1 << 30, max_entries=1 << 30)


def test_no_flipped_byte_shortens_a_log_in_silence() -> None:
    """Every byte of every segment, one at a time."""

    async def body() -> None:
        disk = RecordedDisk()
        records = some_records()
        await write_records(disk, records)
        expected = model_after(records)
        wrong_header = 0
        for name in disk.list("journal"):
            for offset in range(0, disk.size(f"journal/{name}"), 3):
                damaged = disk.crashed()
                damaged.flip(f"journal/{name}", offset, 0x10)
                try:
                    journal = await open_journal(damaged)
                except DataDirectoryUnusable:
                    wrong_header += 1
                    continue
                for partition, log in expected.items():
                    found = journal.recovered.get(partition)
                    if found is None:  # its only record was lost: all are in doubt
                        assert journal.may_lack_logs
                        continue
                    if not found.damaged:
                        assert found.state == log.state, (name, offset)
                        assert found.last_index == log.last_index, (name, offset)
                        assert len(entries(journal, partition)) == len(log.entries)
                await journal.close()
        assert wrong_header == 0, "a damaged header is no newer format"

    asyncio.run(body())


def entry_offset(disk: RecordedDisk, partition: int, index: int) -> tuple[str, int]:
    """File and offset of the payload of an entry."""
    payload = bytes([partition, index]) * (PAYLOAD_BYTES // 2)
    for name in disk.list("journal"):
        found = disk.content(f"journal/{name}").find(payload)
        if found >= 0:
            return f"journal/{name}", found
    raise AssertionError("no such entry")


def test_logs_lost_without_a_trace_are_in_doubt_until_the_node_has_named_them() -> None:
    """A node that stops between two looks at its journal must not take such a log for a new one."""

    async def body() -> None:
        disk = RecordedDisk()
        await write_records(disk, [(STATE, 7, 1, 0, b"state"), *some_records(2)])
        name = f"journal/{disk.list('journal')[0]}"
        disk.flip(name, disk.content(name).find(b"state"))
        for _ in range(2):
            journal = await open_journal(disk)
            assert 7 not in journal.recovered
            assert journal.may_lack_logs
            await journal.close()
        journal = await open_journal(disk)
        journal.settle_unrecorded([7])
        assert not journal.may_lack_logs
        await journal.close()
        for _ in range(2):
            journal = await open_journal(disk)
            assert not journal.may_lack_logs
            assert journal.recovered[7].damaged
            await journal.close()
        journal = await open_journal(disk)
        journal.append(RESET, 7, 1, 3, b"", None)  # a snapshot
        await journal.close()
        journal = await open_journal(disk)
        assert not journal.recovered[7].damaged
        await journal.close()

    asyncio.run(body())


def test_only_the_owner_of_a_damaged_entry_is_marked_when_its_gap_proves_it() -> None:
    async def body() -> None:
        disk = RecordedDisk()
        await write_records(disk, some_records())
        disk.flip(*entry_offset(disk, 2, 5))
        journal = await open_journal(disk)
        assert {p for p, found in journal.recovered.items() if found.damaged} == {2}
        assert journal.recovered[2].last_index == 4
        assert journal.recovered[1].last_index == 12
        assert not journal.may_lack_logs
        await journal.close()

    asyncio.run(body())


def test_all_partitions_are_marked_when_the_owner_cannot_be_proven() -> None:
    """The partition's last entry: no later one shows a gap, so the claimed owner may be wrong."""

    async def body() -> None:
        disk = RecordedDisk()
        await write_records(disk, some_records())
        path, offset = entry_offset(disk, 1, 12)
        disk.flip(path, offset)
        journal = await open_journal(disk)
        assert {p for p, found in journal.recovered.items() if found.damaged} == {1, 2, 3}
        await journal.close()

    asyncio.run(body())


def test_damage_stays_known_until_the_partition_is_reset_and_then_it_is_over() -> None:
    async def body() -> None:
        disk = RecordedDisk()
        await write_records(disk, some_records())
        disk.flip(*entry_offset(disk, 1, 12))
        for _ in range(3):
            journal = await open_journal(disk)
            assert all(found.damaged for found in journal.recovered.values())
            with pytest.raises(ValueError, match="damaged"):
                journal.append(ENTRY, 1, 1, 12, b"", None)
            await journal.close()
        journal = await open_journal(disk)
        journal.append(RESET, 1, 2, 40, b"", None)
        journal.append(STATE, 1, 2, 0, b"rebuilt", None)
        journal.append(ENTRY, 1, 2, 41, b"new", None)
        await journal.close()
        journal = await open_journal(disk)
        assert not journal.recovered[1].damaged
        assert journal.recovered[1].last_index == 41
        assert journal.recovered[2].damaged
        await journal.close()

    asyncio.run(body())


def test_damage_stays_known_after_its_segment_was_trimmed() -> None:
    async def body() -> None:
        config = JournalConfig("node-1", segment_bytes=4096, retain_bytes=0, mark_delay_s=0.001)
        disk = RecordedDisk()
        await write_records(disk, some_records())
        disk.flip(*entry_offset(disk, 1, 12))
        for _ in range(3):
            journal = await open_journal(disk, config)
            journal.trim({1: 12, 2: 12, 3: 0})
            await journal.close()
        journal = await open_journal(disk, config)
        assert not disk.exists(segment_path("journal", 1))
        assert all(found.damaged for found in journal.recovered.values())
        assert set(journal.recovered) == {1, 2, 3}
        await journal.close()

    asyncio.run(body())


def test_a_missing_segment_damages_every_partition() -> None:
    async def body() -> None:
        disk = RecordedDisk()
        await write_records(disk, some_records(30))
        disk.remove(segment_path("journal", 2))
        journal = await open_journal(disk)
        assert all(found.damaged for found in journal.recovered.values())
        await journal.close()

    asyncio.run(body())


def test_a_lost_tail_of_an_earlier_segment_is_no_torn_write() -> None:
    async def body() -> None:
        disk = RecordedDisk()
        await write_records(disk, some_records())
        path = segment_path("journal", 1)
        image = disk.content(path)
        last = len(image.rstrip(b"\0"))
        disk.open_append(path, at=last - 200, preallocate_bytes=4096).close()
        journal = await open_journal(disk)
        assert any(found.damaged for found in journal.recovered.values())
        await journal.close()

    asyncio.run(body())


def test_an_entry_damaged_after_recovery_is_refused_when_read() -> None:
    async def body() -> None:
        disk = RecordedDisk()
        await write_records(disk, some_records())
        journal = await open_journal(disk)
        disk.flip(*entry_offset(disk, 1, 3))
        with pytest.raises(Corruption):
            journal.read(1, 3, max_bytes=1000, max_entries=1)
        assert journal.read(1, 4, max_bytes=1000, max_entries=1)[0][1] == 4
        await journal.close()

    asyncio.run(body())


def test_the_journal_of_another_node_is_refused() -> None:
    async def body() -> None:
        disk = RecordedDisk()
        await write_records(disk, some_records())
        with pytest.raises(DataDirectoryUnusable, match="node-1"):
            await open_journal(disk, JournalConfig("node-2", segment_bytes=4096))

    asyncio.run(body())


def test_a_journal_of_a_newer_format_is_refused() -> None:
    async def body() -> None:
        from trilith_native.crc import crc32c

        disk = RecordedDisk()
        await write_records(disk, some_records())
        path = segment_path("journal", 1)
        image = bytearray(disk.content(path))
        image[8] = 99
        image[FIRST_RECORD_OFFSET - 4 : FIRST_RECORD_OFFSET] = crc32c(
            bytes(image[: FIRST_RECORD_OFFSET - 4])
        ).to_bytes(4, "little")
        disk.write_small(path, bytes(image))
        with pytest.raises(DataDirectoryUnusable, match="99"):
            await open_journal(disk)
        assert HEADER_SIZE == 40

    asyncio.run(body())
