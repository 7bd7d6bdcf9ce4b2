"""The ordered store port: a sorted map of bytes on one node.

Durability: a `write` is atomic and visible at once, and survives a crash only after a later
`flush`; the journal is its write-ahead log (RocksDB's own is off). After a crash the store holds
some prefix of its writes, at least up to the last flush.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

PUT = 0
DELETE = 1
DELETE_RANGE = 2  # key = start (inclusive), value = end (exclusive)

Operation = tuple[int, bytes, bytes]


class OrderedReader(Protocol):
    def get(self, key: bytes) -> bytes | None: ...

    def scan(
        self, start: bytes, end: bytes, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """Pairs with start <= key < end in order (or reverse order), as of the call."""
        ...


class OrderedStore(OrderedReader, Protocol):
    def write(self, operations: Sequence[Operation]) -> None:
        """Apply all operations, in order, atomically. Raises StorageFailure or DiskFull."""
        ...

    def snapshot(self) -> OrderedReader:
        """A frozen view, for streaming to another node; dropped when garbage-collected."""
        ...

    def flush(self) -> None:
        """Make every earlier write durable. Blocking: call it through `Workers`."""
        ...

    def close(self) -> None: ...
