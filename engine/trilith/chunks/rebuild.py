"""Filling an empty disk: a node that lost its chunks copies all that its zone should have.

The repair queue knows what a zone missed while it was away, not what a lost disk had. So a node
whose directory has no mark of a whole rebuild reads every reference there is and copies the chunks
that it owns and lacks; until it has done so once, no replica of its zone is taken into an in-sync
set (DESIGN: replication, rule 3). A chunk that no zone has any more is counted and does not keep
the zone out: nobody can bring it back.

An upload that stored its chunks on the lost disk may be committed while the references are read.
Its manifest is committed within the expiry of its chunks (chunks/renewal.py), so a second pass
after that finds the rest; only then is the mark written.

A node whose extents had damaged records when they were scanned does the same: what these held is
in no index, so nobody would know that it is missing here.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from trilith.cluster.placement import Placement
from trilith.errors import TrilithError
from trilith.runtime.ports import Runtime
from trilith.storage.chunk_store import ChunkStore

MARK = "chunks/rebuilt"
FIRST_MARK = "chunks/rebuilt-once"
RETRY_S = 1.0
BATCH_CHUNKS = 64
CHUNK_ID_SIZE = 32


class AllReferences(Protocol):
    """The object model's references."""

    def pages(self) -> AsyncIterator[bytes]:
        """Chunk ids end to end: what is committed now. Raises TrilithError."""
        ...


class Copier(Protocol):
    """The repair worker."""

    async def copy_missing(self, chunk_ids: Sequence[bytes]) -> tuple[int, int]:
        """Bring chunks here; how many could not be brought now, and how many never can."""
        ...


@dataclass(slots=True)
class RebuildProgress:
    """What `trilith status` shows."""

    done: bool = False
    passes: int = 0
    references: int = 0  # counted at the start of this pass
    looked_at: int = 0
    missing: int = 0  # of this pass, so far
    without_good_copy: int = 0
    eta_s: float | None = None  # of this pass; None while none runs or no rate is known


class Rebuild:
    """Of one data node."""

    def __init__(
        self,
        runtime: Runtime,
        store: ChunkStore,
        references: AllReferences,
        copier: Copier,
        placement: Placement,
        *,
        node_id: str,
        zone: str,
        grace_s: float,
        log: Callable[..., None],
    ) -> None:
        self.progress = RebuildProgress()
        self._disk = runtime.disk
        self._clock = runtime.clock
        self._store = store
        self._references = references
        self._copier = copier
        self._placement = placement
        self._node_id = node_id
        self._zone = zone
        self._grace_s = grace_s
        self._log = log

    async def run(self) -> None:
        """Returns when all is here. `progress.done` is set after the first whole pass."""
        if self._store.damaged_bytes:
            self._log("chunks_lost_in_damage", damaged_bytes=self._store.damaged_bytes)
            for path in (MARK, FIRST_MARK):  # the damage is not found again by the next start
                if self._disk.exists(path):
                    self._disk.remove(path)
        if self._disk.exists(MARK):
            self.progress.done = True
            return
        if not self._disk.exists(FIRST_MARK):
            await self._pass_until_whole()
            if not self.progress.looked_at:
                await self._mark(MARK)
                self.progress.done = True
                return
            # Kept: after a restart the zone is let in again at once, also by a leader that is
            # alone, and so cannot answer what a pass would ask.
            await self._mark(FIRST_MARK)
        self.progress.done = True
        await asyncio.sleep(self._grace_s)
        await self._pass_until_whole()
        await self._mark(MARK)

    async def _mark(self, path: str) -> None:
        """Write a mark, however long the disk has no room for it."""
        while True:
            try:
                self._disk.write_small(path, b"1\n")
            except OSError as error:
                self._log("rebuild_not_marked", path=path, error=str(error))
                await asyncio.sleep(RETRY_S)
            else:
                return

    async def _pass_until_whole(self) -> None:
        while True:
            try:
                if await self._pass():
                    return
            except TrilithError as error:
                self._log("rebuild_delayed", error=error.code, message=error.message)
            finally:
                self.progress.eta_s = None
            await asyncio.sleep(RETRY_S)

    async def _pass(self) -> bool:
        """Whether nothing is left that could be had."""
        progress = self.progress
        progress.passes += 1
        progress.looked_at = progress.missing = progress.without_good_copy = 0
        progress.references = 0
        async for page in self._references.pages():  # ids only: little beside the copying
            progress.references += len(page) // CHUNK_ID_SIZE
        started = self._clock.monotonic()
        left = 0
        batch: dict[bytes, None] = {}
        async for page in self._references.pages():
            for at in range(0, len(page), CHUNK_ID_SIZE):
                chunk_id = page[at : at + CHUNK_ID_SIZE]
                progress.looked_at += 1
                if self._placement.owner_in(
                    self._zone, chunk_id
                ) == self._node_id and not self._store.contains(chunk_id):
                    batch[chunk_id] = None
                    if len(batch) >= BATCH_CHUNKS:
                        left += await self._copy(batch)
            passed_s = self._clock.monotonic() - started
            ahead = max(0, progress.references - progress.looked_at)
            progress.eta_s = passed_s * ahead / progress.looked_at
            await asyncio.sleep(0)
        left += await self._copy(batch)
        return left == 0

    async def _copy(self, batch: dict[bytes, None]) -> int:
        chunk_ids = list(batch)
        batch.clear()
        self.progress.missing += len(chunk_ids)
        left, lost = await self._copier.copy_missing(chunk_ids)
        self.progress.without_good_copy += lost
        return left
