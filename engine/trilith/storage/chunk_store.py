"""The chunk store: immutable, sealed, content-addressed chunks in append-only extents.

Group commit as in the journal: whatever was put while the last sync ran goes into the next write.
A chunk is indexed (and so found, and acknowledged) only once it is durable; the index lies in the
ordered store, in the same batch as the position up to which it is complete, so that after a crash
only the records behind that position are scanned.

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
from dataclasses import dataclass, replace

from trilith.errors import Corruption, DiskFull, Overloaded, StorageFailure, TrilithError
from trilith.runtime.disk import AppendFile, Buffer, ReadFile
from trilith.runtime.ports import Runtime
from trilith.storage.extent import (
    CHECKPOINT_KEY,
    CHUNK,
    CHUNK_ID_BYTES,
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
from trilith.storage.file_header import NODE_ID_BYTES_MAX, FileHeader
from trilith.storage.ordered_store import PUT, Operation, OrderedStore
from trilith_native.crc import crc32c

__all__ = ["ChunkStore", "ChunkStoreConfig"]

MIB = 1024 * 1024
PutDone = Callable[[OSError | TrilithError | None], None]


@dataclass(frozen=True, slots=True)
class ChunkStoreConfig:
    """Limits of a chunk store.

    `touch_granularity_ms`: a chunk touched less than this ago is not touched again, so a grace
    period must be counted from `touched_ms + touch_granularity_ms`.
    """

    node_id: str
    extent_bytes: int = 256 * MIB
    extent_bytes_min: int = 16 * MIB  # what a nearly full disk may still reserve
    pending_bytes_max: int = 32 * MIB
    group_bytes_max: int = 16 * MIB
    free_bytes_min: int = 64 * MIB  # left to the ordered store's flushes
    full_retry_s: float = 1.0
    open_files_max: int = 64
    touch_granularity_ms: int = 10 * 60 * 1000

    def __post_init__(self) -> None:
        if not 0 < len(self.node_id.encode()) <= NODE_ID_BYTES_MAX:
            raise ValueError(f"a node id has 1 to {NODE_ID_BYTES_MAX} bytes")
        if not 0 < self.extent_bytes_min <= self.extent_bytes < 1 << 32:
            raise ValueError("extent sizes: 0 < extent_bytes_min <= extent_bytes < 4 GiB")

    @property
    def chunk_bytes_max(self) -> int:
        return self.extent_bytes_min - FIRST_RECORD_OFFSET - RECORD_HEAD_BYTES


class _Write:
    """One record on its way to an extent. `location` is set once it has a place."""

    __slots__ = ("callbacks", "chunk_id", "kind", "location", "sealed", "size", "touched_ms")

    def __init__(self, kind: int, chunk_id: bytes, sealed: Buffer, touched_ms: int) -> None:
        self.kind = kind
        self.chunk_id = chunk_id
        self.sealed = sealed
        self.size = RECORD_HEAD_BYTES + len(sealed)
        self.touched_ms = touched_ms
        self.callbacks: list[PutDone] = []
        self.location: ChunkLocation | None = None


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

        self._extent = 0  # number of the extent that is written to
        self._end = 0  # offset behind its last record; 0: it does not exist yet
        self._room = 0  # reserved bytes of it
        self._file: AppendFile | None = None
        self._opening: asyncio.Task[None] | None = None
        self._reserving = False
        self._full = False
        self._full_since = 0.0

        self._queue: deque[_Write] = deque()
        self._by_id: dict[tuple[int, bytes], _Write] = {}  # queued or being written
        self._writing: list[_Write] | None = None
        self._flush_scheduled = False
        self._queued_bytes = 0
        self._waiting: deque[asyncio.Future[None]] = deque()  # for room in the queue
        self._idle = asyncio.Event()
        self._idle.set()
        self._failed = False
        self._closed = False
        self._read_files: dict[int, ReadFile] = {}
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
        return self._store.get(INDEX_PREFIX + chunk_id) is not None

    def touched_ms(self, chunk_id: bytes) -> int | None:
        """When the chunk was last put or touched (wall clock); None when it is absent."""
        found = self._locate(chunk_id)
        return None if found is None else found.touched_ms

    def read(self, chunk_id: bytes) -> bytes:
        """The sealed bytes, checksum verified. Blocking: call it through `Workers`.

        KeyError: not here. Corruption: the bytes are damaged (put it anew with `replace=True`).
        """
        found = self._locate(chunk_id)
        if found is None:
            raise KeyError(chunk_id)
        try:
            data = self._read_file(found.extent).read_at(found.offset, found.length)
        except OSError as error:
            raise self._damaged(chunk_id, found, str(error)) from error
        if len(data) != found.length or crc32c(data) != found.checksum:
            raise self._damaged(chunk_id, found, "checksum mismatch")
        return data

    def _locate(self, chunk_id: bytes) -> ChunkLocation | None:
        value = self._store.get(INDEX_PREFIX + chunk_id)
        return None if value is None else ChunkLocation.decode(value)

    @staticmethod
    def _damaged(chunk_id: bytes, found: ChunkLocation, reason: str) -> Corruption:
        return Corruption(
            f"chunk {chunk_id.hex()}: {reason}", extent=found.extent, offset=found.offset
        )

    def _read_file(self, number: int) -> ReadFile:
        """Open files are shared by threads: each step here is atomic, and a file that drops out
        is closed when its last reader lets go of it."""
        file = self._read_files.get(number)
        if file is None:
            opened = self._disk.open_read(extent_path(self._directory, number))
            file = self._read_files.setdefault(number, opened)
            while len(self._read_files) > self._config.open_files_max:
                self._read_files.pop(list(self._read_files)[0], None)  # noqa: RUF015 - atomic
        return file

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
            waiting.callbacks.append(done)
            return False
        found = None if replace else self._locate(chunk_id)
        if found is not None:
            self._checkpoint.bytes_deduplicated += len(sealed)
            self._touch(chunk_id, found, done)
            return False
        self._enqueue(_Write(CHUNK, chunk_id, sealed, self._runtime.clock.wall_ms()), done)
        return True

    async def store(self, chunk_id: bytes, sealed: Buffer, *, replace: bool = False) -> bool:
        """`put`, waiting for room in the queue first. Whether the bytes are new; durable then."""
        while self._queued_bytes + len(sealed) > self._config.pending_bytes_max and self._by_id:
            if self._failed or self._closed:
                raise self._broken()
            room: asyncio.Future[None] = self._loop.create_future()
            self._waiting.append(room)
            await room
        future: asyncio.Future[None] = self._loop.create_future()
        new = self.put(chunk_id, sealed, _resolver(future), replace=replace)
        await future
        return new

    async def touch(self, chunk_ids: Sequence[bytes]) -> list[bool]:
        """Touch the chunks that are here, durably on return; False for each that is absent."""
        present: list[bool] = []
        futures: list[asyncio.Future[None]] = []
        for chunk_id in chunk_ids:
            waiting = self._by_id.get((CHUNK, chunk_id))
            found = None if waiting is not None else self._locate(chunk_id)
            present.append(waiting is not None or found is not None)
            if not present[-1]:
                continue
            refusal = self._refusal(0)
            if refusal is not None:
                raise refusal
            future: asyncio.Future[None] = self._loop.create_future()
            futures.append(future)
            if waiting is not None:
                waiting.callbacks.append(_resolver(future))
            else:
                assert found is not None
                self._touch(chunk_id, found, _resolver(future))
        if futures:
            await asyncio.gather(*futures)
        return present

    def _touch(self, chunk_id: bytes, found: ChunkLocation, done: PutDone) -> None:
        now = self._runtime.clock.wall_ms()
        if 0 <= now - found.touched_ms < self._config.touch_granularity_ms:
            self._loop.call_soon(done, None)
            return
        waiting = self._by_id.get((TOUCH, chunk_id))
        if waiting is not None:
            waiting.callbacks.append(done)
        else:
            self._enqueue(_Write(TOUCH, chunk_id, b"", now), done)

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

    def _enqueue(self, write: _Write, done: PutDone) -> None:
        write.callbacks.append(done)
        self._by_id[write.kind, write.chunk_id] = write
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
        if file is None or self._end + self._queue[0].size > self._room:
            self._reserving = True  # from here on the worker thread alone moves the extent
            self._opening = self._loop.create_task(self._open_extent())
            return
        buffers: list[Buffer] = []
        seed = extent_seed(self._config.node_id, self._extent)
        if self._end == 0:
            header = FileHeader(MAGIC, self._extent, 0, self._config.node_id)
            buffers.append(header.encode())
            self._end = FIRST_RECORD_OFFSET
        group: list[_Write] = []
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

    def _place(self, write: _Write, seed: int, buffers: list[Buffer]) -> None:
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
            del self._by_id[write.kind, write.chunk_id]
            self._queued_bytes -= write.size
        if self._queue:
            self._flush()
        else:
            self._idle.set()
        self._answer(group, outcome)

    def _index(self, group: list[_Write]) -> None:
        """Make durable records found, all in one batch with the checkpoint.

        DiskFull: they are not found, their bytes wait for compaction, and nothing has changed.
        """
        operations: list[Operation] = []
        checkpoint = replace(self._checkpoint, extent=self._extent, offset=self._end)
        for write in group:
            key = INDEX_PREFIX + write.chunk_id
            location = write.location
            previous = self._locate(write.chunk_id)
            if location is None:
                if previous is None:
                    continue
                location = replace(previous, touched_ms=write.touched_ms)
            elif previous is None:
                checkpoint.chunks += 1
                checkpoint.bytes_stored += location.length
            operations.append((PUT, key, location.encode()))
        operations.append((PUT, CHECKPOINT_KEY, checkpoint.encode()))
        self._store.write(operations)
        self._checkpoint = checkpoint

    def _answer(self, group: Sequence[_Write], outcome: TrilithError | None) -> None:
        while self._waiting:
            room = self._waiting.popleft()
            if not room.done():
                room.set_result(None)
        for write in group:
            for callback in write.callbacks:
                try:
                    callback(outcome)
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
            await self._runtime.workers.run(self._open_extent_now, self._queue[0].size)
        except OSError as error:
            self._reserving = False
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                self._fail(error)
                return
            self._full = True
            self._full_since = self._runtime.clock.monotonic()
            self._refuse_all(DiskFull("the chunk store has no room"))
            return
        self._reserving = self._full = False
        self._flush()

    def _open_extent_now(self, needed: int) -> None:
        """Blocking; runs while no write is under way and none is started."""
        config = self._config
        if self._file is not None:
            self._file.close()
            self._file = None
            path = extent_path(self._directory, self._extent)
            self._disk.open_append(path, at=self._end).close()  # gives unused room back
            self._extent, self._end = self._extent + 1, 0
        elif self._end + needed > config.extent_bytes:
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
            del self._by_id[write.kind, write.chunk_id]
            self._queued_bytes -= write.size
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
        self._read_files.clear()

    def _cut_reserved_room(self, path: str) -> None:
        self._disk.open_append(path, at=self._end).close()


def _resolver(future: asyncio.Future[None]) -> PutDone:
    def done(error: OSError | TrilithError | None) -> None:
        if future.done():
            return
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)

    return done
