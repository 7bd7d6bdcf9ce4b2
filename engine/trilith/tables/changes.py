"""The change log of tables: what is stored of it, and a gateway's or feeder's way to it.

Every change of an item of a table that has a stream or global indexes is a record in the same log
entry as the change itself (rules/items.py, `_store`), so there is exactly one for every change,
over takeovers too. A write that leaves the item as it was makes none.

The log of a table is cut into *shards*. A shard belongs to a range of logical keys and to a range
of sequences; its changes are in the order of their sequences, and all of one item's are in it.
When a partition splits its shard ends, and one for each half begins; a merge ends none. A stream's
shards end, too, when it is disabled. Sequences of one item's changes grow over shards; two items of
different partitions may have equal ones.

Stored (layout.py says under which keys): Head, Shard and Change. A change holds the records of the
item before and after as they are stored, sealed under the item's own key: open them with
`ItemKeys.open_item(table_id, change.key, change.new)`.

How to consume the log, as a global index does: for a partition `start`, `shards(start)` lists what
it holds; `read(shard, after)` what was changed behind a position of yours, in order; then
`trim(shard.start, table_id, until)`. Before a shard is begun, all that is in the shards
that it follows (`Shard.follows`) is to be consumed: when it was the partition to the left that
split, they are there. Trimming removes nothing that a stream still has to keep.
"""

from __future__ import annotations

from typing import NamedTuple, cast

import msgspec

from trilith.record_codec import RecordCodec
from trilith.replication.state_machine import Partitions
from trilith.tables.commands import (
    PAGE_BYTES_MAX,
    Changes,
    ListShards,
    LocateChange,
    Located,
    ReadChanges,
    RollShards,
    Shards,
    TrimChanges,
    Trimmed,
)
from trilith.tables.definitions import Feeds
from trilith.tables.layout import TABLES_KEYSPACE

INSERT, MODIFY, REMOVE = range(3)

IN_STREAM = 1  # to be kept for a day
BY_TTL = 2  # the service removed an expired item
FOR_INDEX = 4  # to be kept until all indexes have it

READ_LIMIT = 1000
TRIM_LIMIT = 2000
_SHARDS_PAGE = 500


class Change(msgspec.Struct, frozen=True, array_like=True):
    """One change of an item. `key` is its logical key; `old` and `new` are its records, None where
    there was none or no consumer needs them. `time_ms` is the leader's clock; `era` that of the
    feeds (Feeds.era) that it was recorded for.
    """

    kind: int
    flags: int
    time_ms: int
    key: bytes
    old: bytes | None
    new: bytes | None
    era: int = 0


class Head(msgspec.Struct, frozen=True, array_like=True):
    """The open shards of a table in one partition: (start, first sequence), by start.

    True as long as the partition ends at `end`, and its range was not changed since (`generation`);
    `feeds` is what was last known of the table.
    """

    end: bytes
    feeds: Feeds
    shards: tuple[tuple[bytes, int], ...]
    generation: int = 0


class Shard(msgspec.Struct, frozen=True, array_like=True):
    """A shard: keys [start, end) (empty end: no bound), sequences from `first` to `last` (0: open).

    `stream` is the `created_ms` of the stream that it is of, or 0. Changes up to `trimmed` are
    gone.
    """

    table_id: bytes
    start: bytes
    end: bytes
    stream: int
    first: int
    opened_ms: int
    last: int = 0
    closed_ms: int = 0
    trimmed: int = 0

    def overlaps(self, other: Shard) -> bool:
        return (not other.end or self.start < other.end) and (
            not self.end or other.start < self.end
        )

    def follows(self, other: Shard) -> bool:
        """Whether items of ours may have earlier changes in `other`, and none that are later.

        (`other` may end above our beginning: it went on with the items that it kept.)
        """
        return self.table_id == other.table_id and other.first < self.first and self.overlaps(other)


class ChangeActivity:
    """Where changes were made on this node, for those who wait for them. Told when a change is
    evaluated: it may be committed a little later, or not at all.

    `changed`: (shard start, table id) of changes that indexes are fed from, taken out by whoever
    reads them; `rolls`: how often shards were opened or closed. `behind`: those whose indexes are
    so far behind that no more changes are to be made there for now, with where the shard ends;
    `refused`: how many were not.
    """

    def __init__(self) -> None:
        self.changed: set[tuple[bytes, bytes]] = set()
        self.rolls = 0
        self.behind: dict[tuple[bytes, bytes], bytes] = {}
        self.refused = 0

    def is_behind(self, table_id: bytes, key: bytes) -> bool:
        """Whether a change of an item is to be refused."""
        for (start, one), end in self.behind.items():
            if one == table_id and start <= key and (not end or key < end):
                return True
        return False


CHANGE_RECORD = RecordCodec(Change)
HEAD_RECORD = RecordCodec(Head)
SHARD_RECORD = RecordCodec(Shard)


class Position(NamedTuple):
    """A change and where it is."""

    sequence: int
    change: Change


class ChangesRead(NamedTuple):
    """`is_whole`: nothing more was there behind them when they were read.

    `shard`: as it is now; None when it is no longer kept.
    """

    shard: Shard | None
    changes: list[Position]
    is_whole: bool


class ChangeLog:
    """One node's way to the change logs. Reads are linearizable: an acknowledged write is there."""

    def __init__(self, partitions: Partitions) -> None:
        self._partitions = partitions

    async def shards(
        self, partition_start: bytes, partition_end: bytes | None = None, table_id: bytes = b""
    ) -> list[Shard]:
        """All shards that one partition holds, of one table or of all, by start and sequence.

        WrongRange when `partition_end` is given (empty: no bound) and the partition ends before.

        Shards that a split has ended are shown as open until `roll` or a write notices it.
        """
        found: list[Shard] = []
        after, more = b"", True
        while more:
            query = ListShards(partition_start, table_id, after, _SHARDS_PAGE)
            page = cast(
                Shards,
                await self._partitions.query(
                    TABLES_KEYSPACE,
                    partition_start,
                    query,
                    touched=(partition_start, partition_end or b""),
                    until=partition_end,
                ),
            )
            found += [SHARD_RECORD.decode(raw) for _, raw in page.records]
            more = page.more
            after = page.records[-1][0] if page.records else after
        if partition_end:  # behind it there may be those of what it has just absorbed
            found = [shard for shard in found if shard.start < partition_end]
        return found

    async def read(
        self,
        shard: Shard,
        after: int = 0,
        *,
        limit: int = READ_LIMIT,
        bytes_max: int = PAGE_BYTES_MAX,
    ) -> ChangesRead:
        """Changes of one shard with a sequence above `after`, in order."""
        query = ReadChanges(shard.start, shard.table_id, shard.first, after, limit, bytes_max)
        page = cast(
            Changes,
            await self._partitions.query(
                TABLES_KEYSPACE, shard.start, query, touched=(shard.start, shard.end)
            ),
        )
        changes = [Position(at, CHANGE_RECORD.decode(raw)) for at, raw in page.records]
        return ChangesRead(_shard(page.shard), changes, page.is_whole)

    async def locate(self, shard: Shard, time_ms: int) -> tuple[Shard | None, int, int]:
        """The shard as it is now, the sequence of its first change at that time or later, and of
        its last change; 0 where there is none.
        """
        query = LocateChange(shard.start, shard.table_id, shard.first, time_ms)
        found = cast(
            Located,
            await self._partitions.query(
                TABLES_KEYSPACE, shard.start, query, touched=(shard.start, shard.end)
            ),
        )
        return _shard(found.shard), found.at, found.last

    async def trim(
        self, shard_start: bytes, table_id: bytes, until: int, *, streamed_before_ms: int = 0
    ) -> int:
        """Forget changes that indexes are fed from up to the sequence `until`; how many there were.

        Those that are in a stream, too, stay unless they are older than `streamed_before_ms`, and
        whatever is behind them stays with them. Those that are only in a stream go by age alone.
        """
        removed, more = 0, True
        while more:
            command = TrimChanges(shard_start, table_id, until, streamed_before_ms, TRIM_LIMIT)
            done = cast(
                Trimmed, await self._partitions.execute(TABLES_KEYSPACE, shard_start, command)
            )
            removed += done.count
            more = done.more
        return removed

    async def roll(self, key: bytes, table_id: bytes, feeds: Feeds) -> None:
        """Close and open the shards of the partition of `key` as its range and `feeds` say."""
        await self._partitions.execute(TABLES_KEYSPACE, key, RollShards(key, table_id, feeds))


def _shard(raw: bytes | None) -> Shard | None:
    return None if raw is None else SHARD_RECORD.decode(raw)
