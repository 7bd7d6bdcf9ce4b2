"""Where the partitions of tables may be split, and what the right half must be told.

Implements replication.ranges.Division. A partition begins at a slot or at a token (layout.py), so
that all items of one partition key, and their local index entries, stay together.
"""

from __future__ import annotations

from trilith.replication.state_machine import View
from trilith.tables import layout
from trilith.tables.key_codec import TOKEN_SIZE
from trilith.tables.rules.changes import carried_heads, united_heads
from trilith.tables.rules.global_indexes import carried_end

BOUNDARY_SIZE = layout.OWNER_END + TOKEN_SIZE


class TableDivision:
    """Of keyspace 3."""

    route_bytes_max = BOUNDARY_SIZE
    merges = True
    anchored = frozenset({layout.CHANGE, layout.FED, layout.SHARD, layout.EXPIRY})

    def boundary(self, key: bytes) -> bytes | None:
        """The token that a key is of, or its slot when it has none, as what is anchored at a slot
        or at the empty key (no table's id begins with a zero).
        """
        if len(key) >= BOUNDARY_SIZE and key[1]:
            return key[:BOUNDARY_SIZE]
        slot = key[:1]
        return slot if slot > b"\x00" else None  # what is anchored at the empty key stays behind

    def carried(self, view: View, start: bytes, split_key: bytes) -> list[tuple[int, bytes, bytes]]:
        """What the half that begins at `split_key` must know though nobody writes to it: which
        tables' changes are recorded, and whether it lies in an index that is gone.
        """
        return carried_heads(view, start, split_key) + carried_end(view, start, split_key)

    def united(
        self, left: View, left_start: bytes, right: View, right_start: bytes
    ) -> list[tuple[int, bytes, bytes]]:
        """What the right half knew of tables' changes. (That an index is gone is said where the
        index begins in each half: what the left one has to know of it, it was told itself.)
        """
        return united_heads(left, left_start, right, right_start)
