"""Reading everything on a node's disk, slowly, so that a bad byte is found before it is needed.

Each source yields steps: so many bytes were read, or a Corruption that names what is bad. The
scrubber only finds; what to do about a find is its owner's business. Nothing is repaired in place.
What is on the medium is read, not what caches hold of it. Extents are read from end to end; the
chunks of one that has a bad byte are then read one by one, to learn which of them are damaged.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from trilith.errors import Corruption, TrilithError
from trilith.runtime.throttle import Throttle
from trilith.runtime.workers import Workers
from trilith.storage.chunk_store import ChunkStore
from trilith.storage.ordered_store import OrderedStore

ENTRIES_PER_STEP = 256
LAST_KEY = b"\xff" * 64
PAUSE_S = 0.01

Steps = AsyncIterator[int]  # bytes that were read and are good


@dataclass(slots=True)
class ScrubProgress:
    """Since the start, but for `bytes_read`: of the round that runs."""

    rounds: int = 0
    bytes_read: int = 0
    round_bytes: int = 0  # of the last whole round
    bad_chunks: int = 0
    bad_extents: int = 0
    bad_log_records: int = 0
    bad_store_reads: int = 0
    healed_log_records: int = 0
    running: bool = False
    eta_s: float | None = None


async def chunk_steps(
    store: ChunkStore,
    workers: Workers,
    bad: Callable[[bytes], None],
    *,
    is_suspect: Callable[[int], bool] = lambda _: True,
) -> AsyncIterator[int]:
    """Chunks that are found in suspect extents, checksum verified; `bad(chunk_id)` for the bad."""
    first = b""
    while True:
        entries = store.files.entries(first, ENTRIES_PER_STEP)
        for chunk_id, location in entries:
            if not is_suspect(location.extent):
                continue
            try:
                await workers.run(store.read, chunk_id)
            except KeyError:
                continue  # removed meanwhile
            except (Corruption, OSError):  # also a sector that cannot be read
                bad(chunk_id)
            yield location.length
        if len(entries) < ENTRIES_PER_STEP:
            return
        first = entries[-1][0] + b"\0"
        yield 0


async def store_steps(store: OrderedStore) -> AsyncIterator[int]:
    """Every record of the ordered store, its blocks verified where they are read from the disk.

    Raises Corruption.
    """
    first = b""
    while True:
        size = count = 0
        for key, value in store.scan(first, LAST_KEY):
            size += len(key) + len(value)
            count += 1
            first = key + b"\0"
            if count == ENTRIES_PER_STEP:
                break
        yield size
        if count < ENTRIES_PER_STEP:
            return


class Scrubber:
    """Rounds over all sources, spread over time."""

    def __init__(self, *, bytes_per_second_max: int, log: Callable[..., None]) -> None:
        self.progress = ScrubProgress()
        self._rate = bytes_per_second_max
        self._throttle = Throttle(bytes_per_second_max)
        self._log = log

    async def round(self, sources: list[tuple[str, Steps]], *, expected_bytes: int = 0) -> set[str]:
        """Read every source once. An error ends its source only, and is told; the names of those
        that were not read to their end. `expected_bytes`: an estimate, for the first round.
        """
        progress = self.progress
        failed = set()
        progress.running, progress.bytes_read = True, 0
        progress.round_bytes = progress.round_bytes or expected_bytes
        for name, steps in sources:
            try:
                async for size in steps:
                    progress.bytes_read += size
                    left = max(0, progress.round_bytes - progress.bytes_read)
                    progress.eta_s = left / self._rate
                    await self._throttle.wait_for(size)
                    await asyncio.sleep(PAUSE_S if size == 0 else 0)
            except (TrilithError, OSError) as error:
                failed.add(name)
                self._log(
                    "scrub_found" if isinstance(error, Corruption) else "scrub_failed",
                    source=name,
                    error=str(error),
                )
        progress.rounds += 1
        progress.round_bytes = progress.bytes_read
        progress.running, progress.eta_s = False, None
        return failed
