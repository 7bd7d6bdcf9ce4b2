"""A twin of the chunk pipeline in memory: fixed-size sealed chunks, and zones that can be away."""

from __future__ import annotations

from collections.abc import AsyncIterator
from types import TracebackType
from typing import Any

from trilith.chunks.types import ChunkRef, StoredChunk
from trilith.errors import StorageFailure
from trilith_native.convergent import open_chunk, seal_chunk

NEVER_MS = 1 << 62  # nothing is collected here


class LocalPipeline:
    """`stored`: chunk id -> sealed bytes. `fail_after`: refuse to store more chunks than that."""

    def __init__(self, *, chunk_size: int = 1000) -> None:
        self.chunk_size = chunk_size
        self.stored: dict[bytes, bytes] = {}
        self.zones_away: tuple[str, ...] = ()
        self.reads = 0
        self.chunks_fed = 0
        self.fail_after: int | None = None

    def upload(self, salt: bytes, *, expected_bytes: int | None = None) -> LocalUpload:
        return LocalUpload(self, salt)

    async def renew(self, chunks: list[StoredChunk]) -> list[StoredChunk]:
        assert all(chunk.ref.chunk_id in self.stored for chunk in chunks)
        return [StoredChunk(chunk.ref, chunk.missed_zones, NEVER_MS) for chunk in chunks]

    async def read(self, ref: ChunkRef) -> bytes:
        self.reads += 1
        plaintext = open_chunk(ref.key, self.stored[ref.chunk_id])
        assert len(plaintext) == ref.size
        return plaintext

    async def stream(
        self, references: AsyncIterator[tuple[int, ChunkRef]], first: int, last: int
    ) -> AsyncIterator[bytes]:
        async for offset, reference in references:
            assert offset <= last
            assert offset + reference.size > first
            data = await self.read(reference)
            yield data[max(0, first - offset) : last + 1 - offset]


class LocalUpload:
    def __init__(self, pipeline: LocalPipeline, salt: bytes) -> None:
        self._pipeline = pipeline
        self._salt = salt
        self._buffer = bytearray()
        self._done: list[StoredChunk] = []
        self.hashers: list[Any] = []

    async def __aenter__(self) -> LocalUpload:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._buffer.clear()

    async def feed(self, data: bytes | bytearray | memoryview) -> None:
        for hasher in self.hashers:
            hasher.update(data)
        self._buffer += data
        while len(self._buffer) >= self._pipeline.chunk_size:
            self._store(bytes(self._buffer[: self._pipeline.chunk_size]))
            del self._buffer[: self._pipeline.chunk_size]

    async def finish(self) -> None:
        if self._buffer:
            self._store(bytes(self._buffer))
            self._buffer.clear()

    def take(self) -> list[StoredChunk]:
        done, self._done = self._done, []
        return done

    def _store(self, plaintext: bytes) -> None:
        pipeline = self._pipeline
        pipeline.chunks_fed += 1
        if pipeline.fail_after is not None and pipeline.chunks_fed > pipeline.fail_after:
            raise StorageFailure("no more chunks")
        chunk_id, key, sealed = seal_chunk(self._salt, plaintext)
        pipeline.stored[chunk_id] = sealed
        ref = ChunkRef(chunk_id, key, len(plaintext))
        self._done.append(StoredChunk(ref, pipeline.zones_away, NEVER_MS))
