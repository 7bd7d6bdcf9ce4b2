"""The chunk store: immutable, sealed, content-addressed chunks in append-only extents.

Group commit as in the journal: whatever was put while the last sync ran goes into the next write.
A chunk is indexed (and so found, and acknowledged) only once it is durable; the index lies in the
ordered store, in the same batch as the position up to which it is complete, so that after a crash
only the records behind that position are scanned.

Every put and touch is stamped. `mark_time` gives a stamp that lies before all later ones, however
the wall clock jumps; `remove` takes out only what has no later stamp than the one it is given, in
one step with the look at it: so a chunk that anybody was told is here since then stays.

A removed chunk leaves the index only. Until the ordered store's next flush a crash brings it back,
which harms nobody; its bytes go with their extent (compaction.py).

Failures: a failed write or sync goes to `on_failure` once; no pending callback is called any more
and everything afterwards is refused with StorageFailure. Extents are reserved before anything is
written to them: a full disk is DiskFull for the caller, and nothing of it was kept.

Must not know keys or plaintext.
"""

from __future__ import annotations

import asyncio
import errno
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace

from trilith.errors import DiskFull, Overloaded, StorageFailure, TrilithError
from trilith.runtime.disk import AppendFile, Buffer
from trilith.runtime.ports import Runtime
from trilith.storage.chunk_files import ChunkFiles
from trilith.storage.chunk_store_config import ChunkStoreConfig
from trilith.storage.chunk_write import ChunkWrite, PutDone, resolver
from trilith.storage.extent import (
    CHECKPOINT_KEY,
    CHUNK,
    CHUNK_ID_BYTES,
    DELETE,
    FIRST_RECORD_OFFSET,
    INDEX_PREFIX,
    MAGIC,
    RECORD_HEAD_BYTES,
    TOUCH,
    Checkpoint,
    ChunkLocation,
    extent_path,
    extent_seed,
    record_head,
)
from trilith.storage.extent_recovery import recover_extents
from trilith.storage.file_header import FileHeader
from trilith.storage.ordered_store import DELETE as REMOVE
from trilith.storage.ordered_store import PUT, Operation, OrderedStore
from trilith_native.crc import crc32c

__all__ = ["ChunkStore", "ChunkStoreConfig"]

NO_CHUNK = bytes(CHUNK_ID_BYTES)


class ChunkStore:
    """All methods on the event loop, except `read`. Use `ChunkStore.open`."""

    def __init__(
        self,
        runtime: Runtime,
        directory: str,
        store: OrderedStore,
        config: ChunkStoreConfig,
        on_failure: Callable[[OSError], None],
    ) -> None:
        self._runtime = runtime
        self._disk = runtime.disk
        self._directory = directory
        self._store = store
        self._config = config
        self._on_failure = on_failure
        self._loop = asyncio.get_running_loop()
        self._checkpoint = Checkpoint()
        self._floor_ms = 0  # the last stamp of `mark_time`

        self._extent = 0  # number of the extent that is written to
        self._end = 0  # offset behind its last record; 0: it does not exist yet
        self._room = 0  # reserved bytes of it
        self._file: AppendFile | None = None
        self._opening: asyncio.Task[None] | None = None
        self._reserving = False
        self._must_roll = False  # the next record begins a new extent
        self._full = False
        self._full_since = 0.0

        self._queue: deque[ChunkWrite] = deque()
        self._by_id: dict[tuple[int, bytes], ChunkWrite] = {}  # queued or being written
        self._writing: list[ChunkWrite] | None = None
        self._flush_scheduled = False
        self._queued_bytes = 0
        self._waiting: deque[asyncio.Future[None]] = deque()  # for room in the queue
        self._idle = asyncio.Event()
        self._idle.set()
        self._failed = False
        self._closed = False
        self.files = ChunkFiles(runtime.disk, directory, store, config.open_files_max)
        self.damaged_bytes = 0  # found by the scan at `open`

    @classmethod
    async def open(
        cls,
        runtime: Runtime,
        directory: str,
        store: OrderedStore,
        config: ChunkStoreConfig,
        *,
        on_failure: Callable[[OSError], None],
    ) -> ChunkStore:
        """Open `directory` (made when absent), bringing the index up to date from the extents.

        Raises DataDirectoryUnusable, OSError. Writes nothing until the first put.
        """
        self = cls(runtime, directory, store, config, on_failure)
        run = runtime.workers.run
        await run(runtime.disk.make_directory, f"{directory}/extents")
        found = await run(recover_extents, runtime.disk, directory, config.node_id, store)
        self._checkpoint = found.checkpoint
        self.damaged_bytes = found.damaged_bytes
        self._extent, self._end = max(found.last_number, 1), found.last_end
        if found.last_end <= FIRST_RECORD_OFFSET:
            self._end = 0  # perhaps without a valid header: begin it anew
        return self

    # -- questions

    @property
    def chunks(self) -> int:
        return self._checkpoint.chunks

    @property
    def bytes_stored(self) -> int:
        """Sealed bytes of the distinct chunks here."""
        return self._checkpoint.bytes_stored

    @property
    def bytes_deduplicated(self) -> int:
        """Sealed bytes that were put and were here already."""
        return self._checkpoint.bytes_deduplicated

    @property
    def queued_bytes(self) -> int:
        return self._queued_bytes

    @property
    def accepting(self) -> bool:
        """False while the disk is full (a put tries again every `full_retry_s`) or failed."""
        return not (self._full or self._failed or self._closed)

    def contains(self, chunk_id: bytes) -> bool:
        """Whether the chunk is here, durably."""
        return self.files.has(chunk_id)

    def touched_ms(self, chunk_id: bytes) -> int | None:
        """When the chunk was last put or touched (wall clock); None when it is absent."""
        found = self.files.locate(chunk_id)
        return None if found is None else found.touched_ms

    def read(self, chunk_id: bytes) -> bytes:
        """The sealed bytes, checksum verified. Blocking: call it through `Workers`.

        KeyError: not here. Corruption: the bytes are damaged (put it anew with `replace=True`).
        """
        return self.files.read(chunk_id)

    # -- putting

    def put(self, chunk_id: bytes, sealed: Buffer, done: PutDone, *, replace: bool = False) -> bool:
        """Store a chunk; `done(None)` is called once it is durable and found, else `done(error)`.

        A chunk that is here already is touched instead, durably; with `replace` its bytes are
        written anew (the old ones are damaged). Puts of one chunk share one write. `sealed` must
        not change until then. Returns whether the bytes are new here. Errors: DiskFull,
        Overloaded (the queue is full), StorageFailure. `done` is never called before this returns,
        nor after the disk failed.
        """
        if len(chunk_id) != CHUNK_ID_BYTES:
            raise ValueError(f"a chunk id has {CHUNK_ID_BYTES} bytes")
        if len(sealed) > self._config.chunk_bytes_max:
            raise ValueError(f"a chunk of {len(sealed)} bytes does not fit an extent")
        refusal = self._refusal(len(sealed))
        if refusal is not None:
            self._loop.call_soon(done, refusal)
            return False
        waiting = self._by_id.get((CHUNK, chunk_id))
        if waiting is not None:
            self._checkpoint.bytes_deduplicated += len(sealed)
            self._join(waiting, done)
            return False
        found = None if replace else self.files.locate(chunk_id)
        if found is not None:
            self._checkpoint.bytes_deduplicated += len(sealed)
            self._touch(chunk_id, found, done)
            return False
        self._enqueue(ChunkWrite(CHUNK, chunk_id, sealed, self._stamp()), done)
        return True

    async def store(self, chunk_id: bytes, sealed: Buffer, *, replace: bool = False) -> bool:
        """`put`, waiting for room in the queue first. Whether the bytes are new; durable then."""
        await self._room_for(len(sealed))
        future: asyncio.Future[None] = self._loop.create_future()
        new = self.put(chunk_id, sealed, resolver(future), replace=replace)
        await future
        return new

    async def _room_for(self, size: int) -> None:
        while self._queued_bytes + size > self._config.pending_bytes_max and self._queued_bytes:
            if self._failed or self._closed:
                raise self._broken()
            room: asyncio.Future[None] = self._loop.create_future()
            self._waiting.append(room)
            await room

    async def touch(self, chunk_ids: Sequence[bytes]) -> list[bool]:
        """Touch the chunks that are here, durably on return; False for each that is absent."""
        present: list[bool] = []
        futures: list[asyncio.Future[None]] = []
        for chunk_id in chunk_ids:
            waiting = self._by_id.get((CHUNK, chunk_id))
            found = None if waiting is not None else self.files.locate(chunk_id)
            present.append(waiting is not None or found is not None)
            if not present[-1]:
                continue
            refusal = self._refusal(0)
            if refusal is not None:
                raise refusal
            future: asyncio.Future[None] = self._loop.create_future()
            futures.append(future)
            if waiting is not None:
                self._join(waiting, resolver(future))
            else:
                assert found is not None
                self._touch(chunk_id, found, resolver(future))
        if futures:
            await asyncio.gather(*futures)
        return present

    def _touch(self, chunk_id: bytes, found: ChunkLocation, done: PutDone) -> None:
        now = self._stamp()
        if (
            found.touched_ms > self._floor_ms
            and 0 <= now - found.touched_ms < self._config.touch_granularity_ms
        ):
            self._loop.call_soon(done, None)
            return
        waiting = self._by_id.get((TOUCH, chunk_id))
        if waiting is not None:
            self._join(waiting, done)
        else:
            self._enqueue(ChunkWrite(TOUCH, chunk_id, b"", now), done)

    def _join(self, waiting: ChunkWrite, done: PutDone) -> None:
        """Share a write of the chunk that is under way; with a stamp behind the floor."""
        if waiting.touched_ms <= self._floor_ms:
            if waiting.placed:
                self._enqueue(ChunkWrite(TOUCH, waiting.chunk_id, b"", self._stamp()), done)
                return
            waiting.touched_ms = self._stamp()
        waiting.callbacks.append(done)

    # -- collecting and compacting

    def wall_ms(self) -> int:
        return self._runtime.clock.wall_ms()

    def mark_time(self) -> int:
        """A stamp (milliseconds): every put and touch from now on gets a later one."""
        self._floor_ms = max(self._floor_ms + 1, self._runtime.clock.wall_ms())
        return self._floor_ms

    def _stamp(self) -> int:
        return max(self._floor_ms + 1, self._runtime.clock.wall_ms())

    def remove(self, chunk_ids: Sequence[bytes], *, untouched_since: int) -> tuple[int, int]:
        """Take out those that have no stamp after `untouched_since`, which came of `mark_time`, and
        are not being put or touched now. How many, and their sealed bytes.

        Raises DiskFull or StorageFailure, with nothing changed.
        """
        operations: list[Operation] = []
        checkpoint = replace(self._checkpoint)
        removed_bytes = 0
        for chunk_id in chunk_ids:
            found = self.files.locate(chunk_id)
            if (
                found is None
                or found.touched_ms > untouched_since
                or (CHUNK, chunk_id) in self._by_id
                or (TOUCH, chunk_id) in self._by_id
            ):
                continue
            operations.append((REMOVE, INDEX_PREFIX + chunk_id, b""))
            checkpoint.chunks -= 1
            checkpoint.bytes_stored -= found.length
            removed_bytes += found.length
        if operations:
            removed = len(operations)
            operations.append((PUT, CHECKPOINT_KEY, checkpoint.encode()))
            self._store.write(operations)
            self._checkpoint = checkpoint
            return removed, removed_bytes
        return 0, 0

    @property
    def settled_before(self) -> int:
        """Extents with a lower number get no record any more, and the index holds all of theirs."""
        return self._checkpoint.extent

    @property
    def written_bytes(self) -> tuple[int, int]:
        """The number of the extent that is written to, and how many bytes of it are."""
        return self._extent, self._end

    def can_copy(self, size: int) -> bool:
        """Whether so many bytes and a new extent leave the disk enough room. Blocking."""
        config = self._config
        return self._disk.free_bytes() - config.free_bytes_min >= size + config.extent_bytes_min

    async def move(self, chunk_id: bytes, sealed: Buffer, moved_from: ChunkLocation) -> None:
        """Write a chunk's bytes anew, in the same state. It is found there once that is durable,
        unless it was removed or replaced meanwhile. Raises DiskFull, StorageFailure."""
        await self._room_for(len(sealed))
        refusal = self._refusal(0)
        if refusal is not None:
            raise refusal
        future: asyncio.Future[None] = self._loop.create_future()
        write = ChunkWrite(CHUNK, chunk_id, sealed, moved_from.touched_ms)
        write.moved_from = moved_from
        self._append(write, resolver(future))
        await future

    async def begin_extent(self) -> None:
        """Write no more to the current extent; durable on return. Raises DiskFull, ..."""
        refusal = self._refusal(0)
        if refusal is not None:
            raise refusal
        self._must_roll = True
        future: asyncio.Future[None] = self._loop.create_future()
        # A record without a meaning: the index then stands behind the old extent.
        self._append(ChunkWrite(DELETE, NO_CHUNK, b"", 0), resolver(future))
        await future

    async def drop_extent(self, number: int) -> None:
        """Delete an extent in which nothing is found any more. Its caller has made sure of that.

        The index without it is made durable first: else a crash could bring back entries of
        chunks whose bytes are gone.
        """
        if number >= self.settled_before:
            raise ValueError(f"extent {number} is still being written")
        await self._runtime.workers.run(self._store.flush)
        self.files.forget(number)
        path = extent_path(self._directory, number)
        await self._runtime.workers.run(self._disk.remove, path)

    def _refusal(self, size: int) -> TrilithError | None:
        if self._failed or self._closed:
            return self._broken()
        if self._full:
            since = self._runtime.clock.monotonic() - self._full_since
            if since < self._config.full_retry_s:
                return DiskFull("the chunk store has no room")
        if self._queued_bytes + size > self._config.pending_bytes_max and self._queue:
            return Overloaded("the chunk store has too much waiting to be synced")
        return None

    def _broken(self) -> StorageFailure:
        return StorageFailure(
            "the chunk store's disk failed" if self._failed else "the chunk store is closed"
        )

    def _enqueue(self, write: ChunkWrite, done: PutDone) -> None:
        self._by_id[write.kind, write.chunk_id] = write
        self._append(write, done)

    def _append(self, write: ChunkWrite, done: PutDone) -> None:
        write.callbacks.append(done)
        self._queue.append(write)
        self._queued_bytes += write.size
        self._idle.clear()
        if self._writing is None and not self._flush_scheduled:
            self._flush_scheduled = True
            self._loop.call_soon(self._flush)

    # -- writing

    def _flush(self) -> None:
        self._flush_scheduled = False
        if self._writing is not None or self._failed or self._reserving or not self._queue:
            return
        file = self._file
        if file is None or self._must_roll or self._end + self._queue[0].size > self._room:
            self._reserving = True  # from here on the worker thread alone moves the extent
            self._opening = self._loop.create_task(self._open_extent())
            return
        buffers: list[Buffer] = []
        seed = extent_seed(self._config.node_id, self._extent)
        if self._end == 0:
            header = FileHeader(MAGIC, self._extent, 0, self._config.node_id)
            buffers.append(header.encode())
            self._end = FIRST_RECORD_OFFSET
        group: list[ChunkWrite] = []
        limit = min(self._room, self._end + self._config.group_bytes_max)
        while self._queue and (not group or self._end + self._queue[0].size <= limit):
            write = self._queue.popleft()
            self._place(write, seed, buffers)
            group.append(write)
        self._writing = group
        try:
            file.append_and_sync(buffers, self._written)
        except OSError as error:
            self._fail(error)

    def _place(self, write: ChunkWrite, seed: int, buffers: list[Buffer]) -> None:
        write.placed = True
        length = len(write.sealed)
        checksum = crc32c(write.sealed) if length else 0
        buffers.append(
            record_head(
                seed,
                write.kind,
                write.chunk_id,
                length=length,
                checksum=checksum,
                touched_ms=write.touched_ms,
            )
        )
        if write.kind == CHUNK:
            buffers.append(write.sealed)
            offset = self._end + RECORD_HEAD_BYTES
            write.location = ChunkLocation(self._extent, offset, length, checksum, write.touched_ms)
        self._end += write.size

    def _written(self, error: OSError | None) -> None:
        group = self._writing
        if group is None or self._failed:
            return
        if error is not None:
            self._fail(error)
            return
        outcome: TrilithError | None = None
        try:
            self._index(group)
        except DiskFull as full:
            outcome = full
        except TrilithError as failure:
            self._fail(OSError(errno.EIO, str(failure)))
            return
        self._writing = None
        for write in group:
            self._forget(write)
        if self._queue:
            self._flush()
        else:
            self._idle.set()
        self._answer(group, outcome)

    def _forget(self, write: ChunkWrite) -> None:
        self._queued_bytes -= write.size
        key = (write.kind, write.chunk_id)
        if self._by_id.get(key) is write:
            del self._by_id[key]

    def _index(self, group: list[ChunkWrite]) -> None:
        """Make durable records found, all in one batch with the checkpoint.

        DiskFull: they are not found, their bytes wait for compaction, and nothing has changed.
        """
        entries: dict[bytes, ChunkLocation] = {}
        checkpoint = replace(self._checkpoint, extent=self._extent, offset=self._end)
        for write in group:
            if write.kind == DELETE:
                continue
            location = write.location
            previous = entries.get(write.chunk_id) or self.files.locate(write.chunk_id)
            if write.moved_from is not None:
                assert location is not None
                if previous is None or not previous.is_at(write.moved_from):
                    continue  # removed or replaced meanwhile
                location = replace(location, touched_ms=previous.touched_ms)
            elif location is None:
                if previous is None:
                    write.error = DiskFull("the chunk to be touched could not be kept")
                    continue
                location = replace(previous, touched_ms=write.touched_ms)
            elif previous is None:
                checkpoint.chunks += 1
                checkpoint.bytes_stored += location.length
            entries[write.chunk_id] = location
        operations: list[Operation] = [
            (PUT, INDEX_PREFIX + chunk_id, location.encode())
            for chunk_id, location in entries.items()
        ]
        operations.append((PUT, CHECKPOINT_KEY, checkpoint.encode()))
        self._store.write(operations)
        self._checkpoint = checkpoint

    def _answer(self, group: Sequence[ChunkWrite], outcome: TrilithError | None) -> None:
        while self._waiting:
            room = self._waiting.popleft()
            if not room.done():
                room.set_result(None)
        for write in group:
            for callback in write.callbacks:
                try:
                    callback(outcome or write.error)
                except Exception as failure:  # noqa: BLE001 - one caller's defect is not others'
                    self._loop.call_exception_handler(
                        {"message": "a chunk callback failed", "exception": failure}
                    )

    def _fail(self, error: OSError) -> None:
        if self._failed:
            return
        self._failed = True
        self._queue.clear()
        self._by_id.clear()
        self._writing = None
        self._idle.set()
        self._on_failure(error)
        self._answer((), None)

    # -- extents

    async def _open_extent(self) -> None:
        """Reserve room in the current extent, or in a new one when that has no room left."""
        try:
            await self._runtime.workers.run(
                self._open_extent_now, self._queue[0].size, fresh=self._must_roll
            )
        except OSError as error:
            self._reserving = False
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                self._fail(error)
                return
            self._full = True
            self._full_since = self._runtime.clock.monotonic()
            self._refuse_all(DiskFull("the chunk store has no room"))
            return
        self._reserving = self._full = self._must_roll = False
        self._flush()

    def _open_extent_now(self, needed: int, *, fresh: bool) -> None:
        """Blocking; runs while no write is under way and none is started."""
        config = self._config
        if self._file is not None:
            self._file.close()
            self._file = None
            path = extent_path(self._directory, self._extent)
            self._disk.open_append(path, at=self._end).close()  # gives unused room back
            self._extent, self._end = self._extent + 1, 0
        elif self._end + needed > config.extent_bytes or (fresh and self._end > 0):
            self._extent, self._end = self._extent + 1, 0
        spare = self._disk.free_bytes() - config.free_bytes_min
        room = min(config.extent_bytes, self._end + spare)
        at_least = max(self._end + config.extent_bytes_min, self._end + needed)
        if room < min(config.extent_bytes, at_least):
            raise OSError(errno.ENOSPC, "too little room is left for a chunk extent")
        path = extent_path(self._directory, self._extent)
        self._file = self._disk.open_append(path, at=self._end, preallocate_bytes=room)
        self._room = room

    def _refuse_all(self, refusal: TrilithError) -> None:
        """Nothing of what waits was written: the callers may retry."""
        refused = list(self._queue)
        self._queue.clear()
        for write in refused:
            self._forget(write)
        self._idle.set()
        self._answer(refused, refusal)

    async def close(self) -> None:
        """Make everything put durable, give unused room back, and let the files go."""
        if self._closed:
            return
        self._closed = True
        await self._idle.wait()
        if self._opening is not None:
            await asyncio.gather(self._opening, return_exceptions=True)
        if self._file is not None:
            self._file.close()
            self._file = None
            if not self._failed and self._end > 0:
                path = extent_path(self._directory, self._extent)
                await self._runtime.workers.run(self._cut_reserved_room, path)
        self.files.close()

    def _cut_reserved_room(self, path: str) -> None:
        self._disk.open_append(path, at=self._end).close()
