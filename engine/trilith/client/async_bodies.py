"""Bodies for the asynchronous client: those of bodies.py, and asynchronous iterables.

Files are read in a thread, so that a slow disk does not hold up the event loop.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterable, AsyncIterator, Iterator

from trilith.client.access import new_request_token
from trilith.client.bodies import Data, Source, source_of, split
from trilith.wire.v1 import objects_pb2 as wire

AsyncData = Data | AsyncIterable[bytes]


class AsyncSource:
    """A body, its size in bytes where it is known, and whether it can be read again."""

    def __init__(
        self, source: Source | None, runs: AsyncIterable[bytes] | None, *, blocks: bool
    ) -> None:
        self._source = source
        self._runs = runs
        self._blocks = blocks
        self.size = None if source is None else source.size
        self.is_repeatable = source is not None and source.is_repeatable

    async def pieces(self) -> AsyncIterator[bytes]:
        if self._runs is not None:
            async for run in self._runs:
                for piece in split(run):
                    yield piece
        elif self._source is not None:
            pieces = self._source.pieces()
            while piece := await self._next(pieces):
                yield piece

    async def _next(self, pieces: Iterator[bytes]) -> bytes:
        if self._blocks:
            return await asyncio.to_thread(next, pieces, b"")
        return next(pieces, b"")


class AsyncUpload:
    """As bodies.Upload."""

    def __init__(self, head: wire.PutObjectHead, source: AsyncSource) -> None:
        self._head = head
        self._source = source
        self._token = b""
        self.failure: Exception | None = None

    async def messages(self) -> AsyncIterator[wire.PutObjectRequest]:
        self.failure = None
        yield wire.PutObjectRequest(head=self._head)
        try:
            async for piece in self._source.pieces():
                yield wire.PutObjectRequest(data=piece)
        except Exception as error:  # noqa: BLE001 - told to the caller by who sends this
            self.failure = error
            return  # without a last message nothing is stored
        self._token = self._token or new_request_token()
        yield wire.PutObjectRequest(last=True, token=self._token)


def async_source_of(data: AsyncData) -> AsyncSource:
    """Raises TypeError."""
    if isinstance(data, AsyncIterable):
        return AsyncSource(None, data, blocks=False)
    blocks = isinstance(data, os.PathLike) or hasattr(data, "read")
    return AsyncSource(source_of(data), None, blocks=blocks)
