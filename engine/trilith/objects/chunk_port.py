"""What the object service needs of the chunk pipeline (chunks/)."""

from __future__ import annotations

from collections.abc import AsyncIterator
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

    async def renew(self, chunks: list[StoredChunk]) -> list[StoredChunk]:
        """The same chunks in order, none about to expire: touched anew where they would.

        To be asked before a manifest that names them is committed. Raises NotEnoughZones.
        """
        ...

    async def read(self, ref: ChunkRef) -> bytes:
        """The verified plaintext of a chunk."""
        ...

    def stream(
        self, references: AsyncIterator[tuple[int, ChunkRef]], first: int, last: int
    ) -> AsyncIterator[bytes]:
        """Bytes first..last of a body, in runs of up to a chunk, reading ahead within a budget.

        `references`: (offset in the body, chunk) in order, asked for as they are needed.
        """
        ...
