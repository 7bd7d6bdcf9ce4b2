"""Garbage collection of chunks: mark and sweep, one collector for each data node and its own store.

The only truth about references is the SEGMENT records of the object partitions: no count is kept,
so none can be wrong after a crash, a snapshot, a takeover or a rebuilt index. A cycle:

    1. the stamp S: taken of the store (`ChunkStore.mark_time`) at least a grace period G before,
       on this process's monotonic clock;
    2. the barrier: a command through every partition; everything that a leader evaluated before it
       is then committed, or never will be;
    3. the mark: all references, read linearizably, into a Bloom filter. It errs on one side only:
       it may keep garbage (another cycle, with other bits, will not), and never misses a reference;
    4. the sweep: a chunk that is not marked, and was not put or touched after S, is removed, in one
       step with that look at its stamp.

Why no chunk that is referenced, or ever will be, is removed. Take a segment s that names chunk c,
and the cycle that would remove c at this node; b is the moment at which its barrier began.

* s was evaluated before b: it is committed when the mark begins, stays where it is until it is
  deleted, and is read. Then c is marked. (If s can no longer be committed, it is no reference.)
* s is evaluated after b. The only way to a new reference is `write_segment` (objects/rules), which
  refuses it when the leader's clock is past `expires_ms`: G / 2 after the gateway's clock at a
  moment before it put or touched c (chunks/renewal.py). With clocks within G / 4 of true time, the
  touch began after b - G / 2 - 2 G / 4, so after S was taken; its stamp is later than S, and c
  stays. If the touch is yet to come, it finds c gone and the gateway puts its bytes.
* or s names this zone as one that missed c. Then the entry in the repair queue, committed with s,
  is taken off only after c was touched or stored here once more, later than b: as above. Or no zone
  has a good copy of c: then there is nothing to remove, and one that comes back is stored, later.

Hence it does not matter how long the cycle takes, which replica answers, or what wall clock this
node has. A restart forgets S: for one grace period nothing is removed, which is what lets uploads
in progress go on. A removed chunk that comes back by a crash, by a repair, or with a rebuilt index
is garbage again and no more. A partition that cannot be asked, or any other error, ends the cycle
before its sweep. Chunks that this node does not own under the current ring are left alone.

The mark sees every reference there is, so it also finds what this node should have and has not:
a record that rotted before it was indexed is in no index, no queue and no scrubber's round. Such
chunks go to `on_missing`.

Cost: nothing while nothing changes (no entries applied, no chunks put, nothing condemned); else one
pass over the segments' ids and one over the index, in short steps, a fixed share of the time.
Memory: the filter, FILTER_BYTES_MAX at most.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Hashable
from dataclasses import dataclass
from typing import Protocol

from trilith.chunks.mark_filter import MarkFilter
from trilith.cluster.placement import Placement
from trilith.errors import TrilithError
from trilith.runtime.ports import Runtime
from trilith.storage.chunk_store import ChunkStore
from trilith.storage.compaction import Compactor

ENTRIES_PER_STEP = 256
CHUNK_ID_SIZE = 32
BUSY_SHARE = 0.2  # of the time at most, while a cycle runs
PAUSE_S_MIN = 0.001


class References(Protocol):
    """The object model's references."""

    def settled_pages(self) -> AsyncIterator[bytes]:
        """Chunk ids end to end: all references there are, after a barrier (steps 2 and 3).

        Raises TrilithError when it cannot be known that these are all.
        """
        ...


@dataclass(slots=True)
class CollectorProgress:
    """What `trilith status` shows. Condemned: without a reference, and still kept for a while."""

    condemned_chunks: int = 0
    condemned_bytes: int = 0
    removed_chunks: int = 0
    removed_bytes: int = 0
    missing_chunks: int = 0  # of the last mark: referenced, and not here
    cycles: int = 0
    failed_cycles: int = 0
    last_error: str = ""
    phase: str = "idle"  # or mark, sweep, compact
    eta_s: float | None = None  # until what is condemned may be removed


class Collector:
    """Runs the cycles of one data node."""

    def __init__(
        self,
        runtime: Runtime,
        store: ChunkStore,
        references: References,
        placement: Placement,
        compactor: Compactor,
        *,
        node_id: str,
        zone: str,
        grace_s: float,
        interval_s: float,
        changes: Callable[[], Hashable],
        on_missing: Callable[[bytes], None],
        log: Callable[..., None],
    ) -> None:
        """`changes` answers something else whenever references may have changed. `on_missing` is
        told of chunks that are referenced, and not here though they should be."""
        self.progress = CollectorProgress()
        self._clock = runtime.clock
        self._store = store
        self._references = references
        self._placement = placement
        self._compactor = compactor
        self._node_id = node_id
        self._zone = zone
        self._grace_s = grace_s
        self._interval_s = interval_s
        self._changes = changes
        self._on_missing = on_missing
        self._log = log
        self._stamps: deque[tuple[float, int]] = deque()  # (monotonic, stamp), the oldest first
        self._seen: Hashable = None
        self._must_look = True
        self._must_compact = True

    def compact_soon(self) -> None:
        """Something is to be compacted, though nothing was removed."""
        self._must_compact = True

    async def run(self) -> None:
        """Cycles until cancelled."""
        while True:
            await self.step()
            await asyncio.sleep(self._interval_s)

    async def step(self) -> None:
        """What is due now. Errors are counted and told, and end this step only."""
        try:
            await self._step()
        except (TrilithError, OSError) as error:
            self.progress.failed_cycles += 1
            self.progress.last_error = str(error)
            self._log("collection_failed", phase=self.progress.phase, error=str(error))
        self.progress.phase = "idle"

    async def _step(self) -> None:
        stamp = self._stamp_before_grace()
        changes = (self._changes(), self._store.chunks)
        if stamp is not None and (self._must_look or changes != self._seen):
            removed = await self._cycle(stamp)
            # Chunks put or released meanwhile are found because `changes` is of before.
            self._seen = (changes[0], changes[1] - removed)
            self._must_look = self.progress.condemned_chunks > 0
            self._must_compact = self._must_compact or removed > 0
        self._estimate()
        if self._must_compact:
            self.progress.phase = "compact"
            self._must_compact = not await self._compactor.run()

    def _stamp_before_grace(self) -> int | None:
        """Take a stamp for later; the latest one that is old enough (step 1)."""
        now = self._clock.monotonic()
        self._stamps.append((now, self._store.mark_time()))
        stamp = None
        while self._stamps and now - self._stamps[0][0] >= self._grace_s:
            stamp = self._stamps.popleft()[1]
        if stamp is not None:
            self._stamps.appendleft((now - self._grace_s, stamp))
        return stamp

    async def _cycle(self, stamp: int) -> int:
        """Mark and sweep; how many chunks were removed."""
        progress = self.progress
        progress.phase, progress.missing_chunks = "mark", 0
        marks = MarkFilter(self._store.chunks, seed=stamp)
        pause = _Pauses(self._clock.monotonic)
        async for page in self._references.settled_pages():
            for at in range(0, len(page), CHUNK_ID_SIZE * ENTRIES_PER_STEP):
                some = page[at : at + CHUNK_ID_SIZE * ENTRIES_PER_STEP]
                marks.add_all(some)
                self._look_for(some)
                await pause()
        progress.phase = "sweep"
        removed = await self._sweep(marks, stamp, pause)
        progress.cycles += 1
        progress.last_error = ""
        return removed

    def _look_for(self, referenced: bytes) -> None:
        for at in range(0, len(referenced), CHUNK_ID_SIZE):
            chunk_id = referenced[at : at + CHUNK_ID_SIZE]
            if self._owns(chunk_id) and not self._store.contains(chunk_id):
                self.progress.missing_chunks += 1
                self._on_missing(chunk_id)

    def _owns(self, chunk_id: bytes) -> bool:
        return self._placement.owner_in(self._zone, chunk_id) == self._node_id

    async def _sweep(self, marks: MarkFilter, stamp: int, pause: _Pauses) -> int:
        """Step 4, a few entries at a time."""
        progress = self.progress
        condemned_chunks = condemned_bytes = removed_chunks = 0
        first = b""
        while True:
            entries = self._store.files.entries(first, ENTRIES_PER_STEP)
            garbage = [
                (chunk_id, location)
                for chunk_id, location in entries
                if chunk_id not in marks and self._owns(chunk_id)
            ]
            count, size = self._store.remove(
                [chunk_id for chunk_id, _ in garbage], untouched_since=stamp
            )
            removed_chunks += count
            progress.removed_chunks += count
            progress.removed_bytes += size
            condemned_chunks += len(garbage) - count
            condemned_bytes += sum(location.length for _, location in garbage) - size
            if len(entries) < ENTRIES_PER_STEP:
                break
            first = entries[-1][0] + b"\0"
            await pause()
        progress.condemned_chunks, progress.condemned_bytes = condemned_chunks, condemned_bytes
        return removed_chunks

    def _estimate(self) -> None:
        """The youngest condemned chunk was touched before now."""
        waits_s = self._grace_s + self._interval_s
        self.progress.eta_s = waits_s if self.progress.condemned_chunks else None


class _Pauses:
    """Lets others run, so that the work between pauses is a fixed share of the time."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._resumed_at = monotonic()

    async def __call__(self) -> None:
        worked_s = self._monotonic() - self._resumed_at
        await asyncio.sleep(max(PAUSE_S_MIN, worked_s * (1 / BUSY_SHARE - 1)))
        self._resumed_at = self._monotonic()
