"""Chunks at a node: what this node answers for its own store, and how to ask any node.

Every method may run twice with the same result. Put and touch answer only when the chunk is
durable here; either waits for a write of the same chunk that is under way (the store sees to it),
so that nobody is told of a chunk that a crash could still take back.

Wire: `chunk.put` header = chunk id, body = sealed bytes; the answer says new (01) or known (00).
`chunk.touch` header = chunk ids end to end; the answer has a byte for each: 01 there, 00 absent.
`chunk.get` header = chunk id; the answer's header is 01 and its body the sealed bytes, or 00.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from trilith.chunks.patience import Patience
from trilith.errors import (
    Corruption,
    InvalidRequest,
    OutcomeUnknown,
    Overloaded,
)
from trilith.peers.ports import Peers
from trilith.runtime.network import Buffer
from trilith.runtime.workers import Workers
from trilith.storage.chunk_store import ChunkStore

CHUNK_ID_SIZE = 32
ABSENT, PRESENT = b"\x00", b"\x01"

PUT, TOUCH, GET = "chunk.put", "chunk.touch", "chunk.get"

T = TypeVar("T")


class ChunkService:
    """Serves this node's chunks to all nodes, and asks others for theirs."""

    def __init__(
        self,
        peers: Peers,
        store: ChunkStore,
        workers: Workers,
        *,
        timeout_s: float,
        inflight_bytes_max: int,
    ) -> None:
        """`inflight_bytes_max`: of other nodes' chunks being written here; above it, Overloaded."""
        self.node_id = peers.node_id
        self.store = store
        # Told of a chunk that was asked for, and is absent or damaged here.
        self.on_damaged: Callable[[bytes], None] = lambda *_: None
        # Whether this node's copy is known to be bad; told when new bytes have replaced it.
        self.is_damaged: Callable[[bytes], bool] = lambda _: False
        self.on_replaced: Callable[[bytes], None] = lambda _: None
        # Whether a node sends no heartbeats though its link is up: it hangs, or packets are lost.
        # Of this node itself: whether its disk hangs.
        self.is_silent: Callable[[str], bool] = lambda _: False
        self._peers = peers
        self._workers = workers
        self._timeout_s = timeout_s
        self._inflight_bytes_max = inflight_bytes_max
        self._inflight_bytes = 0
        self._patience: dict[str, Patience] = {}
        peers.serve(PUT, self._serve_put)
        peers.serve(TOUCH, self._serve_touch)
        peers.serve(GET, self._serve_get)

    def wall_ms(self) -> int:
        return self.store.wall_ms()

    # asking a node, this one or another

    def is_reachable(self, node_id: str) -> bool:
        """Whether to wait for the node at all: a silent one would cost every call its deadline."""
        has_way = node_id == self.node_id or self._peers.is_reachable(node_id)
        return has_way and not self.is_silent(node_id)

    async def put(self, node_id: str, chunk_id: bytes, sealed: Buffer) -> None:
        """Durable at the node on return. Raises TrilithError; it may be there even then."""
        if node_id == self.node_id:
            await self._within(node_id, self._put_here(chunk_id, sealed))
        else:
            await self._call(node_id, PUT, chunk_id, sealed)

    async def touch(self, node_id: str, chunk_ids: Sequence[bytes]) -> list[bool]:
        """Which of them the node has; those are marked as in use, durably. Raises TrilithError."""
        if node_id == self.node_id:
            return await self._within(node_id, self._touch_here(chunk_ids))
        header, _ = await self._call(node_id, TOUCH, b"".join(chunk_ids))
        return [flag == 1 for flag in header]

    async def get(self, node_id: str, chunk_id: bytes) -> Buffer | None:
        """The sealed bytes, or None when the node lacks the chunk. Raises Corruption and others."""
        if node_id == self.node_id:
            return await self._read_here(chunk_id)
        header, body = await self._call(node_id, GET, chunk_id)
        return body if header == PRESENT else None

    async def _call(
        self, node_id: str, method: str, header: bytes, body: Buffer = b""
    ) -> tuple[bytes, memoryview]:
        patience = self._patience_with(node_id)
        loop = asyncio.get_running_loop()
        started, deadline_s = loop.time(), patience.deadline_s
        try:
            answer = await self._peers.call(node_id, method, header, body, deadline_s=deadline_s)
        except OutcomeUnknown:
            if loop.time() - started >= deadline_s:
                patience.silent()
            raise
        patience.answered(loop.time() - started)
        return answer

    async def _within(self, node_id: str, work: Awaitable[T]) -> T:
        """A local disk can hang as a remote node can."""
        patience = self._patience_with(node_id)
        loop = asyncio.get_running_loop()
        started = loop.time()
        try:
            async with asyncio.timeout(patience.deadline_s):
                result = await work
        except TimeoutError:
            patience.silent()
            raise OutcomeUnknown("this node's chunk store did not answer in time") from None
        patience.answered(loop.time() - started)
        return result

    def _patience_with(self, node_id: str) -> Patience:
        patience = self._patience.get(node_id)
        if patience is None:
            patience = self._patience[node_id] = Patience(self._timeout_s)
        return patience

    # this node's store

    async def _put_here(self, chunk_id: bytes, sealed: Buffer) -> bool:
        """Whether the bytes are new here. They replace a copy that is known to be bad."""
        bad = self.is_damaged(chunk_id)
        new = await self.store.store(chunk_id, sealed, replace=bad)
        if bad:
            self.on_replaced(chunk_id)
        return new

    async def _touch_here(self, chunk_ids: Sequence[bytes]) -> list[bool]:
        """A copy that is known to be bad counts as absent: whoever has the bytes sends them."""
        present = await self.store.touch(chunk_ids)
        return [
            there and not self.is_damaged(chunk_id)
            for chunk_id, there in zip(chunk_ids, present, strict=True)
        ]

    async def _read_here(self, chunk_id: bytes) -> bytes | None:
        try:
            return await self._workers.run(self.store.read, chunk_id)
        except KeyError:
            self.on_damaged(chunk_id)
            return None
        except Corruption:
            self.on_damaged(chunk_id)
            raise

    # what other nodes ask

    async def _serve_put(
        self, peer_id: str, header: bytes, body: memoryview
    ) -> tuple[bytes, Buffer]:
        del peer_id
        _check_ids(header, 1)
        size = len(body)
        if self._inflight_bytes and self._inflight_bytes + size > self._inflight_bytes_max:
            raise Overloaded("this node is writing as many chunks as it may hold")
        self._inflight_bytes += size
        try:
            new = await self._put_here(header, body)
        finally:
            self._inflight_bytes -= size
        return PRESENT if new else ABSENT, b""

    async def _serve_touch(
        self, peer_id: str, header: bytes, body: memoryview
    ) -> tuple[bytes, Buffer]:
        del peer_id, body
        count = _check_ids(header, None)
        ids = [header[CHUNK_ID_SIZE * i : CHUNK_ID_SIZE * (i + 1)] for i in range(count)]
        return bytes(await self._touch_here(ids)), b""

    async def _serve_get(
        self, peer_id: str, header: bytes, body: memoryview
    ) -> tuple[bytes, Buffer]:
        del peer_id, body
        _check_ids(header, 1)
        sealed = await self._read_here(header)
        return (ABSENT, b"") if sealed is None else (PRESENT, sealed)


def _check_ids(header: bytes, expected: int | None) -> int:
    count, rest = divmod(len(header), CHUNK_ID_SIZE)
    if rest or (expected is not None and count != expected):
        raise InvalidRequest(f"a header of {len(header)} bytes does not hold chunk ids")
    return count
