"""The ordered store over RocksDB, its own write-ahead log off: the journal is the log.

Bounded memory: one block cache (index and filter blocks live in it too) and a fixed number of
write buffers. Without a log RocksDB keeps a prefix of its writes through a crash: write buffers
are flushed in order, and a write batch lies in one of them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence

from rocksdict import (
    BlockBasedIndexType,
    BlockBasedOptions,
    Cache,
    DBCompressionType,
    Options,
    Rdict,
    RdictIter,
    ReadOptions,
    WriteBatch,
    WriteOptions,
)

from trilith.errors import Corruption, DataDirectoryUnusable, DiskFull, StorageFailure, TrilithError
from trilith.runtime.thread_priority import lower_threads
from trilith.storage.ordered_store import DELETE, PUT, Operation, OrderedReader

MIB = 1024 * 1024
BLOB_BYTES_MIN = 1024
# Of flushes and compactions, above that of the process: a third of a processor where all are
# busy, all of it where not. Not RocksDB's own lowest one: flushes that starve would end in writes
# that wait for them.
BACKGROUND_NICE = 5


def _options(block_cache_bytes: int, write_buffer_bytes: int) -> Options:
    options = Options(raw_mode=True)
    options.create_if_missing(True)
    options.set_write_buffer_size(write_buffer_bytes)
    options.set_max_write_buffer_number(3)
    options.set_max_background_jobs(2)
    # A stalled write would block the event loop. The journal bounds what is unflushed, so let
    # level 0 and pending compactions grow far before RocksDB slows writers down.
    options.set_level_zero_file_num_compaction_trigger(4)
    options.set_level_zero_slowdown_writes_trigger(60)
    options.set_level_zero_stop_writes_trigger(120)
    options.set_soft_pending_compaction_bytes_limit(64 * 1024 * MIB)
    options.set_hard_pending_compaction_bytes_limit(256 * 1024 * MIB)
    options.set_target_file_size_base(32 * MIB)
    options.set_max_bytes_for_level_base(128 * MIB)
    options.set_level_compaction_dynamic_level_bytes(True)
    options.set_compression_type(DBCompressionType.none())  # values are ciphertext
    # Bodies lie apart from the sorted keys, so compactions move keys only (WiscKey, FAST '16).
    options.set_enable_blob_files(True)
    options.set_min_blob_size(BLOB_BYTES_MIN)
    options.set_blob_file_size(64 * MIB)
    options.set_enable_blob_gc(True)
    options.set_blob_gc_age_cutoff(0.5)
    options.set_blob_gc_force_threshold(0.5)
    options.set_max_open_files(256)
    options.set_keep_log_file_num(2)
    options.set_max_log_file_size(4 * MIB)
    options.set_max_manifest_file_size(16 * MIB)
    options.set_stats_dump_period_sec(0)
    options.set_stats_persist_period_sec(0)
    options.set_bytes_per_sync(MIB)
    options.set_avoid_unnecessary_blocking_io(True)
    table = BlockBasedOptions()
    table.set_block_cache(Cache(block_cache_bytes))
    table.set_block_size(8 * 1024)
    table.set_bloom_filter(10, False)
    # In parts of a few KiB: of a large file the cache keeps what is asked for. Whole filters and
    # indexes of 100 KiB each were read anew for every key, once there were some million.
    table.set_index_type(BlockBasedIndexType.two_level_index_search())
    table.set_partition_filters(True)
    table.set_metadata_block_size(4 * 1024)
    table.set_pin_top_level_index_and_filter(True)
    table.set_cache_index_and_filter_blocks(True)
    table.set_pin_l0_filter_and_index_blocks_in_cache(True)
    table.set_format_version(5)
    options.set_block_based_table_factory(table)
    return options


def _translated(error: Exception) -> TrilithError:
    """RocksDB's errors reach Python as bare exceptions; their texts start with the status code."""
    text = str(error)
    if "No space left" in text or "NoSpace" in text:
        return DiskFull(f"the ordered store has no room: {text}")
    if text.startswith("Corruption"):
        return Corruption(f"ordered store: {text}")
    return StorageFailure(f"ordered store: {text}")


Translate = Callable[[Exception], TrilithError]


def _pairs_forward(cursor: RdictIter, translate: Translate) -> Iterator[tuple[bytes, bytes]]:
    key, value, step, valid = cursor.key, cursor.value, cursor.next, cursor.valid
    while valid():
        yield key(), value()
        step()
    _check(cursor, translate)


def _pairs_backward(
    cursor: RdictIter, start: bytes, translate: Translate
) -> Iterator[tuple[bytes, bytes]]:
    # The lower bound of the read options is not kept here: a reverse iterator runs past it.
    key, value, step, valid = cursor.key, cursor.value, cursor.prev, cursor.valid
    while valid():
        found = key()
        if found < start:
            return
        yield found, value()
        step()
    _check(cursor, translate)


def _check(cursor: RdictIter, translate: Translate) -> None:
    """An iterator that met an error looks like one at its end: never take the one for the other."""
    try:
        cursor.status()
    except Exception as error:
        raise translate(error) from error


class RocksSnapshot:
    """A frozen view: one iterator, which RocksDB keeps at the state of its making.

    (The iterators of rocksdict's own Snapshot show later writes; only its single reads do not.)
    Scans share the iterator; each finds its place again when another one moved it. Not for use by
    several threads at once. Holds back RocksDB's cleaning until garbage-collected.
    """

    __slots__ = ("_cursor", "_owner", "_translate")

    def __init__(self, cursor: RdictIter, translate: Translate) -> None:
        self._cursor = cursor
        self._translate = translate
        self._owner: object = None  # the scan that placed the cursor last

    def get(self, key: bytes) -> bytes | None:
        cursor = self._cursor
        self._owner = None
        cursor.seek(key)
        if not cursor.valid():
            _check(cursor, self._translate)
            return None
        if cursor.key() != key:
            return None
        value: bytes = cursor.value()
        return value

    def scan(
        self, start: bytes, end: bytes, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        return self._backward(start, end) if reverse else self._forward(start, end)

    def _forward(self, start: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        cursor, token = self._cursor, object()
        place = start
        while True:
            if self._owner is token:
                cursor.next()
            else:
                self._owner = token
                cursor.seek(place)
            if not cursor.valid():
                _check(cursor, self._translate)
                return
            key = cursor.key()
            if key >= end:
                return
            place = key + b"\0"
            yield key, cursor.value()

    def _backward(self, start: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        cursor, token = self._cursor, object()
        place = end
        while True:
            if self._owner is token:
                cursor.prev()
            else:
                self._owner = token
                cursor.seek_for_prev(place)
                if cursor.valid() and cursor.key() == place:
                    cursor.prev()
            if not cursor.valid():
                _check(cursor, self._translate)
                return
            key = cursor.key()
            if key < start:
                return
            place = key
            yield key, cursor.value()


class RocksOrderedStore:
    """Implements `OrderedStore`. `path` is a directory that RocksDB owns wholly.

    Memory: `block_cache_bytes` + 3 x `write_buffer_bytes` and a few MiB. `write` is visible when it
    returns; durable after `flush`. Raises DataDirectoryUnusable when another process has it open.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        block_cache_bytes: int = 32 * MIB,
        write_buffer_bytes: int = 16 * MIB,
    ) -> None:
        try:
            self._database = Rdict(os.fspath(path), _options(block_cache_bytes, write_buffer_bytes))
        except Exception as error:
            text = str(error)
            if "lock" in text.lower():
                raise DataDirectoryUnusable(f"{path} is in use by another process") from error
            raise _translated(error) from error
        lower_threads("rocksdb:", BACKGROUND_NICE)  # all stores of a process share them
        self._write_options = WriteOptions()
        # rocksdict's stub calls this settable property a method
        self._write_options.disable_wal = True  # type: ignore[method-assign,assignment]
        self._closed = False
        self._get = self._database.get
        # Told of every damage that is met, before the error is raised.
        self.on_damage: Callable[[Corruption], None] = lambda _: None

    def _translate(self, error: Exception, key: bytes | None = None) -> TrilithError:
        translated = _translated(error)
        if isinstance(translated, Corruption):
            if key is not None:
                translated.details["key"] = key.hex()
            self.on_damage(translated)
        return translated

    def get(self, key: bytes) -> bytes | None:
        try:
            value: bytes | None = self._get(key)
        except Exception as error:
            raise self._translate(error, key) from error
        return value

    def scan(
        self, start: bytes, end: bytes, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        if start >= end:
            return iter(())
        bounds = ReadOptions()
        bounds.set_iterate_upper_bound(end)
        cursor = self._database.iter(bounds)  # here, not in the generator: as of this call
        if reverse:
            cursor.seek_to_last()
            return _pairs_backward(cursor, start, self._translate)
        cursor.seek(start)
        return _pairs_forward(cursor, self._translate)

    def write(self, operations: Sequence[Operation]) -> None:
        batch = WriteBatch(raw_mode=True)
        put = batch.put
        for operation, key, value in operations:
            if operation == PUT:
                put(key, value)
            elif operation == DELETE:
                batch.delete(key)
            elif key < value:  # RocksDB refuses a range whose end comes before its start
                batch.delete_range(key, value)
        try:
            self._database.write(batch, self._write_options)
        except Exception as error:
            raise self._translate(error) from error

    def bytes_held(self) -> int:
        """About what all living records take: files, blobs and what is in memory."""
        found = 0
        for name in ("live-sst-files-size", "live-blob-file-size", "cur-size-all-mem-tables"):
            found += self._database.property_int_value(f"rocksdb.{name}") or 0
        return found

    def memtable_bytes(self) -> int:
        """Of records that are not flushed; 0 of a closed store."""
        if self._closed:
            return 0
        return self._database.property_int_value("rocksdb.cur-size-all-mem-tables") or 0

    def snapshot(self) -> OrderedReader:
        return RocksSnapshot(self._database.iter(), self._translate)

    def flush(self) -> None:
        try:
            self._database.flush(True)
        except Exception as error:
            raise self._translate(error) from error

    def close(self) -> None:
        """Flushes. The directory's lock goes when the last snapshot and iterator are gone."""
        if not self._closed:
            self._closed = True
            try:
                self._database.close()
            except Exception as error:
                raise self._translate(error) from error
