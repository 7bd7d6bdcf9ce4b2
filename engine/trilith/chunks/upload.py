"""One body on its way into chunks.

A body is gathered into windows. A full window is cut into chunks on a worker thread, and its
chunks are stored at the same time as the next window is gathered. The upload holds bytes of two
budgets: room to gather a window, for its turn; and room for each chunk until that is durable.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self

from trilith.chunks.budget import GatherBudget
from trilith.chunks.replicas import INLINE_BYTES_MAX, NewChunk
from trilith.chunks.types import ChunkRef, StoredChunk
from trilith.chunks.window import Hasher, WindowCutter
from trilith.runtime.network import Buffer

if TYPE_CHECKING:
    from trilith.chunks.pipeline import ChunkPipeline

# Pieces under this are copied together: a thousand small views would cost, and pin, far more.
SMALL_PIECE_BYTES = 16 * 1024


class ChunkUpload:
    """An asynchronous context manager: leaving it early cancels what runs and gives all back."""

    def __init__(
        self, pipeline: ChunkPipeline, cutter: WindowCutter, expected_bytes: int | None
    ) -> None:
        self.hashers: list[Hasher] = []
        self._pipeline = pipeline
        self._cutter = cutter
        self._expected_bytes = expected_bytes
        self._received_bytes = 0
        self._pieces: list[Buffer] = []
        self._gathered_bytes = 0
        self._tail_bytes = 0  # of those: left over from the last window
        self._room_bytes = 0  # held of `_gathering`; 0 between turns
        self._gathering: GatherBudget = pipeline.windows
        self._lock = asyncio.Lock()  # one window is cut at a time
        self._give_way = False
        self._early_cut: asyncio.Task[None] | None = None
        self._stored: dict[int, StoredChunk] = {}
        self._started_count = 0
        self._taken_count = 0
        self._storing: set[asyncio.Task[None]] = set()
        self._failure: BaseException | None = None
        self._finished = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._close()

    async def feed(self, data: Buffer) -> None:
        """More of the body. Returns at once unless memory or the disks are behind.

        `data` must not change before its chunks are stored. Raises what storing an earlier chunk
        raised: NotEnoughZones, DiskFull, ...
        """
        size = len(data)
        async with self._lock:
            self._check_open()
            self._received_bytes += size
            offset = 0
            while offset < size:
                if not self._room_bytes:
                    await self._begin_turn(size - offset)
                elif self._gathered_bytes == self._room_bytes:
                    await self._make_room()
                    continue
                taken = min(size - offset, self._room_bytes - self._gathered_bytes)
                assert taken > 0
                whole = taken == size
                self._gather(data if whole else memoryview(data)[offset : offset + taken])
                offset += taken
            if self._give_way and self._gathered_bytes:
                await self._cut(final=True)
                self._end_turn()

    async def finish(self) -> None:
        """The body has ended: every chunk is durable on return."""
        async with self._lock:
            self._check_open()
            self._finished = True
            if self._gathered_bytes:
                await self._cut(final=True)
            self._end_turn()
        while self._storing:
            await asyncio.wait(self._storing)
        if self._failure is not None:
            raise self._failure

    def take(self) -> list[StoredChunk]:
        """The durable chunks that follow those taken before, in the body's order."""
        taken = []
        while (stored := self._stored.pop(self._taken_count, None)) is not None:
            taken.append(stored)
            self._taken_count += 1
        return taken

    def give_way(self) -> None:
        """`budget.Gatherer`: others wait for the room that this upload holds."""
        self._give_way = True
        if not self._lock.locked() and self._early_cut is None:
            self._early_cut = asyncio.get_running_loop().create_task(self._cut_early())

    # gathering

    def _check_open(self) -> None:
        if self._failure is not None:
            raise self._failure
        if self._finished:
            raise RuntimeError("the upload is finished")

    async def _begin_turn(self, waiting_bytes: int) -> None:
        """Room for what is expected; a body of unknown length starts small."""
        pipeline = self._pipeline
        expected = waiting_bytes
        if self._expected_bytes is not None:
            expected = max(expected, expected + self._expected_bytes - self._received_bytes)
        room, gathering = min(expected, pipeline.window_bytes), pipeline.windows
        if expected <= pipeline.small_window_bytes:
            gathering = pipeline.small_windows
            if self._expected_bytes is None:
                room = pipeline.small_window_bytes
        elif self._expected_bytes is None:
            room = pipeline.window_bytes
        await gathering.begin(self, room)
        self._room_bytes, self._gathering = room, gathering

    async def _make_room(self) -> None:
        window_bytes = self._pipeline.window_bytes
        if self._room_bytes == window_bytes:
            await self._cut_window()
            return
        # Nobody who holds a whole window waits for a smaller one, so this wait ends.
        windows = self._pipeline.windows
        if self._gathering is windows:
            # Longer than was said. To wait for more of the same budget could deadlock: cut here.
            await self._cut(final=True)
            self._end_turn()
            return
        await windows.bytes.acquire(window_bytes)
        self._end_turn()
        windows.enter(self)
        self._room_bytes, self._gathering = window_bytes, windows

    def _end_turn(self) -> None:
        self._give_way = False
        if self._room_bytes:
            room, self._room_bytes = self._room_bytes, 0
            self._gathering.end(self, room)

    def _gather(self, piece: Buffer) -> None:
        self._gathered_bytes += len(piece)
        if len(piece) >= SMALL_PIECE_BYTES:
            self._pieces.append(piece)
        elif self._pieces and isinstance(self._pieces[-1], _SmallPieces):
            self._pieces[-1] += piece
        else:
            self._pieces.append(_SmallPieces(piece))

    # cutting

    async def _cut_window(self) -> None:
        """A full window, in the middle of a body. Ends the turn when others wait for theirs."""
        give_way = self._give_way
        await self._cut(final=give_way)
        if give_way:
            self._end_turn()

    async def _cut_early(self) -> None:
        try:
            async with self._lock:
                if self._failure is None and not self._finished and self._room_bytes:
                    if self._gathered_bytes:
                        await self._cut(final=True)
                    self._end_turn()
        except Exception as error:  # noqa: BLE001 - the next feed or finish raises it
            self._fail(error)
        finally:
            self._early_cut = None

    async def _cut(self, *, final: bool) -> None:
        window_bytes = self._gathered_bytes
        sealed_budget = self._pipeline.storing
        self._pipeline.replicas.require_zones()
        await sealed_budget.acquire(window_bytes)
        try:
            chunks, tail = await self._cut_on_worker(final)
        except BaseException:
            # Whether the hashers saw the window is not known any more: nothing can follow.
            self._fail(RuntimeError("the upload was abandoned while a window was cut"))
            sealed_budget.release(window_bytes)
            raise
        if tail:
            sealed_budget.release(len(tail))
        self._pieces = [tail] if tail else []
        self._gathered_bytes = self._tail_bytes = len(tail)
        loop = asyncio.get_running_loop()
        for chunk in chunks:
            task = loop.create_task(self._store(self._started_count, chunk))
            self._started_count += 1
            self._storing.add(task)
            task.add_done_callback(self._release_after(chunk.size))

    async def _cut_on_worker(self, final: bool) -> tuple[list[NewChunk], bytes]:
        window_bytes = self._gathered_bytes
        arguments = (self._pieces, self._tail_bytes, tuple(self.hashers))
        if window_bytes <= INLINE_BYTES_MAX:
            return self._cutter.cut(*arguments, final=final)
        job = asyncio.ensure_future(
            self._pipeline.workers.run(self._cutter.cut, *arguments, final=final)
        )
        try:
            return await asyncio.shield(job)
        except asyncio.CancelledError:
            # The thread cannot be stopped, and holds the bytes until it is done: milliseconds.
            await asyncio.wait((job,))
            raise

    async def _store(self, index: int, chunk: NewChunk) -> None:
        try:
            expires_ms = self._pipeline.renewal.expiry_ms()  # of a touch that is yet to come
            missed_zones = await self._pipeline.replicas.write(chunk)
            reference = ChunkRef(chunk.chunk_id, chunk.key, chunk.size)
            self._stored[index] = StoredChunk(reference, missed_zones, expires_ms)
        except Exception as error:  # noqa: BLE001 - feed and finish raise it to the caller
            self._fail(error)

    def _release_after(self, size: int) -> Callable[[asyncio.Task[None]], None]:
        """Not a `finally` of the task: one that is cancelled before its first step has none."""

        def release(task: asyncio.Task[None]) -> None:
            self._storing.discard(task)
            self._pipeline.storing.release(size)

        return release

    # ending

    def _fail(self, error: Exception) -> None:
        if self._failure is not None:
            return
        self._failure = error
        current = asyncio.current_task()
        for task in self._storing:
            if task is not current:
                task.cancel()

    async def _close(self) -> None:
        tasks = {*self._storing}
        if self._early_cut is not None:
            tasks.add(self._early_cut)
        for task in tasks:
            task.cancel()
        self._finished = True
        try:
            if tasks:
                await asyncio.wait(tasks)
        finally:
            self._pieces = []
            self._gathered_bytes = 0
            self._end_turn()


class _SmallPieces(bytearray):
    """Small pieces gathered by this module, and so ours to extend."""
