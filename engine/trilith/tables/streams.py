"""A table's streams as their readers see them: shards by name, positions, and records opened.

A stream is the part of the table's change log (changes.py) from its enabling to its disabling. Its
shards are the log's; each partition that holds a part of the table has one that is open. A shard's
name is made of when it began and a digest of where, so that it sorts by age and finds its shard on
every node.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Iterable
from typing import NamedTuple

from blake3 import blake3

from trilith.errors import WrongRange
from trilith.replication.state_machine import Partitions
from trilith.tables import layout
from trilith.tables.changes import Change, ChangeLog, ChangesRead, Shard
from trilith.tables.definitions import Feeds, Stream, TableRecord
from trilith.tables.ended import Ended
from trilith.tables.key_ring import ItemKeys
from trilith.tables.layout import ABOVE_ALL, TABLES_KEYSPACE
from trilith.tables.sizes import item_size
from trilith.tables.values import Item

_RUN = 64  # records opened at once: some milliseconds of the event loop
_KNOWN_MAX = 8192
_SPLIT_ATTEMPTS = 100
_SPLIT_PAUSE_S = 0.02
_TEXT_BASE = 10**20  # sequence numbers are texts of 21 digits


class StreamRecord(NamedTuple):
    """A change with what is shown of it; the images as the view type has them."""

    event_id: str
    sequence: int
    change: Change
    keys: Item
    old: Item | None
    new: Item | None
    size: int


def sequence_text(sequence: int) -> str:
    """A sequence as AWS's numeric text: it compares as a number and, within a stream, as a text."""
    return str(_TEXT_BASE + sequence)


def sequence_of(text: str) -> int:
    """The sequence of a text; negative for one that is none of ours. Raises ValueError."""
    if not (text.isascii() and text.isdigit()):
        raise ValueError(text)
    return int(text) - _TEXT_BASE


def shard_name(shard: Shard) -> str:
    place = b"%d %d " % (shard.stream, shard.first) + shard.table_id + shard.start
    return f"shardId-{shard.opened_ms:020d}-{blake3(place).hexdigest(8)}"


class Streams:
    """One gateway's way to streams."""

    def __init__(self, partitions: Partitions, keys: ItemKeys, retention_s: int) -> None:
        self.retention_ms = retention_s * 1000
        self._partitions = partitions
        self._keys = keys
        self._log = ChangeLog(partitions)
        self.ended = Ended(partitions)
        self._known: dict[tuple[int, str], Shard] = {}  # where a shard begins never changes

    async def roll(self, record: TableRecord) -> None:
        """Let the shards of the table be what its record and the partitions say."""
        feeds = record.feeds() or Feeds(era=record.revision)
        starts = self._starts()
        keys: set[bytes] = set()
        for first, end in layout.slot_ranges(record.table_id):
            low = bisect_right(starts, first) - 1
            keys.update(start for start in starts[low:] if start < end)
        await asyncio.gather(
            *(self._log.roll(start, record.table_id, feeds) for start in sorted(keys))
        )

    def _starts(self) -> list[bytes]:
        return self._partitions.partition_starts(TABLES_KEYSPACE, b"", ABOVE_ALL)

    def kept(self, record: TableRecord, now_ms: int) -> list[Stream]:
        """The streams of a table that can be read, by age."""
        floor = now_ms - self.retention_ms
        return [one for one in record.streams if not one.ended_ms or one.ended_ms > floor]

    async def shards(self, record: TableRecord, stream: Stream) -> dict[str, Shard]:
        """All that is kept of a stream, by name, the oldest first."""
        if not record.deleting:  # else its shards are closed, and none is to be opened
            await self.roll(record)
        named = {shard_name(shard): shard for shard in await self._shards(record, stream)}
        return dict(sorted(named.items()))

    async def _shards(self, record: TableRecord, stream: Stream) -> list[Shard]:
        for _ in range(_SPLIT_ATTEMPTS):
            # Closed ones may have stayed behind in partitions that hold nothing else of the table.
            starts = self._starts()
            try:
                held = await asyncio.gather(
                    *(
                        self._log.shards(start, end, record.table_id)
                        for start, end in zip(starts, [*starts[1:], b""], strict=True)
                    )
                )
            except WrongRange:
                await asyncio.sleep(_SPLIT_PAUSE_S)  # until the map of partitions is up to date
                continue
            return [shard for one in held for shard in one if shard.stream == stream.created_ms]
        raise WrongRange("partitions keep being split")

    async def find(self, record: TableRecord, stream: Stream, name: str) -> Shard | None:
        """The shard of that name; what it says of its end may be old."""
        shard = self._known.get((stream.created_ms, name))
        if shard is None:
            for one in await self._shards(record, stream):
                if shard_name(one) == name:
                    shard = one
            if shard is None:
                return None
            if len(self._known) >= _KNOWN_MAX:
                self._known.clear()
            self._known[stream.created_ms, name] = shard
        return shard if shard.table_id == record.table_id else None

    async def locate(self, shard: Shard, time_ms: int) -> tuple[Shard | None, int, int]:
        """As ChangeLog.locate."""
        return await self._log.locate(shard, time_ms)

    async def read(self, shard: Shard, after: int, *, limit: int, bytes_max: int) -> ChangesRead:
        """As ChangeLog.read: linearizable, so what was acknowledged is there."""
        return await self._log.read(shard, after, limit=limit, bytes_max=bytes_max)

    async def open(
        self, record: TableRecord, stream: Stream, shard: Shard, read: ChangesRead
    ) -> list[StreamRecord]:
        """What was read, with the images that the stream's view shows."""
        opened = []
        for count, (sequence, change) in enumerate(read.changes, 1):
            keys = layout.key_attributes(change.key, record.partition, record.sort)
            old = self._image(record, change.key, change.old, stream.view, "OLD_IMAGE")
            new = self._image(record, change.key, change.new, stream.view, "NEW_IMAGE")
            size = sum(item_size(one) for one in (keys, old, new) if one is not None)
            place = record.table_id + shard.start + sequence.to_bytes(8, "big")
            event_id = blake3(place).hexdigest(16)
            opened.append(StreamRecord(event_id, sequence, change, keys, old, new, size))
            if count % _RUN == 0:
                await asyncio.sleep(0)
        return opened

    def _image(
        self, record: TableRecord, key: bytes, image: bytes | None, view: str, own_view: str
    ) -> Item | None:
        if image is None or view not in (own_view, "NEW_AND_OLD_IMAGES"):
            return None
        return self._keys.open_item(record.table_id, key, image)


def parent_of(shard: Shard, shards: Iterable[Shard]) -> str | None:
    """The name of the one that a shard continues, where that is still kept: of those that it
    follows the one that began last.
    """
    followed = [other for other in shards if shard.follows(other)]
    if not followed:
        return None
    return shard_name(max(followed, key=lambda other: other.first))
