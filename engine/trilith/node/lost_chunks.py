"""Chunks that no zone has a good copy of: which objects need them, and until when they are listed.

A lost chunk is tried again as long as anything may need it: a zone with a good copy may come back,
or somebody may upload the same bytes. When no segment names it any more, garbage collection takes
it out of the store, and then it is forgotten here.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import Any

from trilith.chunks.repair import RepairWorker
from trilith.errors import TrilithError
from trilith.node.quarantine import OBJECTS_MAX, Damage, Quarantine, keep_looking
from trilith.objects.references import ObjectReferences
from trilith.storage.chunk_store import ChunkStore

LOST = "no zone has a good copy"
UNUSED = f"{LOST}; no object needs it any more, garbage collection will remove it"

BucketNames = Callable[[], Awaitable[dict[bytes, str]]]


class LostChunks:
    """Keeps the quarantine's chunks. `run` goes on until it is cancelled."""

    def __init__(
        self,
        quarantine: Quarantine,
        worker: RepairWorker[Any],
        references: ObjectReferences,
        store: ChunkStore,
        *,
        bucket_names: BucketNames,
        interval_s: float,
        log: Callable[..., None],
    ) -> None:
        """`interval_s`: between looks at who needs what is listed."""
        self._quarantine = quarantine
        self._worker = worker
        self._references = references
        self._store = store
        self._bucket_names = bucket_names
        self._interval_s = interval_s
        self._log = log
        self._new = asyncio.Event()
        worker.on_lost = self._lost
        worker.on_whole = self._whole
        for entry in quarantine.entries(Damage.CHUNK):
            worker.heal_soon(bytes.fromhex(entry.id))

    def _lost(self, chunk_id: bytes) -> None:
        if not self._quarantine.has(Damage.CHUNK, chunk_id.hex()):
            self._quarantine.add(Damage.CHUNK, chunk_id.hex(), LOST)
            self._new.set()

    def _whole(self, chunk_id: bytes) -> None:
        self._quarantine.release(Damage.CHUNK, chunk_id.hex(), "a good copy is here")

    async def run(self) -> None:
        await keep_looking(self._look, self._new, self._interval_s, self._failed)

    def _failed(self, error: TrilithError) -> None:
        """A partition cannot be asked."""
        self._log("lost_chunks_not_named", error=error.code, message=error.message)

    async def _look(self) -> None:
        """Name the objects that need what is listed."""
        listed = {bytes.fromhex(entry.id) for entry in self._quarantine.entries(Damage.CHUNK)}
        if not listed:
            return
        names = await self._bucket_names()
        objects: dict[bytes, set[str]] = defaultdict(set)
        async for chunk_id, bucket_id, key in self._references.users(listed):
            if len(objects[chunk_id]) < OBJECTS_MAX:
                objects[chunk_id].add(f"{names.get(bucket_id, bucket_id.hex())}/{key}")
        for chunk_id in listed:
            if not self._quarantine.has(Damage.CHUNK, chunk_id.hex()):
                continue  # healed meanwhile
            if chunk_id in objects:
                self._quarantine.add(Damage.CHUNK, chunk_id.hex(), LOST)
                self._quarantine.name_objects(Damage.CHUNK, chunk_id.hex(), list(objects[chunk_id]))
            elif self._store.contains(chunk_id):
                self._quarantine.add(Damage.CHUNK, chunk_id.hex(), UNUSED)
                self._quarantine.name_objects(Damage.CHUNK, chunk_id.hex(), [])
            else:
                self._quarantine.release(Damage.CHUNK, chunk_id.hex(), "no object needs it")
                self._worker.dismiss(chunk_id)
