"""What is in the log and not yet committed.

`Overlay`: the leader's own in-flight writes, which the next command is evaluated against (rule 1).
`DirtyKeys`: the routing keys that logged, uncommitted entries touch; a follower that may serve
reads waits only for these (a write commits only when every in-sync replica has logged it, so an
untouched key's applied value is the latest acknowledged one: Clean in the model; compare CRAQ,
USENIX ATC '09).
"""

from __future__ import annotations

from collections.abc import Iterable

from trilith.storage.ordered_store import DELETE_RANGE, PUT, Operation


class Overlay:
    """In-flight writes by physical key, latest first to answer.

    `keys`, `ranges`: for who looks up a key without a call (view.py).
    """

    __slots__ = ("keys", "ranges")

    def __init__(self) -> None:
        self.keys: dict[bytes, tuple[int, bytes | None]] = {}
        self.ranges: list[tuple[int, bytes, bytes]] = []

    def add(self, index: int, operations: Iterable[Operation]) -> None:
        """The operations of the entry at `index`, or of commands that will be in it."""
        for kind, key, value in operations:
            if kind == PUT:
                self.keys[key] = (index, value)
            elif kind == DELETE_RANGE:
                self.ranges.append((index, key, value))
                for known in [k for k in self.keys if key <= k < value]:
                    self.keys[known] = (index, None)
            else:
                self.keys[key] = (index, None)

    def release(self, index: int, operations: Iterable[Operation]) -> None:
        """The entry was applied: the store has it now."""
        keys = self.keys
        for kind, key, _ in operations:
            if kind != DELETE_RANGE:
                held = keys.get(key)
                if held is not None and held[0] <= index:
                    del keys[key]
        if self.ranges:
            self.ranges = [r for r in self.ranges if r[0] > index]
            for known in [k for k, (i, _) in keys.items() if i <= index]:
                del keys[known]

    def clear(self) -> None:
        self.keys.clear()
        self.ranges.clear()

    def get(self, key: bytes) -> tuple[bool, bytes | None]:
        """(whether an in-flight write decides the key, its value or None when deleted)."""
        held = self.keys.get(key)
        if held is not None:
            return True, held[1]
        for _, start, end in self.ranges:
            if start <= key < end:
                return True, None
        return False, None

    def within(self, start: bytes, end: bytes) -> dict[bytes, bytes | None]:
        """Keys of [start, end) that in-flight writes decide."""
        return {k: v for k, (_, v) in self.keys.items() if start <= k < end}

    def hides(self, key: bytes) -> bool:
        """Whether an in-flight range deletion covers a stored key."""
        return any(start <= key < end for _, start, end in self.ranges)


class DirtyKeys:
    """Routing keys of uncommitted entries, with the index of the last entry that touches each.

    A split touches every key that it takes away: whoever has applied it knows better than to
    answer for them (a child may have committed writes without this replica).
    """

    __slots__ = ("_from", "_last")

    def __init__(self) -> None:
        self._last: dict[bytes, int] = {}
        self._from: list[tuple[int, bytes]] = []  # (index, split key), in order

    def add(self, index: int, keys: Iterable[bytes]) -> None:
        for key in keys:
            self._last[key] = index

    def add_from(self, index: int, key: bytes) -> None:
        """The entry touches `key` and everything above it."""
        self._from.append((index, key))

    def release(self, index: int, keys: Iterable[bytes]) -> None:
        last = self._last
        if self._from:
            self._from = [one for one in self._from if one[0] > index]
        for key in keys:
            if last.get(key, index + 1) <= index:
                del last[key]

    def clear(self) -> None:
        self._last.clear()
        self._from.clear()

    def wait_index(self, key: bytes) -> int:
        """The index that must be applied before `key` may be read; 0: none."""
        index = self._last.get(key, 0)
        if self._from:
            index = max([index, *(at for at, first in self._from if first <= key)])
        return index

    def __bool__(self) -> bool:
        return bool(self._last or self._from)
