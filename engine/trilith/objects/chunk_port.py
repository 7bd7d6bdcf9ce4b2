"""What the object service needs of the chunk pipeline (chunks/)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from types import TracebackType
from typing import Any, Protocol, Self

from trilith.chunks.types import ChunkRef, StoredChunk
from trilith.runtime.disk import Buffer


class ChunkUpload(Protocol):
    """One body on its way into chunks. An async context manager: leaving it early gives up."""

    hashers: list[Any]  # objects with .update(data), fed with everything

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> object: ...

    async def feed(self, data: Buffer) -> None:
        """Waits while the window of chunks in flight is full."""
        ...

    async def finish(self) -> None:
        """All chunks are durable and all hashers are up to date when it returns."""
        ...

    def take(self) -> list[StoredChunk]:
        """Durable chunks since the last take, in order."""
        ...


class ChunkPipeline(Protocol):
    def upload(self, salt: bytes, *, expected_bytes: int | None = None) -> ChunkUpload:
        """A new body; bodies of one salt share equal chunks."""
        ...

    async def read(self, ref: ChunkRef) -> bytes:
        """The verified plaintext of a chunk."""
        ...

    def stream(self, references: Sequence[ChunkRef], first: int, last: int) -> AsyncIterator[bytes]:
        """Bytes first..last of the chunks laid end to end, reading ahead within a common budget."""
        ...
