"""The list of what cannot be healed, on a disk that may rot."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from tests.storage.recorded_disk import DiskEvent, RecordedDisk
from tests.storage.recorded_runtime import recorded_runtime

from trilith.node.quarantine import FILE, Damage, Quarantine

CHUNK = "ab" * 32


def opened(disk: RecordedDisk) -> tuple[Quarantine, list[str]]:
    told: list[str] = []
    return Quarantine(recorded_runtime(disk), lambda event, **_: told.append(event)), told


def written() -> bytes:
    """The file of a list with one chunk on it."""
    disk = RecordedDisk(record=False)

    async def story() -> None:
        kept, _ = opened(disk)
        saving = asyncio.create_task(kept.run())
        kept.add(Damage.CHUNK, CHUNK, "no zone has a good copy")
        while not disk.exists(FILE):
            await asyncio.sleep(0)
        saving.cancel()

    asyncio.run(story())
    return bytes(disk.read_small(FILE))


def disk_with(content: bytes) -> RecordedDisk:
    disk = RecordedDisk(record=False)
    disk.apply(DiskEvent("replace", FILE, data=content))
    return disk


def test_the_list_outlives_a_restart() -> None:
    kept, told = opened(disk_with(written()))
    assert kept.has(Damage.CHUNK, CHUNK)
    assert told == []


@pytest.mark.parametrize("place", range(0, len(written()), 7))
def test_a_list_with_a_rotten_byte_names_nothing_else(place: int) -> None:
    content = bytearray(written())
    content[place] ^= 0x11  # of a hex digit this makes another letter
    kept, _ = opened(disk_with(bytes(content)))
    assert [entry.id for entry in kept.entries()] in ([], [CHUNK])


def test_a_list_of_an_earlier_version_is_read() -> None:
    found = msgspec.json.decode(written())
    del found["digest"]
    kept, _ = opened(disk_with(msgspec.json.encode(found)))
    assert kept.has(Damage.CHUNK, CHUNK)
