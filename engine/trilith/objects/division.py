"""Where the partitions of objects may be split: between the stems of object keys (keys.py)."""

from __future__ import annotations

from trilith.errors import InternalError
from trilith.objects.keys import stem_end
from trilith.objects.rules.fence import carry_over
from trilith.replication.state_machine import View

ROUTE_BYTES_MAX = 4096  # an object key has at most 1024 bytes, escaped at most twice as many


class ObjectsDivision:
    """Implements `replication.ranges.Division`.

    They are not merged: who is in sync with a partition has its zone's chunks, too, and who is in
    sync with the neighbour that absorbs it may not.
    """

    route_bytes_max = ROUTE_BYTES_MAX
    merges = False
    anchored: frozenset[int] = frozenset()

    def boundary(self, key: bytes) -> bytes | None:
        try:
            return key[: stem_end(key)]
        except (ValueError, IndexError):
            return None  # no stem: what belongs to a bucket's part, not to an object

    def carried(self, view: View, start: bytes, split_key: bytes) -> list[tuple[int, bytes, bytes]]:
        """The fence of the bucket whose range the split tears."""
        del start
        return carry_over(view, split_key)

    def united(
        self, left: View, left_start: bytes, right: View, right_start: bytes
    ) -> list[tuple[int, bytes, bytes]]:
        """Raises InternalError."""
        del left, left_start, right, right_start
        raise InternalError("partitions of objects are not merged")
