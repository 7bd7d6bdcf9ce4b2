"""The journal: one append-only, segmented log for all the partition replicas of a node.

Group commit: records appended while a sync runs go, together, into the next write and sync. One
loop tick's records share one. A record's callback runs, in append order, once it is durable.

Failures: when a write or sync fails, `on_failure` gets the error once, no pending callback is ever
called, and everything afterwards is refused with StorageFailure: a retried sync lies. A full disk
is noticed while the next segment is reserved, before any record depends on it: then `accepting`
is False; what was accepted still has its room.

Must not know what entries mean.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping

from trilith.errors import DiskFull, Overloaded, TrilithError
from trilith.runtime.ports import Runtime
from trilith.storage.file_header import FILE_HEADER_BYTES, FileHeader
from trilith.storage.journal_config import JournalConfig, RecoveredPartition
from trilith.storage.journal_group import Group
from trilith.storage.journal_index import JournalIndex, encode_scar
from trilith.storage.journal_reader import JournalReader
from trilith.storage.journal_recovery import FILLED, TORN_FILE, LostRegion, note_torn_end, recover
from trilith.storage.journal_refusals import broken, no_room, shut
from trilith.storage.journal_trim import SegmentRemoval, droppable
from trilith.storage.partition_log import PartitionLog
from trilith.storage.segment import (
    BASE,
    CUT,
    DROP,
    ENTRY,
    FIRST_RECORD_OFFSET,
    MAGIC,
    MARK,
    RESET,
    SCAR,
    STATE,
    UNRECORDED,
    Segment,
    segment_seed,
)
from trilith.storage.segment_reserve import SegmentReserve
from trilith_native.record import HEADER_SIZE, frame

__all__ = ["CUT", "DROP", "ENTRY", "RESET", "STATE", "Journal", "JournalConfig"]


class Journal:
    """All methods on the event loop. Use `Journal.open`."""

    def __init__(
        self,
        runtime: Runtime,
        directory: str,
        config: JournalConfig,
        on_failure: Callable[[OSError], None],
        on_sync: Callable[[float, int], None] | None,
    ) -> None:
        self._runtime = runtime
        self._disk = runtime.disk
        self._directory = directory
        self._config = config
        self._on_failure = on_failure
        self._on_sync = on_sync
        self._loop = asyncio.get_running_loop()
        self._index = JournalIndex()
        self._logs = self._index.logs
        self._segments = self._index.segments
        self._reader = JournalReader(self._disk, directory, self._index, config.cache_bytes)
        self._tail = Segment(0, 0)
        self._previous_end = 0
        self._reserve = SegmentReserve(
            runtime,
            directory,
            segment_bytes=config.segment_bytes,
            free_bytes_min=config.free_bytes_min,
            retry_s=config.full_retry_s,
            used=lambda: self._tail.end,
            on_change=self._room_changed,
            on_error=self._fail,
        )
        self._files = self._reserve.files
        self._removal = SegmentRemoval(
            runtime, directory, on_removed=self._dropped, on_error=self._fail
        )
        self._groups: deque[Group] = deque()
        self._filling: Group | None = None  # the group that takes new records
        self._writing: Group | None = None
        self._flush_scheduled = False
        self._pending_bytes = 0
        self._unproven = False  # the last group written has no MARK behind it yet
        self._mark_timer: asyncio.TimerHandle | None = None
        self._idle: asyncio.Event = asyncio.Event()
        self._idle.set()
        self._refusal: Callable[[], TrilithError] | None = None
        self._failed = False
        self._closed = False
        self._retired_to = 0
        self.recovered: dict[int, RecoveredPartition] = {}
        self.lost_regions: list[LostRegion] = []
        self.may_lack_logs = False  # a log may have been lost with every record of it
        # What was durable last may be missing, and cannot be told from what never was; `filled`: in
        # a log that was made anew from a snapshot, too.
        self.torn_end = self.filled = False
        self.bytes_since_trim = 0
        self.sync_seconds_last = 0.0
        self.sync_started_at: float | None = None  # monotonic; None while none runs

    @classmethod
    async def open(
        cls,
        runtime: Runtime,
        directory: str,
        config: JournalConfig,
        *,
        on_failure: Callable[[OSError], None],
        on_sync: Callable[[float, int], None] | None = None,
    ) -> Journal:
        """Recover `directory` (made when absent) and start a new segment.

        `on_sync(seconds, bytes)` is told of each sync. On a full disk the journal opens, readable,
        with `accepting` False. Raises DataDirectoryUnusable, OSError, and DiskFull when not even
        a torn end can be noted.
        """
        self = cls(runtime, directory, config, on_failure, on_sync)
        run = runtime.workers.run
        await run(self._disk.make_directory, directory)
        found = await run(recover, self._disk, directory, config.node_id, self._index)
        self._previous_end = found.last_end
        self._tail = self._new_segment(found.last_number + 1)
        self.recovered = self._index.recovered()
        self.may_lack_logs = UNRECORDED in self._logs
        self.lost_regions = [region for region, _ in found.scars]
        self.torn_end, self.filled = found.torn_end, found.filled
        await self._reserve.start(self._tail.number)
        if self._tail.number in self._files:
            for region, damaged in found.scars:
                self._append_now(SCAR, 0, region.start, region.segment, encode_scar(damaged), None)
            await self._idle.wait()
        return self

    @property
    def accepting(self) -> bool:
        """Whether new entries are welcome: False when the disk is full or failed."""
        return self._refusal is None and not self._reserve.full

    def append(
        self,
        kind: int,
        partition: int,
        epoch: int,
        index: int,
        payload: bytes,
        on_durable: Callable[[], None] | None,
    ) -> None:
        """Add a record; `on_durable` is called on the loop, in append order, once it is synced.

        An ENTRY takes the index after the partition's last one (any index in a log that is new);
        otherwise ValueError. Raises, with nothing changed: DiskFull, Overloaded (too many bytes
        wait), StorageFailure (the disk failed, or the journal is closed).
        """
        if self._refusal is not None:
            raise self._refusal()
        length = len(payload)
        if kind != ENTRY:
            self._append_control(kind, partition, epoch, index, payload, on_durable)
            return
        log = self._logs.get(partition)
        if log is None:
            log = PartitionLog()
        if index != log.last_index + 1 or log.damaged:
            self._check_entry(log, partition, index)
        if self._pending_bytes > self._config.pending_bytes_max:
            raise Overloaded("the journal has too much waiting to be synced")
        position = self._append_record(ENTRY, partition, epoch, index, payload, on_durable)
        if log.last_index == 0:
            self._logs[partition] = log
        log.append(epoch, index, position, length)
        self._tail.entry_index_max[partition] = index
        self._reader.remember(position, payload)

    def _append_control(
        self,
        kind: int,
        partition: int,
        epoch: int,
        index: int,
        payload: bytes,
        on_durable: Callable[[], None] | None,
    ) -> None:
        if kind not in (STATE, CUT, RESET, DROP):
            raise ValueError(f"no record kind {kind} to append")
        log = self._logs.get(partition)
        if kind == CUT and log is not None and index < log.first_index - 1:
            raise ValueError(f"partition {partition}: cut to {index}, before its first entry")
        self._append_now(kind, partition, epoch, index, payload, on_durable)

    @staticmethod
    def _check_entry(log: PartitionLog, partition: int, index: int) -> None:
        if log.damaged:
            raise ValueError(f"partition {partition} is damaged: reset it first")
        if not log.accepts(index):
            raise ValueError(f"partition {partition}: entry {index} after {log.last_index}")

    def _append_now(
        self,
        kind: int,
        partition: int,
        epoch: int,
        index: int,
        payload: bytes,
        on_durable: Callable[[], None] | None,
    ) -> None:
        position = self._append_record(kind, partition, epoch, index, payload, on_durable)
        self._index.control(kind, partition, epoch, index, payload, position)

    def _append_record(
        self,
        kind: int,
        partition: int,
        epoch: int,
        index: int,
        payload: bytes,
        on_durable: Callable[[], None] | None,
    ) -> int:
        """Frame a record into the filling group; its position."""
        size = HEADER_SIZE + len(payload)
        tail = self._tail
        group = self._filling
        if group is None or tail.end + size > self._config.segment_bytes:
            group = self._next_group(size)
            tail = self._tail
        group.buffers.append(frame(tail.seed, kind, partition, epoch, index, payload))
        if on_durable is not None:
            group.callbacks.append(on_durable)
        position = tail.number << 32 | tail.end
        tail.end += size
        group.size += size
        self._pending_bytes += size
        return position

    def _next_group(self, size: int) -> Group:
        """Start a group that has room for a record of `size`, in a new segment if need be."""
        if size + HEADER_SIZE + FIRST_RECORD_OFFSET > self._config.segment_bytes:
            raise ValueError(f"a record of {size} bytes does not fit a segment")
        if self._tail.end + HEADER_SIZE + size > self._config.segment_bytes:
            self._roll()
        tail = self._tail
        group = Group(tail)
        if tail.end == FIRST_RECORD_OFFSET:
            header = FileHeader(MAGIC, tail.number, self._previous_end, self._config.node_id)
            group.buffers.append(header.encode())
            group.size = FILE_HEADER_BYTES
        group.buffers.append(frame(tail.seed, MARK, 0, 0, tail.end, b""))
        tail.end += HEADER_SIZE
        group.size += HEADER_SIZE
        group.preamble = len(group.buffers)
        self._pending_bytes += group.size
        self._filling = group
        self._groups.append(group)
        self._idle.clear()
        if self._writing is None and not self._flush_scheduled:
            self._flush_scheduled = True
            self._loop.call_soon(self._flush)
        return group

    def _roll(self) -> None:
        """Go on in the next segment. Raises DiskFull when it could not be reserved."""
        if self._tail.number + 1 not in self._files:
            if self._reserve.full:
                raise DiskFull("the journal has no room for another segment")
            if self._tail.number not in self._files:
                raise Overloaded("the journal waits for its next segment")
        former, self._previous_end = self._tail, self._tail.end
        self._filling = None
        self._tail = self._new_segment(self._tail.number + 1)
        self._release_if_written(former)
        self._reserve.want(self._tail.number)

    def _release_if_written(self, segment: Segment) -> None:
        """Close the file of a segment that gets no more records: open, a dropped one keeps room.

        While one segment is still being written, the next may be full and wait behind it.
        """
        if segment is self._tail or (self._writing and self._writing.segment is segment):
            return
        if all(group.segment is not segment for group in self._groups):
            self._reserve.release(segment.number)

    def _new_segment(self, number: int) -> Segment:
        segment = Segment(number, segment_seed(self._config.node_id, number))
        self._segments[number] = segment
        return segment

    # -- writing

    def _flush(self) -> None:
        """Hand the oldest group to the disk, unless one is under way or its file is not ready."""
        self._flush_scheduled = False
        if self._writing is not None or not self._groups or self._failed:
            return
        group = self._groups[0]
        file = self._files.get(group.segment.number)
        if file is None:
            return  # `_room_changed` comes back here
        self._groups.popleft()
        if self._filling is group:
            self._filling = None
        group.end = group.segment.end
        self._writing = group
        self.sync_started_at = self._runtime.clock.monotonic()
        try:
            file.append_and_sync(group.buffers, self._written)
        except OSError as error:
            self._fail(error)

    def _written(self, error: OSError | None) -> None:
        group = self._writing
        if group is None or self._failed:
            return
        if error is not None:
            self._fail(error)
            return
        assert self.sync_started_at is not None
        self.sync_seconds_last = self._runtime.clock.monotonic() - self.sync_started_at
        self.sync_started_at = None
        self._writing = None
        self._pending_bytes -= group.size
        self.bytes_since_trim += group.size
        self._reader.durable_position = group.segment.number << 32 | group.end
        self._release_if_written(group.segment)
        if self._groups:
            self._flush()
        else:
            self._went_idle(group)
        self._reader.shrink()
        if self._on_sync is not None:
            self._on_sync(self.sync_seconds_last, group.size)
        for callback in group.callbacks:
            try:
                callback()
            except Exception as failure:  # noqa: BLE001 - one caller's defect must not stop others
                self._loop.call_exception_handler(
                    {"message": "a journal callback failed", "exception": failure}
                )

    def _went_idle(self, group: Group) -> None:
        """Nothing follows: see to it that a MARK soon proves the last records."""
        self._idle.set()
        self._unproven = len(group.buffers) > group.preamble
        if self._unproven and self._mark_timer is None and not self._closed:
            self._mark_timer = self._loop.call_later(
                self._config.mark_delay_s, self._prove_when_idle
            )

    def _prove_when_idle(self) -> None:
        self._mark_timer = None
        if self._unproven and not self._groups and self._writing is None:
            self._write_mark()

    def _write_mark(self) -> Group | None:
        """A group of only a MARK, or the one that is filling; None when there can be none now."""
        if self._refusal is not None and not self._closed:
            return None
        if self._filling is not None:
            return self._filling
        try:
            return self._next_group(0)
        except (DiskFull, Overloaded):
            return None  # the MARK is written with the next group instead

    def probe(self, on_durable: Callable[[], None]) -> None:
        """A timed sync, for liveness: `on_durable` is called once a write made now is synced.

        Raises like `append`.
        """
        if self._refusal is not None:
            raise self._refusal()
        group = self._filling if self._filling is not None else self._next_group(0)
        group.callbacks.append(on_durable)

    def _fail(self, error: OSError) -> None:
        if self._failed:
            return
        self._failed = True
        self._refusal = broken
        self._groups.clear()
        self._filling = self._writing = None
        self._cancel_timers()
        self._idle.set()
        self._on_failure(error)

    def _room_changed(self) -> None:
        if self._failed:
            return
        reserve = self._reserve
        stuck = reserve.full and self._tail.number not in reserve.files
        if not self._closed:
            self._refusal = no_room if stuck else None
        if self._groups and self._writing is None:
            self._flush()
            self._drop_roomless()

    # -- reading

    def read(
        self,
        partition: int,
        first_index: int,
        *,
        max_bytes: int,
        max_entries: int,
        from_disk: bool = False,
    ) -> list[tuple[int, int, bytes]]:
        """(epoch, index, payload) of the entries from `first_index` on, durable or still pending.

        At least one entry when there is one, however large. Recent ones come from memory, unless
        `from_disk` asks for what is there; others cost a read each on the loop. LookupError:
        trimmed, or no such partition. Corruption: a bad record.
        """
        return self._reader.read(
            partition,
            first_index,
            max_bytes=max_bytes,
            max_entries=max_entries,
            from_disk=from_disk,
        )

    def something_may_be_missing(self) -> None:
        """A log is to be filled, and may end before what it held: as after a torn end, until others
        have shown that it has all again. Durable at once. Raises DiskFull, OSError."""
        if not self.filled:
            note_torn_end(self._disk, self._directory, FILLED)
            self.torn_end = self.filled = True

    def nothing_is_missing(self) -> None:
        """Others have shown that every log has its end: the torn one held nothing that counts."""
        self._disk.remove(f"{self._directory}/{TORN_FILE}")
        self.torn_end = self.filled = False

    def settle_unrecorded(self, lost: list[int]) -> None:
        """All partitions that may have a log here are known: of those without a record, `lost` may
        have had some; any other begins later. Raises like `append`; the next start asks again.
        """
        if self.may_lack_logs:
            self.may_lack_logs = False
            if self._refusal is not None:
                raise self._refusal()
            self._append_now(SCAR, 0, 0, 0, encode_scar(lost), None)
            self._append_now(DROP, UNRECORDED, 0, 0, b"", None)

    def first_index(self, partition: int) -> int:
        """Index of the first entry that can be read; 1 for an unknown partition."""
        log = self._logs.get(partition)
        return 1 if log is None else log.first_index

    def last_index(self, partition: int) -> int:
        """Index of the last entry, durable or pending; 0 for an unknown partition."""
        log = self._logs.get(partition)
        return 0 if log is None else log.last_index

    def last_epoch(self, partition: int) -> int:
        """Epoch of the last entry, or of the one that a RESET named; 0 for none."""
        log = self._logs.get(partition)
        return 0 if log is None else log.last_epoch

    def entry_epoch(self, partition: int, index: int) -> int | None:
        """Epoch of the entry at `index` (also of the last one trimmed, if known); else None."""
        log = self._logs.get(partition)
        return None if log is None else log.epoch_of(index)

    def state(self, partition: int) -> bytes | None:
        """Payload of the latest STATE record, durable or pending."""
        log = self._logs.get(partition)
        return None if log is None else log.state

    @property
    def bytes_on_disk(self) -> int:
        """Bytes of records in all segments, without reserved room."""
        return sum(segment.end for segment in self._segments.values())

    # -- trimming

    def trim(self, applied_durable: Mapping[int, int]) -> None:
        """Drop whole segments, oldest first, that nobody needs (see `droppable`).

        `applied_durable`: by partition, the index up to which its entries are flushed in the
        ordered store. A partition that is missing keeps its segments. What a dropped segment alone
        tells is written anew, durably, before its file goes.
        """
        self.bytes_since_trim = 0
        if self._refusal is broken or self._closed:
            return
        drop = droppable(
            self._segments.values(),
            before=self._oldest_unsynced(),
            applied_durable=applied_durable,
            bytes_on_disk=self.bytes_on_disk,
            retain_bytes=0 if self._reserve.full else self._config.retain_bytes,
            retired_to=self._retired_to,
        )
        if not drop:
            return
        try:
            self._rewrite(drop[-1].number)
        except (DiskFull, Overloaded):
            return  # tried again at the next trim; nothing was dropped
        numbers = [segment.number for segment in drop]
        for number in numbers:
            del self._segments[number]
            self._reader.drop_segment(number)
        assert self._filling is not None  # `_rewrite` sees to it
        self._filling.callbacks.append(lambda: self._removal.remove(numbers))

    def durable_segments(self) -> list[tuple[int, int]]:
        """Number and durable end of each segment that holds anything durable, oldest first."""
        unsynced, position = self._oldest_unsynced(), self._reader.durable_position
        found = [(n, segment.end) for n, segment in self._segments.items() if n < unsynced]
        if position >> 32 == unsynced:
            found.append((unsynced, position & 0xFFFFFFFF))
        return found

    def retire(self, number: int) -> None:
        """A bad one: `trim` drops it, and those before it, once nothing needs their entries,
        whatever is to be retained. Raises DiskFull, Overloaded: try later."""
        if number == self._tail.number:
            self._roll()
        self._retired_to = max(self._retired_to, number)

    def _oldest_unsynced(self) -> int:
        if self._writing is not None:
            return self._writing.segment.number
        return self._groups[0].segment.number if self._groups else self._tail.number

    def _rewrite(self, last_dropped: int) -> None:
        """Forget the entries up to a segment's end; journal anew what only it told."""
        if self._filling is None:
            self._next_group(0)
        for partition, log in self._logs.items():
            if log.state is not None and log.state_segment <= last_dropped:
                self._append_now(
                    STATE, partition, log.state_epoch, log.state_index, log.state, None
                )
            log.forget_before((last_dropped + 1) << 32)
            told = log.base_segment > last_dropped and log.first_index - 1 == log.last_index
            if not log.positions and log.last_index > 0 and not told:
                self._append_now(BASE, partition, log.last_epoch, log.last_index, b"", None)
        damaged = [partition for partition, log in self._logs.items() if log.damaged]
        if damaged and self._index.scar_segment <= last_dropped:
            self._append_now(SCAR, 0, 0, 0, encode_scar(damaged), None)

    def _dropped(self) -> None:
        if self._reserve.full:
            self._reserve.try_now()

    # -- the end

    async def close(self) -> None:
        """Make everything appended durable and proven, then let the files go."""
        if not self._closed and not self._failed:
            self._closed = True
            self._refusal = shut
            self._drop_roomless()
            await self._idle.wait()
            if self._unproven and self._tail.number in self._files:
                self._write_mark()
                await self._idle.wait()
        self._closed = True
        self._refusal = broken if self._failed else shut
        self._cancel_timers()
        await self._removal.close()
        await self._reserve.close()
        self._reader.close()

    def _drop_roomless(self) -> None:
        """Closing: groups whose room never came; nobody was told that they are durable."""
        if self._closed and self._reserve.full and self._groups and self._writing is None:
            self._groups.clear()
            self._idle.set()

    def _cancel_timers(self) -> None:
        self._reserve.stop()
        if self._mark_timer is not None:
            self._mark_timer.cancel()
            self._mark_timer = None
