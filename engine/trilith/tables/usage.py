"""How much tables hold: ItemCount, TableSizeBytes, and the size of one item collection.

Counted when somebody asks, from the records themselves, so there is no counter that could be wrong
and a write pays nothing. A small table is counted at once. Of a larger one the last full count is
given, which is taken anew in the background, at a bounded pace, when it is older than REFRESH_S
(AWS refreshes its own about every six hours); until the first is done, what is counted so far.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple, cast

from trilith.errors import OutcomeUnknown, Unavailable
from trilith.replication.parts import query_part
from trilith.replication.state_machine import Partitions
from trilith.runtime.clock import Clock
from trilith.tables import layout
from trilith.tables.commands import Counted, CountRecords
from trilith.tables.definitions import TableRecord
from trilith.tables.layout import GLOBAL, INDEX, ITEM, TABLES_KEYSPACE

AT_ONCE_RECORDS_MAX = 10_000  # some tens of milliseconds
RUN_RECORDS = 1_000  # in one query: a millisecond of the event loop
PAUSE_S = 0.02  # between the queries of a background count
REFRESH_S = 6 * 3600.0
TABLES_KNOWN_MAX = 1000
_RETRY_S = 1.0


class Size(NamedTuple):
    """Records and their bytes, as AWS counts bytes."""

    records: int
    size: int


NOTHING = Size(0, 0)


class Usage(NamedTuple):
    """`items`: of the table; `indexes`: of its local indexes, by number; `global_indexes`: of the
    global ones, by id.
    """

    items: Size
    indexes: dict[int, Size]
    global_indexes: dict[bytes, Size]


class _Count:
    """One walk over a table; `usage` grows while it runs."""

    def __init__(self, partitions: Partitions, record: TableRecord) -> None:
        self._partitions = partitions
        self._table_id = record.table_id
        families = [(self._table_id, ITEM)]
        families += [(self._table_id, INDEX + index.number) for index in record.indexes]
        families += [(index.index_id, GLOBAL) for index in record.global_indexes]
        self._sizes = dict.fromkeys(families, NOTHING)
        self.records = 0

    async def run(self, *, records_max: int, pause_s: float) -> bool:
        """False: there are more than `records_max` records. Raises Unavailable."""
        for source in self._sizes:
            for start, end in layout.slot_ranges(source[0]):
                if not await self._range(source, start, end, records_max, pause_s):
                    return False
        return True

    async def _range(
        self,
        source: tuple[bytes, int],
        start: bytes,
        end: bytes,
        records_max: int,
        pause_s: float,
    ) -> bool:
        first = start
        while first < end:
            query = CountRecords(first, end, source[1], RUN_RECORDS)
            answer, last = await query_part(self._partitions, TABLES_KEYSPACE, first, end, query)
            found = cast(Counted, answer)
            known = self._sizes[source]
            self._sizes[source] = Size(known.records + found.count, known.size + found.size)
            self.records += found.count
            first = last if found.is_whole else found.last + b"\x00"
            if self.records > records_max:
                return False
            if pause_s and found.count:
                await asyncio.sleep(pause_s)
        return True

    def usage(self) -> Usage:
        items, local, fed = NOTHING, {}, {}
        for (owner_id, family), size in self._sizes.items():
            if family == ITEM:
                items = size
            elif family == GLOBAL:
                fed[owner_id] = size
            else:
                local[family - INDEX] = size
        return Usage(items, local, fed)


async def count_run(partitions: Partitions, family: int, start: bytes, end: bytes) -> Counted:
    """The first records of a range that lies in one partition."""
    query = CountRecords(start, end, family, RUN_RECORDS)
    found: Counted = await partitions.query(TABLES_KEYSPACE, start, query, touched=(start, end))
    return found


class TableUsage:
    """One gateway's knowledge of table sizes. `spawn` runs the background counts."""

    def __init__(
        self,
        partitions: Partitions,
        clock: Clock,
        spawn: Callable[[Coroutine[Any, Any, None]], None],
    ) -> None:
        self._partitions = partitions
        self._clock = clock
        self._spawn = spawn
        self._known: dict[bytes, tuple[float, Usage]] = {}  # by table id: when, what
        self._running: dict[bytes, _Count] = {}

    async def of(self, record: TableRecord) -> Usage:
        """What a table holds. Raises Unavailable."""
        table_id = record.table_id
        known = self._known.get(table_id)
        now_s = self._clock.monotonic()
        if known is not None and known[1].items.records > AT_ONCE_RECORDS_MAX:
            if now_s - known[0] > REFRESH_S:
                self._count_soon(record)
            return known[1]
        running = self._running.get(table_id)
        if running is not None:
            return running.usage()
        count = _Count(self._partitions, record)
        if not await count.run(records_max=AT_ONCE_RECORDS_MAX, pause_s=0.0):
            self._count_soon(record)
        return count.usage()

    def _count_soon(self, record: TableRecord) -> None:
        if record.table_id not in self._running:
            self._running[record.table_id] = _Count(self._partitions, record)
            self._spawn(self._count_all(record))

    async def _count_all(self, record: TableRecord) -> None:
        table_id = record.table_id
        try:
            while True:
                count = self._running[table_id] = _Count(self._partitions, record)
                try:
                    await count.run(records_max=1 << 62, pause_s=PAUSE_S)
                except (Unavailable, OutcomeUnknown):
                    await asyncio.sleep(_RETRY_S)
                    continue
                break
            while len(self._known) >= TABLES_KNOWN_MAX:
                self._known.pop(next(iter(self._known)))
            self._known[table_id] = (self._clock.monotonic(), count.usage())
        finally:
            del self._running[table_id]

    async def collection_size(self, record: TableRecord, stem: bytes, end: bytes) -> int:
        """Bytes of all items of one partition key and of their local index entries."""
        size = 0
        for family in (ITEM, *(INDEX + index.number for index in record.indexes)):
            first, is_whole = stem, False
            while not is_whole:
                found = await count_run(self._partitions, family, first, end)
                size += found.size
                first, is_whole = found.last + b"\x00", found.is_whole
        return size
