"""A model's window on its partition: reads, and the effects of one command."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from trilith.errors import WrongRange
from trilith.replication.entry import PendingEntry
from trilith.replication.in_flight import Overlay
from trilith.replication.ranges import RangeRecord
from trilith.replication.state_machine import FAMILY_MAX
from trilith.storage.ordered_store import (
    DELETE,
    DELETE_RANGE,
    PUT,
    Operation,
    OrderedReader,
)


def _outside() -> WrongRange:
    """What lies outside is another partition's, and may be old here."""
    return WrongRange("a key outside of the partition was asked for")


class StoreView:
    """Committed state of one partition."""

    __slots__ = ("_end", "_keyspace", "_prefixes", "_start", "_store", "memo")

    def __init__(self, store: OrderedReader, keyspace: int, start: bytes, end: bytes) -> None:
        """`end` empty: no upper bound."""
        self._store = store
        self._keyspace = keyspace
        self._start = start
        self._end = end
        self.memo: dict[Any, Any] = {}
        self._prefixes = [bytes((keyspace, family)) for family in range(256)]

    def get(self, family: int, key: bytes) -> bytes | None:
        if key < self._start or (self._end and key >= self._end):
            raise _outside()
        return self._store.get(self._prefixes[family] + key)

    def covers(self, key: bytes) -> bool:
        return self._start <= key and (not self._end or key < self._end)

    def _bounds(self, family: int, start: bytes, end: bytes) -> tuple[bytes, bytes]:
        start = max(start, self._start)
        if not end or (self._end and self._end < end):
            end = self._end
        prefix = self._prefixes[family]
        return prefix + start, prefix + end if end else bytes((self._keyspace, family + 1))

    def scan(
        self, family: int, start: bytes, end: bytes, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        low, high = self._bounds(family, start, end)
        if low >= high:
            return
        for key, value in self._store.scan(low, high, reverse=reverse):
            yield key[2:], value


class LeaderView(StoreView):
    """Committed state and the leader's writes in flight."""

    __slots__ = ("_overlay",)

    def __init__(
        self, store: OrderedReader, keyspace: int, start: bytes, end: bytes, overlay: Overlay
    ) -> None:
        super().__init__(store, keyspace, start, end)
        self._overlay = overlay

    def get(self, family: int, key: bytes) -> bytes | None:
        if key < self._start or (self._end and key >= self._end):
            raise _outside()
        physical = self._prefixes[family] + key
        overlay = self._overlay  # as its `get`, without a call
        held = overlay.keys.get(physical)
        if held is not None:
            return held[1]
        if overlay.ranges and overlay.get(physical)[0]:
            return None
        return self._store.get(physical)

    def scan(
        self, family: int, start: bytes, end: bytes, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        low, high = self._bounds(family, start, end)
        if low >= high:
            return
        overlay = self._overlay
        pending = sorted(overlay.within(low, high).items(), reverse=reverse)
        position = 0
        for key, value in self._store.scan(low, high, reverse=reverse):
            while position < len(pending) and (
                pending[position][0] > key if reverse else pending[position][0] < key
            ):
                new_key, new_value = pending[position]
                position += 1
                if new_value is not None:
                    yield new_key[2:], new_value
            if position < len(pending) and pending[position][0] == key:
                new_value = pending[position][1]
                position += 1
                if new_value is not None:
                    yield key[2:], new_value
            elif not overlay.hides(key):
                yield key[2:], value
        for new_key, new_value in pending[position:]:
            if new_value is not None:
                yield new_key[2:], new_value


def logged_view(
    store: OrderedReader, keyspace: int, record: RangeRecord, pending: Iterable[PendingEntry]
) -> LeaderView:
    """A partition as its whole log makes it: the store, and what is not applied yet."""
    overlay = Overlay()
    for entry in pending:
        overlay.add(entry.index, entry.effects())
    return LeaderView(store, keyspace, record.start, record.end, overlay)


class CollectedEffects(msgspec.Struct):
    """The operations of one command, with physical keys."""

    _keyspace: int
    operations: list[Operation] = msgspec.field(default_factory=list)
    touched: tuple[bytes, ...] = ()  # routing keys beside the command's own

    def put(self, family: int, key: bytes, value: bytes) -> None:
        assert family <= FAMILY_MAX
        self.operations.append((PUT, bytes((self._keyspace, family)) + key, value))

    def delete(self, family: int, key: bytes) -> None:
        self.operations.append((DELETE, bytes((self._keyspace, family)) + key, b""))

    def delete_range(self, family: int, start: bytes, end: bytes) -> None:
        prefix = bytes((self._keyspace, family))
        self.operations.append((DELETE_RANGE, prefix + start, prefix + end))

    def touch(self, key: bytes) -> None:
        self.touched += (key,)
