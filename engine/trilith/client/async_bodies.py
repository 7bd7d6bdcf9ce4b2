"""Bodies for the asynchronous client: those of bodies.py, and asynchronous iterables.

Files are read in a thread, so that a slow disk does not hold up the event loop.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterable, AsyncIterator, Iterator
from typing import Any

from trilith.client.bodies import Data, FileSlice, Source, closing, source_of, split

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


class AsyncBodyStream:
    """As bodies.BodyStream."""

    def __init__(self, head: Any, source: AsyncSource, last: Any) -> None:
        self._head = head
        self._source = source
        self._last = last
        self.is_repeatable = source.is_repeatable
        self.failure: Exception | None = None

    async def messages(self) -> AsyncIterator[Any]:
        self.failure = None
        message = type(self._head)
        yield self._head
        try:
            async for piece in self._source.pieces():
                yield message(data=piece)
        except Exception as error:  # noqa: BLE001 - told to the caller by who sends this
            self.failure = error
            return  # without a last message nothing is stored
        yield closing(self._last)


def async_source_of(data: AsyncData | FileSlice) -> AsyncSource:
    """Raises TypeError."""
    if isinstance(data, AsyncIterable):
        return AsyncSource(None, data, blocks=False)
    blocks = isinstance(data, os.PathLike | FileSlice) or hasattr(data, "read")
    return AsyncSource(source_of(data), None, blocks=blocks)
