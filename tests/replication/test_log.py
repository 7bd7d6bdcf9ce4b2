"""One partition's log over the journal, where the journal refuses."""

from __future__ import annotations

import asyncio

import pytest
from tests.storage.memory_ordered_store import MemoryOrderedStore
from tests.storage.recorded_disk import RecordedDisk
from tests.storage.recorded_runtime import recorded_runtime

from trilith.errors import DiskFull
from trilith.replication.log import ReplicaLog
from trilith.replication.own_disk import OwnDisk
from trilith.storage.journal import Journal, JournalConfig
from trilith.storage.journal_refusals import no_room


def test_a_cut_or_a_reset_without_room_leaves_the_log_as_it_was() -> None:
    """It was shorter in memory than in the journal, which refused every entry from then on."""

    async def story() -> None:
        runtime = recorded_runtime(RecordedDisk())
        config = JournalConfig("n", segment_bytes=8192, free_bytes_min=0)
        journal = await Journal.open(runtime, "journal", config, on_failure=print)
        disk = OwnDisk(journal, MemoryOrderedStore(), limit_s=1.0, log=print)
        log = ReplicaLog(journal, disk, 1, lambda: None)
        for _ in range(3):
            log.append(1, b"entry")
        journal._refusal = no_room
        with pytest.raises(DiskFull):
            log.cut(1)
        with pytest.raises(DiskFull):
            log.reset(9, 2, lambda: None)
        journal._refusal = None
        assert (log.last_index, log.last_epoch) == (3, 1)
        assert log.append(2, b"on") == journal.last_index(1) == 4
        await journal.close()

    asyncio.run(story())
