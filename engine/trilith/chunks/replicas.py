"""One chunk into every zone: touched where it is, put where it is not.

A chunk counts as durable when all zones that answer have it synced, and at least two do. What is
known already is not encrypted: its bytes are sealed only when some zone turns out to lack it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from trilith.chunks.service import ChunkService
from trilith.cluster.placement import Placement
from trilith.errors import DiskFull, InternalError, NotEnoughZones, Overloaded, TrilithError
from trilith.runtime.workers import Workers
from trilith_native.convergent import NONCE_SIZE, seal

DURABLE_ZONES_MIN = 2
OVERLOADED_RETRIES_MAX = 8
OVERLOADED_DELAY_S = 0.05  # doubled with each retry: 12 s in all
INLINE_BYTES_MAX = 128 * 1024  # hopping to a worker thread costs more than work on less than this

_ZERO_NONCE = bytes(NONCE_SIZE)  # safe: a chunk's key encrypts that one plaintext only


class NewChunk:
    """A chunk on its way: its sealed bytes, or its plaintext as long as nobody needed them."""

    __slots__ = ("_sealing", "chunk_id", "key", "plaintext", "sealed", "size")

    def __init__(
        self, chunk_id: bytes, key: bytes, plaintext: bytes | None, sealed: bytes | None, size: int
    ) -> None:
        self.chunk_id = chunk_id
        self.key = key
        self.plaintext = plaintext
        self.sealed = sealed
        self.size = size  # of the plaintext
        self._sealing: asyncio.Future[bytes] | None = None

    async def sealed_bytes(self, workers: Workers) -> bytes:
        """Sealed once, however many zones want it."""
        if self.sealed is not None:
            return self.sealed
        if self._sealing is None:
            assert self.plaintext is not None
            self._sealing = asyncio.ensure_future(
                workers.run(seal, self.key, _ZERO_NONCE, self.plaintext)
            )
        self.sealed = await asyncio.shield(self._sealing)
        self.plaintext = None
        return self.sealed


class ReplicaWriter:
    """Brings chunks into all zones."""

    def __init__(
        self, service: ChunkService, placement: Placement, workers: Workers, local_zone: str
    ) -> None:
        self._service = service
        self._placement = placement
        self._workers = workers
        self._local_zone = local_zone
        self.on_missed: Callable[[str, TrilithError], None] = lambda *_: None
        self.known_chunks = 0
        self.known_bytes = 0
        self.new_chunks = 0
        self.new_bytes = 0

    def is_known_here(self, chunk_id: bytes) -> bool | None:
        """Whether the local zone's owner has it; None: that is another node, ask it. Any thread."""
        owner = self._placement.owner_in(self._local_zone, chunk_id)
        if owner != self._service.node_id:
            return None
        return self._service.store.contains(chunk_id)

    def require_zones(self) -> None:
        """Raises NotEnoughZones when too few zones can be reached to make anything durable."""
        zones = self._placement.reachable_zones(self._service.is_reachable)
        if len(zones) < DURABLE_ZONES_MIN:
            raise NotEnoughZones(
                f"only {len(zones)} zones can be reached to store chunks", reachable=sorted(zones)
            )

    async def write(self, chunk: NewChunk) -> tuple[str, ...]:
        """Durable on return; the zones that missed it, sorted.

        Raises NotEnoughZones or DiskFull (retryable): fewer than two zones have it. It may be
        stored somewhere nevertheless, which harms nobody.
        """
        owners = self._placement.owners(chunk.chunk_id)
        known = chunk.sealed is None and await self._is_known(chunk, owners)
        loop = asyncio.get_running_loop()
        writes = {
            zone: loop.create_task(self._write_to(owner, chunk, known=known))
            for zone, owner in owners.items()
        }
        try:
            if writes:
                await asyncio.wait(writes.values())
        except asyncio.CancelledError:
            for task in writes.values():
                task.cancel()
            await asyncio.gather(*writes.values(), return_exceptions=True)
            raise
        missed = self._missed(writes)
        if known:
            self.known_chunks += 1
            self.known_bytes += chunk.size
        else:
            self.new_chunks += 1
            self.new_bytes += chunk.size
        return missed

    async def _is_known(self, chunk: NewChunk, owners: dict[str, str]) -> bool:
        """Whether the nearest owner that answers has it. Only a hint: each zone is asked itself."""
        nearest = owners.get(self._local_zone)
        if nearest is None or nearest == self._service.node_id:
            return True  # looked up before; a zone that lacks it says so
        if not self._service.is_reachable(nearest):
            return True
        try:
            (known,) = await self._service.touch(nearest, (chunk.chunk_id,))
        except TrilithError:
            return True
        return known

    async def _write_to(self, node_id: str, chunk: NewChunk, *, known: bool) -> None:
        service = self._service
        if known:
            (there,) = await service.touch(node_id, (chunk.chunk_id,))
            if there:
                return
        elif not service.is_reachable(node_id):
            raise NotEnoughZones(f"node {node_id} cannot be reached")
        sealed = await chunk.sealed_bytes(self._workers)
        delay_s = OVERLOADED_DELAY_S
        for _ in range(OVERLOADED_RETRIES_MAX):
            try:
                await service.put(node_id, chunk.chunk_id, sealed)
            except Overloaded:
                await asyncio.sleep(delay_s)
                delay_s *= 2
            else:
                return
        raise Overloaded(f"node {node_id} has had no room for a chunk")

    def _missed(self, writes: dict[str, asyncio.Task[None]]) -> tuple[str, ...]:
        failures: dict[str, TrilithError] = {}
        for zone, task in writes.items():
            error = task.exception()
            if isinstance(error, TrilithError):
                failures[zone] = error
            elif error is not None:
                raise InternalError(f"writing a chunk to zone {zone}: {error!r}") from error
        if len(writes) - len(failures) < DURABLE_ZONES_MIN:
            for error in failures.values():
                if isinstance(error, DiskFull):
                    raise error
            reasons = {zone: error.message for zone, error in failures.items()}
            raise NotEnoughZones("fewer than two zones have stored a chunk", zones=reasons)
        for zone, error in failures.items():
            self.on_missed(zone, error)
        return tuple(sorted(failures))
