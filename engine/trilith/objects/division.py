"""Where the partitions of objects may be split: between the stems of object keys (keys.py)."""

from __future__ import annotations

from trilith.objects.keys import stem_end
from trilith.objects.rules.fence import carry_over
from trilith.replication.state_machine import View

ROUTE_BYTES_MAX = 4096  # an object key has at most 1024 bytes, escaped at most twice as many


class ObjectsDivision:
    """Implements `replication.ranges.Division`."""

    route_bytes_max = ROUTE_BYTES_MAX

    def boundary(self, key: bytes) -> bytes | None:
        try:
            return key[: stem_end(key)]
        except (ValueError, IndexError):
            return None  # no stem: what belongs to a bucket's part, not to an object

    def carried(self, view: View, start: bytes, split_key: bytes) -> list[tuple[int, bytes, bytes]]:
        """The fence of the bucket whose range the split tears."""
        del start
        return carry_over(view, split_key)
