"""Works on tables that take their time: deletions, the making and unmaking of global indexes, and
time to live being turned on or off.

What is to be done stands in the table's record, so that anybody can go on with it: one node does,
the one that leads the definitions. Doing a step twice, or by two at a time, does no harm.

A new index is filled while writes go on. From the moment that its definition stands, writes that
know of it leave changes for it. First every partition of the table is told to do so for all writes,
also of those that read the definition before; only then are the items read, page by page, each page
after a mark (entry_feed.py). What is not in a page was changed later and is in the log. The halves
of a partition that is split know what it was told (division.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from msgspec.structs import replace

from trilith.errors import OutcomeUnknown, TableNotFound, Unavailable, WrongRange
from trilith.replication.state_machine import Partitions
from trilith.runtime.clock import Clock
from trilith.tables import layout
from trilith.tables.catalog import Catalog
from trilith.tables.changes import ChangeLog
from trilith.tables.commands import Page, ReadPage
from trilith.tables.definitions import ACTIVE, CREATING, DELETING, Feeds, GlobalIndex, TableRecord
from trilith.tables.entry_feed import EntryFeed
from trilith.tables.expirer import Expirer
from trilith.tables.key_ring import ItemKeys
from trilith.tables.layout import ITEM, TABLES_KEYSPACE

AT_ONCE = 8  # tables
PAGE_ITEMS = 200
PAGE_BYTES = 512 * 1024
PROGRESS_S = 5.0  # between two notes of how far an index is filled
RETRY_S = 0.5
SPLIT_PAUSE_S = 0.02  # until the map of partitions is up to date
_TURN = 32  # items that are opened before others get their turns


class TableWorks:
    """One node's share of the works. `filled`: items that were read to fill indexes."""

    def __init__(
        self, partitions: Partitions, catalog: Catalog, keys: ItemKeys, clock: Clock
    ) -> None:
        self._partitions = partitions
        self._catalog = catalog
        self._keys = keys
        self._clock = clock
        self._log = ChangeLog(partitions)
        self._feed = EntryFeed(partitions, keys, clock)
        self._expirer = Expirer(partitions, catalog, clock)
        self.filled = 0

    async def finish_all(self, is_ours: Callable[[], bool]) -> None:
        """Do all that is to be done now, while it is ours to do."""
        while is_ours():
            try:
                names = await self._catalog.at_work()
                if not names:
                    return
                names = names[:AT_ONCE]
                await asyncio.gather(*(self._finish(name, is_ours) for name in names))
            except (Unavailable, OutcomeUnknown):
                await asyncio.sleep(RETRY_S)

    async def _finish(self, name: str, is_ours: Callable[[], bool]) -> None:
        """Raises Unavailable or OutcomeUnknown: begin again."""
        try:
            record = await self._catalog.describe(name)
            if record.deleting:
                return await self._catalog.remove(record)
            if not record.ttl_settled:
                await self._expirer.settle(record)
            for index in record.global_indexes:
                if index.status == DELETING:
                    await self._remove(record, index)
                elif index.status == CREATING:
                    await _Filling(self, record, index, is_ours).run()
        except TableNotFound:
            return None  # another node was faster

    async def _remove(self, record: TableRecord, index: GlobalIndex) -> None:
        """Without its last index a table's writes are recorded no more."""
        changed = await self._catalog.remove_index(record, index)
        feeds = changed.feeds() or Feeds(era=changed.revision)
        pieces = pieces_of(self._partitions, record.table_id)
        rolls = (self._log.roll(start, record.table_id, feeds) for start, _ in pieces)
        await asyncio.gather(*rolls)


def pieces_of(partitions: Partitions, table_id: bytes) -> list[tuple[bytes, bytes]]:
    """The parts of a table by partition, [start, end), in order."""
    pieces = []
    for start, end in layout.slot_ranges(table_id):
        starts = partitions.partition_starts(TABLES_KEYSPACE, start, end)
        pieces += list(zip(starts, [*starts[1:], end], strict=True))
    return pieces


class _Filling:
    """Fills one index from where its record says."""

    def __init__(
        self,
        works: TableWorks,
        record: TableRecord,
        index: GlobalIndex,
        is_ours: Callable[[], bool],
    ) -> None:
        self._works = works
        self._record = record
        self._index = index
        self._is_ours = is_ours
        self._noted_at = works._clock.monotonic()

    def _pieces(self) -> list[tuple[bytes, bytes]]:
        return pieces_of(self._works._partitions, self._record.table_id)

    async def run(self) -> None:
        """Return when the index is ACTIVE, or is not to be filled any more."""
        position = self._index.filled
        while pieces := [
            (max(start, position), end) for start, end in self._pieces() if position < end
        ]:
            await self._tell(pieces)
            try:
                for start, end in pieces:
                    if not await self._fill(start, end):
                        return
                    position = end
            except WrongRange:
                await asyncio.sleep(SPLIT_PAUSE_S)  # the pieces are other ones now
        await self._change(lambda index: replace(index, status=ACTIVE, filled=b""))

    async def _tell(self, pieces: list[tuple[bytes, bytes]]) -> None:
        """From now on, no write goes by unrecorded."""
        feeds = self._record.feeds()
        assert feeds is not None, "a table with an index feeds it"
        log, table_id = self._works._log, self._record.table_id
        await asyncio.gather(*(log.roll(start, table_id, feeds) for start, _ in pieces))

    async def _fill(self, start: bytes, end: bytes) -> bool:
        """False: the index is not to be filled any more, or not by us."""
        works = self._works
        while start < end:
            at = await works._feed.mark(start)
            batch = works._feed.batch()
            query = ReadPage(start, end, ITEM, False, PAGE_ITEMS, PAGE_BYTES)
            page = cast(
                Page,
                await works._partitions.query(
                    TABLES_KEYSPACE, start, query, touched=(start, end), until=end
                ),
            )
            for count, (key, raw) in enumerate(page.records, 1):
                item = works._keys.open_item(self._record.table_id, key, raw)
                batch.add_item((self._index,), self._record, key, item, at)
                if count % _TURN == 0:
                    await asyncio.sleep(0)
            if not await works._feed.send(batch):
                continue  # it took too long
            works.filled += len(page.records)
            start = end if page.is_whole else page.last + b"\x00"
            if not await self._goes_on(start):
                return False
        return True

    async def _goes_on(self, filled: bytes) -> bool:
        """Now and then: note how far it is, and see whether the index is still wanted."""
        now = self._works._clock.monotonic()
        if not self._is_ours():
            return False
        if now - self._noted_at < PROGRESS_S:
            return True
        self._noted_at = now
        return await self._change(lambda index: replace(index, filled=filled))

    async def _change(self, change: Callable[[GlobalIndex], GlobalIndex]) -> bool:
        """Change the index's definition; False when it is gone or being deleted."""
        is_wanted = False

        def changed(record: TableRecord) -> TableRecord:
            nonlocal is_wanted
            is_wanted = not record.deleting and any(
                one.index_id == self._index.index_id and one.status == CREATING
                for one in record.global_indexes
            )
            return replace(
                record,
                global_indexes=tuple(
                    change(one)
                    if one.index_id == self._index.index_id and one.status == CREATING
                    else one
                    for one in record.global_indexes
                ),
            )

        await self._works._catalog.change(self._record.name, changed)
        return is_wanted
