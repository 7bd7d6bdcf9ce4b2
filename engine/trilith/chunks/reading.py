"""Chunks back as plaintext: from this zone when it has a good copy, else from any other.

Nothing is returned that did not pass its checksum and its authentication tag. A copy that should
be at hand and is missing or bad is reported, so that it is healed. A zone that does not answer
soon is asked no longer alone: the next one is asked as well.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from typing import NamedTuple

from trilith.chunks.budget import ByteBudget
from trilith.chunks.replicas import INLINE_BYTES_MAX
from trilith.chunks.service import ChunkService
from trilith.chunks.types import ChunkRef
from trilith.cluster.placement import Placement
from trilith.errors import Corruption, PeerUnreachable, TrilithError
from trilith.runtime.network import Buffer
from trilith.runtime.workers import Workers
from trilith_native.convergent import open_chunk

READ_AHEAD_CHUNKS = 2
HEDGE_DELAY_S = 0.25  # a read that takes this long elsewhere is also asked of the next zone
# A zone that may have the only good copy is waited for: links come up one after the other when a
# node has just started, or a cut has just healed.
AWAY_PATIENCE_S = 1.5
AWAY_RETRY_S = 0.1

Damaged = Callable[[bytes, str], None]


class _Read(NamedTuple):
    """A chunk being read for a stream."""

    task: asyncio.Task[bytes]
    offset: int  # of its first byte in the body
    charged_bytes: int  # of the read-ahead budget


class ChunkReader:
    """Reads chunks."""

    def __init__(
        self,
        service: ChunkService,
        placement: Placement,
        workers: Workers,
        local_zone: str,
        read_ahead_bytes_max: int,
    ) -> None:
        """`read_ahead_bytes_max`: chunks read before they are wanted, over all streams."""
        self.on_damaged: Damaged = lambda *_: None
        self.fallback_reads = 0
        self.read_ahead = ByteBudget(read_ahead_bytes_max)
        self._service = service
        self._placement = placement
        self._workers = workers
        self._local_zone = local_zone

    async def read(self, reference: ChunkRef) -> bytes:
        """The plaintext. Raises Corruption when no zone has a good copy, PeerUnreachable when the
        zones that might have one do not answer."""
        owner = self._placement.owner_in(self._local_zone, reference.chunk_id)
        if owner == self._service.node_id:
            try:
                return await self._workers.run(self._read_and_open, reference)
            except (KeyError, Corruption, OSError):
                self.on_damaged(reference.chunk_id, self._local_zone)
                return await self._read_elsewhere(reference, skip=owner)
        return await self._read_elsewhere(reference, skip=None)

    async def stream(
        self, references: AsyncIterator[tuple[int, ChunkRef]], first: int, last: int
    ) -> AsyncIterator[bytes]:
        """Bytes first..last inclusive of a body, in runs of up to a chunk; see ChunkPipeline."""
        reads: deque[_Read] = deque()
        ahead = self.read_ahead
        waiting: tuple[int, ChunkRef] | None = None  # listed, and no room to read it ahead
        ended = first > last
        try:
            while True:
                while not ended and len(reads) <= READ_AHEAD_CHUNKS:
                    listed = waiting or await anext(references, None)
                    waiting = None
                    if listed is None or listed[0] > last:
                        ended = True
                        break
                    offset, reference = listed
                    if offset + reference.size <= first:
                        continue
                    charged = reference.size if reads else 0  # the next one is always read
                    if charged and not ahead.try_acquire(charged):
                        waiting = listed
                        break
                    task = asyncio.ensure_future(self.read(reference))
                    reads.append(_Read(task, offset, charged))
                if not reads:
                    return
                plaintext = await reads[0].task
                read = reads.popleft()
                ahead.release(read.charged_bytes)
                start, end = max(first - read.offset, 0), last + 1 - read.offset
                yield plaintext if not start and end >= len(plaintext) else plaintext[start:end]
        finally:
            for read in reads:
                read.task.cancel()
                ahead.release(read.charged_bytes)
            await asyncio.gather(*(read.task for read in reads), return_exceptions=True)

    def _read_and_open(self, reference: ChunkRef) -> bytes:
        """On a worker: one hop for the file, the checksum and the decryption."""
        return _opened(reference, self._service.store.read(reference.chunk_id))

    async def _read_elsewhere(self, reference: ChunkRef, skip: str | None) -> bytes:
        self.fallback_reads += 1
        loop = asyncio.get_running_loop()
        deadline = loop.time() + AWAY_PATIENCE_S
        while True:
            try:
                return await self._ask_around(reference, skip)
            except PeerUnreachable:
                if loop.time() >= deadline:
                    raise
            await asyncio.sleep(AWAY_RETRY_S)

    async def _ask_around(self, reference: ChunkRef, skip: str | None) -> bytes:
        """Ask node by node; when one is slow, the next one too. The first good copy wins."""
        candidates = deque(self._candidates(reference.chunk_id, skip))
        failures: list[TrilithError] = []
        asking: set[asyncio.Task[bytes]] = set()
        try:
            while candidates or asking:
                if candidates:
                    zone, node_id = candidates.popleft()
                    asking.add(asyncio.ensure_future(self._ask(zone, node_id, reference)))
                timeout_s = HEDGE_DELAY_S if candidates else None
                done, asking = await asyncio.wait(
                    asking, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED
                )
                for task in done:
                    try:
                        return task.result()
                    except TrilithError as error:
                        failures.append(error)
        finally:
            for task in asking:
                task.cancel()
            await asyncio.gather(*asking, return_exceptions=True)
        name = reference.chunk_id.hex()
        if failures and all(isinstance(error, Corruption) for error in failures):
            raise Corruption(f"no zone has a good copy of chunk {name}", chunk_id=name)
        raise PeerUnreachable(f"no zone that answers has chunk {name}", chunk_id=name)

    def _candidates(self, chunk_id: bytes, skip: str | None) -> list[tuple[str, str]]:
        """(zone, node), the likeliest first: owners, this zone's before others'; former owners."""
        owners = self._placement.owners(chunk_id)
        zones = sorted(owners, key=lambda zone: zone != self._local_zone)
        found = [(zone, owners[zone]) for zone in zones]
        for zone in zones:
            found += [(zone, node) for node in self._placement.earlier_owners(zone, chunk_id)]
        reachable = self._service.is_reachable
        # Nodes that seem unreachable come last: their link may have come back this moment.
        found.sort(key=lambda candidate: not reachable(candidate[1]))
        return [(zone, node) for zone, node in found if node != skip]

    async def _ask(self, zone: str, node_id: str, reference: ChunkRef) -> bytes:
        sealed = await self._service.get(node_id, reference.chunk_id)
        if sealed is None:
            if node_id == self._placement.owner_in(zone, reference.chunk_id):
                self.on_damaged(reference.chunk_id, zone)
            raise Corruption(f"node {node_id} lacks the chunk")
        try:
            if reference.size <= INLINE_BYTES_MAX:
                return _opened(reference, sealed)
            return await self._workers.run(_opened, reference, sealed)
        except Corruption:
            self.on_damaged(reference.chunk_id, zone)
            raise


def _opened(reference: ChunkRef, sealed: Buffer) -> bytes:
    try:
        plaintext = open_chunk(reference.key, sealed)
    except ValueError as error:
        raise Corruption("a chunk does not authenticate") from error
    if len(plaintext) != reference.size:
        raise Corruption(f"a chunk has {len(plaintext)} bytes, not {reference.size}")
    return plaintext


async def in_order(references: Iterable[ChunkRef]) -> AsyncIterator[tuple[int, ChunkRef]]:
    """Chunks laid end to end: each with the offset of its first byte."""
    offset = 0
    for reference in references:
        yield offset, reference
        offset += reference.size
