"""A record of the chunk store on its way to an extent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from trilith.errors import TrilithError
from trilith.runtime.disk import Buffer
from trilith.storage.extent import RECORD_HEAD_BYTES, ChunkLocation

PutDone = Callable[[OSError | TrilithError | None], None]


class ChunkWrite:
    """`location` is set once it has a place.

    `moved_from`: its bytes lie there already, and are to be found here instead if they still do.
    """

    __slots__ = (
        "callbacks",
        "chunk_id",
        "error",
        "kind",
        "location",
        "moved_from",
        "placed",
        "sealed",
        "size",
        "touched_ms",
    )

    def __init__(self, kind: int, chunk_id: bytes, sealed: Buffer, touched_ms: int) -> None:
        self.kind = kind
        self.chunk_id = chunk_id
        self.sealed = sealed
        self.size = RECORD_HEAD_BYTES + len(sealed)
        self.touched_ms = touched_ms
        self.callbacks: list[PutDone] = []
        self.location: ChunkLocation | None = None
        self.moved_from: ChunkLocation | None = None
        self.placed = False
        self.error: TrilithError | None = None


def resolver(future: asyncio.Future[None]) -> PutDone:
    """A callback that sets the future."""

    def done(error: OSError | TrilithError | None) -> None:
        if future.done():
            return
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)

    return done
