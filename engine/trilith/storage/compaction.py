"""Giving the bytes of removed chunks back to the disk: copy the living, then drop the extent.

Each step may be the last before a crash:

An extent that the scrubber retires is emptied too, however much of it lives.

* a copied chunk is found at its old place until the copy is durable and indexed, in one batch; an
  index from before that batch finds it at the old place, and the old extent is still there;
* an extent is dropped only after a look at the whole index found nothing in it, and after that
  index was made durable (`ChunkStore.drop_extent`).

The look is taken in steps, while chunks are put and removed. It is right all the same: an extent
below `settled_before` gets no new entry, so what is found in it at the end of the look was found in
it all along, and every step sees such an entry. A copy that cannot be read stays where it is, is
reported, and keeps its extent until it is healed: nothing is dropped on a guess.

Copying needs room. When the disk is too full for it, wholly dead extents are dropped first; copying
then goes on with the room that they leave.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from trilith.errors import Corruption
from trilith.runtime.ports import Runtime
from trilith.runtime.throttle import Throttle
from trilith.storage.chunk_store import ChunkStore
from trilith.storage.extent import (
    FIRST_RECORD_OFFSET,
    RECORD_HEAD_BYTES,
    ChunkLocation,
)

ENTRIES_PER_STEP = 512
DEAD_SHARE_MIN = 0.3  # of an extent that is worth the copying
DEAD_BYTES_MIN = 256 * 1024  # in the extent that is written to: less is not worth a new one


@dataclass(slots=True)
class CompactionProgress:
    """Since the start, but for `dead_bytes`: found by the last look, not yet given back."""

    bytes_reclaimed: int = 0
    bytes_copied: int = 0
    extents_dropped: int = 0
    unreadable: int = 0
    dead_bytes: int = 0
    running: bool = False
    bytes_left: int = 0  # to be copied in this run
    eta_s: float | None = None  # None: nothing is copied, or no rate is known yet


@dataclass(slots=True)
class _Look:
    """What a look at the whole index found: living bytes of each extent, with their record heads.

    Extents without any are absent. Right for extents below `settled_before`, taken at its start.
    """

    settled_before: int
    living: dict[int, int]

    def dead(self, number: int, size: int) -> int:
        """Bytes that nothing is found in, of an extent of `size` bytes."""
        return max(0, size - FIRST_RECORD_OFFSET - self.living.get(number, 0))


class Compactor:
    """Compacts one chunk store. One `run` at a time."""

    def __init__(
        self,
        runtime: Runtime,
        store: ChunkStore,
        *,
        bytes_per_second_max: int,
        on_damaged: Callable[[bytes], None] = lambda _: None,
    ) -> None:
        self.progress = CompactionProgress()
        self._workers = runtime.workers
        self._clock = runtime.clock
        self._store = store
        self._throttle = Throttle(bytes_per_second_max)
        self._on_damaged = on_damaged
        self._retired: set[int] = set()

    def retire(self, number: int) -> None:
        """The extent has a bad byte: the next run moves what lives in it, and drops it."""
        self._retired.add(number)

    async def run(self) -> bool:
        """Compact whatever is worth it; False: something was left for want of room or of a good
        copy. Raises DiskFull, StorageFailure, OSError: try later.
        """
        progress = self.progress
        progress.running = True
        try:
            return await self._run()
        finally:
            progress.running, progress.bytes_left, progress.eta_s = False, 0, None

    async def _run(self) -> bool:
        unreadable, done = self.progress.unreadable, True
        look = await self._look()
        if await self._leave_extent(look):
            look = await self._look()
        sizes = await self._drop_dead(look)
        victims = [
            number
            for number, size in sizes.items()
            if number < look.settled_before
            and (number in self._retired or look.dead(number, size) > DEAD_SHARE_MIN * size)
        ]
        if victims:
            victims.sort(key=lambda number: look.living.get(number, 0))
            self.progress.bytes_left = sum(look.living.get(number, 0) for number in victims)
            started = (self._clock.monotonic(), self.progress.bytes_copied)
            for number in victims:
                if not await self._workers.run(self._store.can_copy, look.living.get(number, 0)):
                    done = False
                    break
                await self._empty(number, started)
            look = await self._look()
            sizes = await self._drop_dead(look)
        self.progress.dead_bytes = sum(
            look.dead(number, size)
            for number, size in sizes.items()
            if number < look.settled_before
        )
        self._retired &= set(sizes)
        return done and unreadable == self.progress.unreadable and not self._retired

    async def _look(self) -> _Look:
        look = _Look(self._store.settled_before, {})
        async for _, location in self._entries():
            size = location.length + RECORD_HEAD_BYTES
            look.living[location.extent] = look.living.get(location.extent, 0) + size
        return look

    async def _entries(self) -> AsyncIterator[tuple[bytes, ChunkLocation]]:
        """The index, step by step; others run in between."""
        first = b""
        while True:
            step = self._store.files.entries(first, ENTRIES_PER_STEP)
            for entry in step:
                yield entry
            if len(step) < ENTRIES_PER_STEP:
                return
            first = step[-1][0] + b"\0"
            await asyncio.sleep(0)

    async def _leave_extent(self, look: _Look) -> bool:
        """Write elsewhere from now on, when much of the current extent is dead."""
        number, end = self._store.written_bytes
        dead = look.dead(number, end)
        wanted = number in self._retired and end > 0
        if not wanted and (dead < DEAD_BYTES_MIN or dead <= DEAD_SHARE_MIN * end):
            return False
        await self._store.begin_extent()
        return True

    async def _drop_dead(self, look: _Look) -> dict[int, int]:
        """Drop the extents in which the look found nothing; the sizes of the others."""
        sizes = await self._workers.run(self._store.files.extent_sizes)
        for number in sorted(sizes):
            if number < look.settled_before and number not in look.living:
                await self._store.drop_extent(number)
                self.progress.bytes_reclaimed += sizes.pop(number)
                self.progress.extents_dropped += 1
        return sizes

    async def _empty(self, number: int, started: tuple[float, int]) -> None:
        """Copy the living chunks of an extent. `started`: when, and `bytes_copied` at that time."""
        progress = self.progress
        async for chunk_id, location in self._entries():
            if location.extent != number:
                continue
            await self._throttle.wait_for(location.length)
            try:
                sealed = await self._workers.run(self._store.read, chunk_id)
            except KeyError:
                continue  # removed meanwhile
            except Corruption:
                self.progress.unreadable += 1
                self._on_damaged(chunk_id)
                continue
            await self._store.move(chunk_id, sealed, location)
            progress.bytes_copied += len(sealed)
            progress.bytes_left = max(0, progress.bytes_left - len(sealed) - RECORD_HEAD_BYTES)
            copied = progress.bytes_copied - started[1]
            progress.eta_s = (self._clock.monotonic() - started[0]) * progress.bytes_left / copied
