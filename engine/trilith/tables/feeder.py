"""Feeds the global indexes of the tables that one partition holds, from its change logs.

One runs where the partition is led, and any number may at a time: an index takes each change once,
and never goes back (rules/global_indexes.py). Up to where all is fed is kept beside the log, a
little late; a feeder that starts goes on from there.

A change that waited long, because a zone was away, may come after the traces of later ones are
swept. Instead of what it made of the item, what the item is now is then put, by a mark.

Where indexes fall behind by more than a bound, writes of the table are refused until they have
caught up by half: the log that waits for them does not grow for ever.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from typing import NamedTuple, cast

from trilith.errors import OutcomeUnknown, TableNotFound, TrilithError, Unavailable
from trilith.replication.state_machine import Partitions
from trilith.runtime.clock import Clock
from trilith.tables.catalog import Catalog
from trilith.tables.changes import (
    CHANGE_RECORD,
    ChangeActivity,
    ChangeLog,
    Position,
    Shard,
)
from trilith.tables.commands import Changes, Found, GetItem
from trilith.tables.definitions import TableRecord
from trilith.tables.entry_commands import GetFed, Mark, NoteFed, ReadTail
from trilith.tables.entry_feed import EntryBatch, EntryFeed, fed_indexes
from trilith.tables.key_ring import ItemKeys
from trilith.tables.layout import TABLES_KEYSPACE

READ_CHANGES = 256
READ_BYTES = 512 * 1024
LATE_MS = 5 * 60 * 1000
NOTE_CHANGES = 512  # this many more are fed before it is noted how far
NOTE_S = 1.0  # or this long after the first
RETRY_S_MIN, RETRY_S_MAX = 0.05, 1.0
_TURN = 32  # changes that are opened before others get their turns

Place = tuple[bytes, bytes]  # shard start, table id


class Activity(NamedTuple):
    """What a feeder is told: places with changes, and how often shards were opened or closed.

    `is_settled`: all that is told is committed; else it may be so only when it is told again.
    """

    changed: Collection[Place]
    rolls: int
    is_settled: bool


class _Tail:
    """The change log at one shard start and how far indexes have it. `noted` is durable."""

    __slots__ = (
        "behind",
        "is_streamed",
        "noted",
        "oldest_ms",
        "reached",
        "shard",
        "unfed",
        "waiting",
    )

    def __init__(self, shard: Shard, reached: int) -> None:
        self.shard = shard
        self.is_streamed = bool(shard.stream)
        self.reached = self.noted = reached
        self.waiting = 0  # changes that are fed and not noted
        self.behind = True  # there may be more to read
        self.unfed = 0  # changes that are read and not fed
        self.oldest_ms = 0  # when the first change was made that is not fed; 0: none is known


class Feeder:
    """Of the partition that begins at `start`."""

    def __init__(
        self,
        start: bytes,
        partitions: Partitions,
        catalog: Catalog,
        keys: ItemKeys,
        clock: Clock,
        activity: ChangeActivity,
        lag_s_max: float,
    ) -> None:
        """`activity` is told which places lag by more than `lag_s_max`."""
        self._start = start
        self._behind = activity.behind
        self._lag_ms_max = int(lag_s_max * 1000)
        self._partitions = partitions
        self._catalog = catalog
        self._keys = keys
        self._clock = clock
        self._log = ChangeLog(partitions)
        self._feed = EntryFeed(partitions, keys, clock)
        self._tails: dict[Place, _Tail] = {}
        self.listed = -1  # ChangeActivity.rolls of all shards that are known here
        self._woken = asyncio.Event()
        self._changed: set[Place] = set()  # not looked at yet
        self._rolls, self._is_settled = 0, False
        self._note_at: float | None = None

    @property
    def fed(self) -> int:
        """Entries sent."""
        return self._feed.fed

    @property
    def unfed(self) -> int:
        """Changes that are read and not fed."""
        return sum(tail.unfed for tail in self._tails.values())

    def lag_s(self) -> float:
        """The age of the oldest change that is not fed, as far as is known."""
        oldest = [tail.oldest_ms for tail in self._tails.values() if tail.oldest_ms]
        return max(0, self._clock.wall_ms() - min(oldest)) / 1000 if oldest else 0.0

    def wake(self, activity: Activity) -> None:
        """Something was committed."""
        self._changed.update(activity.changed)
        self._rolls, self._is_settled = activity.rolls, activity.is_settled
        self._woken.set()

    async def run(self, is_current: Callable[[], bool], log: Callable[..., None]) -> None:
        """Feed while `is_current`; it is asked when woken."""
        try:
            await self._run(is_current, log)
        finally:
            for place in self._tails:
                self._behind.pop(place, None)

    async def _run(self, is_current: Callable[[], bool], log: Callable[..., None]) -> None:
        retry_s = RETRY_S_MIN
        while is_current():
            self._woken.clear()
            try:
                await self.catch_up()
                retry_s = RETRY_S_MIN
            except TrilithError as error:
                if not isinstance(error, Unavailable | OutcomeUnknown):
                    log("index_feed_failed", error=str(error), code=error.code)
                await asyncio.sleep(retry_s)
                retry_s = min(retry_s * 2, RETRY_S_MAX)
                continue
            await self._wait()

    async def _wait(self) -> None:
        if self._note_at is None:
            await self._woken.wait()
            return
        left_s = max(0.0, self._note_at - self._clock.monotonic())
        try:
            async with asyncio.timeout(left_s):
                await self._woken.wait()
        except TimeoutError:
            pass

    async def catch_up(self) -> None:
        """Feed all that is there. Raises Unavailable or OutcomeUnknown: go on with another call.

        A table that cannot be fed keeps no other waiting: its error is raised at the end.
        """
        await self._list_shards()
        changed, self._changed = self._changed, set()
        for place in changed & self._tails.keys():
            self._tails[place].behind = True
        failed: dict[Place, TrilithError] = {}
        while behind := [
            (place, tail)
            for place, tail in self._tails.items()
            if tail.behind and place not in failed
        ]:
            for place, tail in behind:
                try:
                    await self._feed_page(tail)
                except TrilithError as error:
                    tail.behind = True
                    failed[place] = error
                self._judge(place, tail)
        for failure in failed.values():
            raise failure
        if self._note_at is not None and self._clock.monotonic() >= self._note_at:
            await self.note()

    def _judge(self, place: Place, tail: _Tail) -> None:
        """Whether the table may be written to: not from when indexes lag by too much until they lag
        by half of that.
        """
        lag_ms = self._clock.wall_ms() - tail.oldest_ms if tail.oldest_ms else 0
        if lag_ms > self._lag_ms_max:
            self._behind[place] = tail.shard.end
        elif lag_ms * 2 <= self._lag_ms_max:
            self._behind.pop(place, None)

    async def _list_shards(self) -> None:
        rolls, is_settled = self._rolls, self._is_settled
        if rolls == self.listed:
            return
        places: set[Place] = set()
        for shard in await self._log.shards(self._start):
            place = (shard.start, shard.table_id)
            places.add(place)
            tail = self._tails.get(place)
            if tail is None:
                reached = max(shard.trimmed, await self._noted(place))
                self._tails[place] = _Tail(shard, reached)
            else:
                tail.is_streamed |= bool(shard.stream)
                tail.behind = True
        for place in self._tails.keys() - places:
            del self._tails[place]
            self._behind.pop(place, None)
        if is_settled:
            self.listed = rolls

    async def _noted(self, place: Place) -> int:
        mark: Mark = await self._partitions.query(TABLES_KEYSPACE, place[0], GetFed(*place))
        return mark.sequence

    async def _feed_page(self, tail: _Tail) -> None:
        start, table_id = tail.shard.start, tail.shard.table_id
        batch = self._feed.batch()
        page = await self._read(start, table_id, tail.reached)
        tail.behind = not page.is_whole
        if not page.records:
            tail.oldest_ms = 0
            return
        changes = [Position(at, CHANGE_RECORD.decode(raw)) for at, raw in page.records]
        tail.oldest_ms, tail.unfed = changes[0].change.time_ms, len(changes)
        try:
            # Read after the changes: it names every index that they were recorded for.
            record = await self._catalog.by_id(table_id)
        except TableNotFound:
            record = None
        is_fed = True
        if record is not None and not record.deleting:
            is_fed = await self._feed_changes(record, changes, batch)
        if not is_fed:
            tail.behind = True
            return
        tail.reached = changes[-1].sequence
        tail.waiting += len(changes)
        tail.unfed = 0
        if page.is_whole:
            tail.oldest_ms = 0
        if self._note_at is None:
            self._note_at = self._clock.monotonic() + NOTE_S
        if tail.waiting >= NOTE_CHANGES:
            await self._note_tail(tail)

    async def _read(self, start: bytes, table_id: bytes, after: int) -> Changes:
        query = ReadTail(start, table_id, after, READ_CHANGES, READ_BYTES)
        page = self._partitions.try_query(TABLES_KEYSPACE, start, query)
        if page is None:
            page = await self._partitions.query(TABLES_KEYSPACE, start, query, touched=(start, b""))
        return cast(Changes, page)

    async def _feed_changes(
        self, record: TableRecord, changes: list[Position], batch: EntryBatch
    ) -> bool:
        """False: they are to be read again."""
        late: dict[bytes, None] = {}
        for count, (sequence, change) in enumerate(changes, 1):
            old, new = (
                None if image is None else self._keys.open_item(record.table_id, change.key, image)
                for image in (change.old, change.new)
            )
            if batch.read_ms - change.time_ms > LATE_MS:
                late[change.key] = None
                new = None
            batch.add_change(record, change, old, new, sequence)
            if count % _TURN == 0:
                await asyncio.sleep(0)
        for key in late:
            await self._add_current(record, key, batch)
        return await self._feed.send(batch)

    async def _add_current(self, record: TableRecord, key: bytes, batch: EntryBatch) -> None:
        """What an item is now, with a mark."""
        at = await self._feed.mark(key)
        found = cast(Found, await self._partitions.query(TABLES_KEYSPACE, key, GetItem(key)))
        if found.record is not None:
            item = self._keys.open_item(record.table_id, key, found.record)
            batch.add_item(fed_indexes(record), record, key, item, at)

    async def note(self) -> None:
        """Keep how far everything is fed. Raises Unavailable or OutcomeUnknown."""
        self._note_at = None
        for tail in self._tails.values():
            if tail.reached > tail.noted:
                await self._note_tail(tail)

    async def _note_tail(self, tail: _Tail) -> None:
        """What only indexes needed is forgotten; what a stream keeps is passed by."""
        start, table_id, reached = tail.shard.start, tail.shard.table_id, tail.reached
        if tail.is_streamed:
            await self._partitions.execute(
                TABLES_KEYSPACE, start, NoteFed(start, table_id, reached)
            )
        await self._log.trim(start, table_id, reached)
        tail.noted, tail.waiting = reached, 0
