"""An in-memory ordered store with RocksDB's promises: writes are atomic and ordered, and a crash
keeps what was flushed and some prefix of what was written since.

A twin of `RocksOrderedStore`; `test_ordered_stores.py` runs both side by side.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Iterator, Sequence

from trilith.errors import DiskFull, StorageFailure
from trilith.storage.ordered_store import DELETE, PUT, Operation, OrderedReader


class _Sorted:
    """A sorted map. Copies are shallow."""

    def __init__(self, values: dict[bytes, bytes] | None = None) -> None:
        self._values = values if values is not None else {}
        self._keys = sorted(self._values)

    def copy(self) -> _Sorted:
        return _Sorted(dict(self._values))

    def get(self, key: bytes) -> bytes | None:
        return self._values.get(key)

    def scan(
        self, start: bytes, end: bytes, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        keys = self._keys[bisect_left(self._keys, start) : bisect_left(self._keys, end)]
        if reverse:
            keys.reverse()
        return iter([(key, self._values[key]) for key in keys])

    def apply(self, operations: Sequence[Operation]) -> None:
        for operation, key, value in operations:
            if operation == PUT:
                if key not in self._values:
                    insort(self._keys, key)
                self._values[key] = bytes(value)
            elif operation == DELETE:
                if self._values.pop(key, None) is not None:
                    del self._keys[bisect_left(self._keys, key)]
            else:
                first, last = bisect_left(self._keys, key), bisect_left(self._keys, value)
                for gone in self._keys[first:last]:
                    del self._values[gone]
                del self._keys[first:last]


class MemoryOrderedStore:
    """Implements `OrderedStore`. `tick` is stamped on every write and flush, so that `image` can
    go back to a moment of another recording (a `RecordedDisk`'s count of events)."""

    def __init__(
        self, *, tick: Callable[[], int] | None = None, values: dict[bytes, bytes] | None = None
    ) -> None:
        self._tick = tick
        self._first = dict(values or {})
        self._current = _Sorted(dict(self._first))
        self._history: list[tuple[int, list[Operation] | None]] = []  # None: a flush
        self._closed = False
        self.full = False  # writes raise DiskFull

    def get(self, key: bytes) -> bytes | None:
        self._check_open()
        return self._current.get(key)

    def scan(
        self, start: bytes, end: bytes, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        self._check_open()
        return self._current.scan(start, end, reverse=reverse)

    def write(self, operations: Sequence[Operation]) -> None:
        self._check_open()
        if self.full:
            raise DiskFull("the ordered store has no room")
        self._history.append((self._tick() if self._tick else 0, list(operations)))
        self._current.apply(operations)

    def snapshot(self) -> OrderedReader:
        return self._current.copy()

    def flush(self) -> None:
        self._check_open()
        if self._tick is not None:
            self._history.append((self._tick(), None))
        else:  # nobody goes back before a flush: forget
            self._first = dict(self._current.scan(b"", b"\xff" * 64))
            self._history.clear()

    def close(self) -> None:
        if not self._closed:
            self.flush()
            self._closed = True

    def crashed(self, *, unflushed_kept: float = 0.0) -> MemoryOrderedStore:
        """The store as found after a crash now: with the first part of its unflushed writes."""
        last = self._history[-1][0] if self._history else 0
        return self.image(last, unflushed_kept=unflushed_kept)

    def image(self, tick: int, *, unflushed_kept: float = 0.0) -> MemoryOrderedStore:
        """The store as a crash at `tick` would leave it."""
        past = [operations for when, operations in self._history if when <= tick]
        flushed = 0
        for position, operations in enumerate(past):
            if operations is None:
                flushed = position + 1
        kept = flushed + round((len(past) - flushed) * unflushed_kept)
        values = _Sorted(dict(self._first))
        for operations in past[:kept]:
            if operations is not None:
                values.apply(operations)
        return MemoryOrderedStore(values=dict(values.scan(b"", b"\xff" * 64)))

    def _check_open(self) -> None:
        if self._closed:
            raise StorageFailure("the store is closed")
