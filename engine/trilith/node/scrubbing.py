"""Searching everything on this node's disk for bad bytes, and having them healed.

* A bad chunk is fetched from another zone, and its extent is given up.
* A journal segment with a bad byte is retired: the ordered store is flushed, what only that segment
  told is journaled anew, and it is dropped. Nothing is lost by that, and no peer is asked.
* A bad file of the ordered store has no second copy here: the node is rebuilt from its peers, as
  long as another zone is in sync for all that it has.

When the last round ended is kept on the disk, so that restarts do not put the next one off.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import asdict
from typing import Any

from trilith.config import Storage
from trilith.edge.metrics import Metrics
from trilith.errors import Corruption, TrilithError
from trilith.node.quarantine import Damage, Quarantine
from trilith.runtime.ports import Runtime
from trilith.storage.chunk_store import ChunkStore
from trilith.storage.extent_scrub import extent_steps
from trilith.storage.journal import Journal
from trilith.storage.journal_scrub import journal_steps
from trilith.storage.ordered_store import OrderedStore
from trilith.storage.scrub import Scrubber, Steps, chunk_steps, store_steps

LAST_FILE = "scrubbed"  # wall-clock milliseconds of the end of the last round
FIRST_WAIT_S = 60.0  # after a start, when a round is overdue
RETIRE_RETRY_S = 5.0
RETIRE_ATTEMPTS = 24
STORE, STORE_FILES = "ordered store", "ordered store's files"


class Scrubbing:
    """Of one node. `run` goes on until it is cancelled."""

    def __init__(
        self,
        *,
        runtime: Runtime,
        node_id: str,
        journal: Journal,
        checkpoint: Callable[[], Awaitable[None]],
        store: OrderedStore,
        store_files: Callable[[], Steps],
        on_bad_store: Callable[[Corruption], None],
        chunks: ChunkStore,
        on_bad_chunk: Callable[[bytes], None],
        retire_extent: Callable[[int], None],
        quarantine: Quarantine,
        config: Storage,
        log: Callable[..., None],
    ) -> None:
        """`checkpoint` flushes the store and trims the journal; it raises TrilithError.

        `store_files`: reads the files of the ordered store as they lie on the medium.
        """
        self._clock = runtime.clock
        self._disk = runtime.disk
        self._workers = runtime.workers
        self._node_id = node_id
        self._journal = journal
        self._checkpoint = checkpoint
        self._store = store
        self._store_files = store_files
        self._on_bad_store = on_bad_store
        self._chunks = chunks
        self._on_bad_chunk = on_bad_chunk
        self._retire_extent = retire_extent
        self._quarantine = quarantine
        self._interval_s = config.scrub_interval_seconds
        self._log = log
        self._scrubber = Scrubber(bytes_per_second_max=config.scrub_bytes_per_second_max, log=log)
        self._bad_segments: dict[int, int] = {}  # number -> offset
        self._bad_extents: set[int] = set()

    async def run(self) -> None:
        await asyncio.sleep(self._first_wait_s())
        while True:
            await self._round()
            now = b"%d\n" % self._clock.wall_ms()
            try:
                await self._workers.run(self._disk.write_small, LAST_FILE, now)
            except OSError as error:  # no room: a restart looks again a little too soon
                self._log("scrub_not_noted", error=str(error))
            await asyncio.sleep(self._interval_s)

    def _first_wait_s(self) -> float:
        """Until the next round is due; a wall clock that jumped costs one round at most."""
        try:
            last_ms = int(self._disk.read_small(LAST_FILE))
        except (FileNotFoundError, ValueError):
            return self._interval_s
        passed_s = (self._clock.wall_ms() - last_ms) / 1000
        soonest_s = min(FIRST_WAIT_S, self._interval_s)
        return min(self._interval_s, max(soonest_s, self._interval_s - passed_s))

    async def _round(self) -> None:
        disk, workers = self._disk, self._workers
        self._bad_extents.clear()
        extents = await workers.run(self._chunks.files.extent_sizes)

        def is_suspect(number: int) -> bool:
            return number in self._bad_extents or number not in extents

        sources: list[tuple[str, Steps]] = [
            (
                "journal",
                journal_steps(
                    self._journal, disk, "journal", self._node_id, workers, self._bad_segment
                ),
            ),
            (
                "extents",
                extent_steps(
                    self._chunks, disk, "chunks", self._node_id, workers, self._bad_extent
                ),
            ),
            (
                "chunks",
                chunk_steps(self._chunks, workers, self._bad_chunk, is_suspect=is_suspect),
            ),
            (STORE, self._told(store_steps(self._store))),
            (STORE_FILES, self._told(self._store_files())),
        ]
        expected = self._chunks.bytes_stored + self._journal.bytes_on_disk
        failed = await self._scrubber.round(sources, expected_bytes=expected)
        if not failed & {STORE, STORE_FILES}:
            self._quarantine.release(Damage.STORE, STORE, "all of it was read")
        for number in sorted(self._bad_extents):
            self._retire_extent(number)
        for _ in range(RETIRE_ATTEMPTS):
            await self._retire_segments()
            if not self._bad_segments:
                break
            await asyncio.sleep(min(RETIRE_RETRY_S, self._interval_s))

    # what is found

    def _bad_chunk(self, chunk_id: bytes) -> None:
        self._scrubber.progress.bad_chunks += 1
        self._log("scrub_found", source="chunks", chunk_id=chunk_id.hex())
        self._on_bad_chunk(chunk_id)

    def _bad_extent(self, number: int, offset: int) -> None:
        self._scrubber.progress.bad_extents += 1
        self._log("scrub_found", source="extents", extent=number, offset=offset)
        self._bad_extents.add(number)

    def _bad_segment(self, number: int, offset: int) -> None:
        if number not in self._bad_segments:
            self._scrubber.progress.bad_log_records += 1
            self._log("scrub_found", source="journal", segment=number, offset=offset)
        self._bad_segments[number] = offset

    async def _told(self, steps: AsyncIterator[int]) -> AsyncIterator[int]:
        """Steps of the ordered store; its owner is told of what is bad."""
        try:
            async for size in steps:
                yield size
        except Corruption as error:
            self._scrubber.progress.bad_store_reads += 1
            self._on_bad_store(error)
            raise

    # the journal

    async def _retire_segments(self) -> None:
        """Have the bad segments dropped, as far as nothing needs them."""
        if not self._bad_segments:
            return
        why = "entries in it, or before it, are not applied yet"
        try:
            for number in self._bad_segments:
                self._journal.retire(number)
            await self._checkpoint()
        except TrilithError as error:
            why = str(error)
        present = {number for number, _ in self._journal.durable_segments()}
        for number, offset in list(self._bad_segments.items()):
            name = f"journal segment {number}"
            if number in present:
                self._quarantine.add(Damage.LOG, name, f"a bad record at {offset}; {why}")
                continue
            del self._bad_segments[number]
            self._scrubber.progress.healed_log_records += 1
            self._log("scrub_healed", source="journal", segment=number)
            self._quarantine.release(Damage.LOG, name, "everything it told is elsewhere")

    # what is told

    def facts(self) -> dict[str, Any]:
        """For `trilith status`."""
        return asdict(self._scrubber.progress)

    def register(self, metrics: Metrics) -> None:
        """Progress, as metrics."""
        found = self._scrubber.progress
        for name, text, read in (
            ("bad_chunks", "Chunks found damaged.", lambda: found.bad_chunks),
            ("bad_extents", "Extents found with a bad byte.", lambda: found.bad_extents),
            (
                "bad_log_records",
                "Journal segments found with a bad byte.",
                lambda: found.bad_log_records,
            ),
            (
                "healed_log_records",
                "Journal segments with a bad byte that were replaced.",
                lambda: found.healed_log_records,
            ),
            (
                "bad_store_reads",
                "Times that the ordered store was found damaged.",
                lambda: found.bad_store_reads,
            ),
            ("rounds", "Times that everything on the disk was read.", lambda: found.rounds),
        ):
            metrics.add_collector(f"trilith_scrub_{name}", text, "counter", _as_float(read))


def _as_float(read: Callable[[], int]) -> Callable[[], float]:
    return lambda: float(read())
