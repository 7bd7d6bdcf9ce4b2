"""The work of time to live: deleting what is due, going through tables that turn it on or off.

Every EXPIRY entry (rules/expiry.py) that is due is looked up by the leader of its partition. The
item is deleted by a command that checks it once more, as a write like any other, so that it leaves
the indexes too; the stream's record of it names the service.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import cast

from msgspec.structs import replace

from trilith.errors import (
    IndexThroughputExceeded,
    OutcomeUnknown,
    TableNotFound,
    TransactionConflict,
    Unavailable,
    WrongRange,
)
from trilith.replication.state_machine import Partitions
from trilith.runtime.clock import Clock
from trilith.tables import layout
from trilith.tables.catalog import Catalog, Table
from trilith.tables.changes import ChangeLog
from trilith.tables.definitions import Feeds, TableRecord
from trilith.tables.expiry import FIVE_YEARS_S
from trilith.tables.expiry_commands import (
    ClearExpiry,
    DropExpiry,
    DueItems,
    Expired,
    ExpireItem,
    Filled,
    FillExpiry,
    ListDue,
)
from trilith.tables.layout import ABOVE_ALL, TABLES_KEYSPACE

RUN_ITEMS = 64  # looked at or deleted at once
FILL_ITEMS = 200  # some milliseconds of the leader's event loop
FILL_PAUSE_S = 0.005
SPLIT_PAUSE_S = 0.05


class Expirer:
    """One node's hand in time to live. `deleted`: items that it deleted."""

    def __init__(self, partitions: Partitions, catalog: Catalog, clock: Clock) -> None:
        self._partitions = partitions
        self._catalog = catalog
        self._clock = clock
        self._log = ChangeLog(partitions)
        self.deleted = 0

    async def expire(self, start: bytes, pace: Callable[[int], Awaitable[None]]) -> None:
        """Delete what is due in the partition that begins at `start`; `pace` is told how many are
        next. Raises Unavailable and OutcomeUnknown: what is left is found again.
        """
        while True:
            now_s = self._clock.wall_ms() // 1000
            due = cast(
                DueItems,
                await self._partitions.query(
                    TABLES_KEYSPACE,
                    start,
                    ListDue(start, now_s, RUN_ITEMS),
                    touched=(start, ABOVE_ALL),
                ),
            )
            if not due.entries:
                return
            await pace(len(due.entries))
            tables: dict[bytes, Table | None] = {}
            over = await asyncio.gather(
                *(self._expire(key, size, now_s, tables) for key, size in due.entries)
            )
            done = [key for (key, _), is_over in zip(due.entries, over, strict=True) if is_over]
            if not done:
                return  # none can be written now: until the next look
            await self._partitions.execute(TABLES_KEYSPACE, start, DropExpiry(start, done))

    async def _expire(
        self, entry: bytes, start_size: int, now_s: int, tables: dict[bytes, Table | None]
    ) -> bool:
        """Whether the entry has done its service; not so while the item cannot be written."""
        table_id, time_s, key = layout.parse_expiry(entry, start_size)
        if table_id not in tables:
            tables[table_id] = await self._table(table_id)
        table = tables[table_id]
        if table is None or time_s < now_s - FIVE_YEARS_S:
            return True
        command = ExpireItem(key, table.plain_terms, time_s)
        try:
            done: Expired = await self._partitions.execute(TABLES_KEYSPACE, key, command)
        except (TransactionConflict, IndexThroughputExceeded):
            return False
        self.deleted += done.is_deleted
        return True

    async def _table(self, table_id: bytes) -> Table | None:
        """None: items of it do not expire."""
        try:
            record = await self._catalog.by_id(table_id)
        except TableNotFound:
            return None
        return Table(record) if record.ttl_attribute and not record.deleting else None

    # --- on and off ------------------------------------------------------------------------------

    async def settle(self, record: TableRecord) -> None:
        """Give all items of a table their entries, or take those away, as its record says.

        Harmless when done twice. Writes by gateways that read an older record are made to follow
        the newer one before the items are looked at. Raises Unavailable and OutcomeUnknown.
        """
        feeds = record.feeds() or Feeds(era=record.revision)
        done: set[tuple[bytes, bytes]] = set()
        while pieces := [piece for piece in self._pieces(record) if piece not in done]:
            for start, _ in pieces:
                await self._log.roll(start, record.table_id, feeds)
            for start, end in pieces:
                try:
                    if record.ttl_attribute:
                        await self._fill(record, start, end)
                    done.add((start, end))
                except WrongRange:  # it was split: the map tells it soon
                    await asyncio.sleep(SPLIT_PAUSE_S)
        if not record.ttl_attribute:
            for start in self._partitions.partition_starts(TABLES_KEYSPACE, b"", ABOVE_ALL):
                command = ClearExpiry(start, record.table_id)
                await self._partitions.execute(TABLES_KEYSPACE, start, command)

        def settled(now: TableRecord) -> TableRecord:
            is_same = now.ttl_changed_ms == record.ttl_changed_ms
            return replace(now, ttl_settled=now.ttl_settled or is_same)

        await self._catalog.change(record.name, settled)

    async def try_settle(self, record: TableRecord, within_s: float) -> None:
        """A small table is settled at once; a larger one by the works on tables (works.py)."""
        try:
            async with asyncio.timeout(within_s):
                await self.settle(record)
        except (TimeoutError, Unavailable, OutcomeUnknown, TableNotFound):
            return

    def _pieces(self, record: TableRecord) -> list[tuple[bytes, bytes]]:
        """The parts of the table by partition, [start, end), in order."""
        pieces = []
        for start, end in layout.slot_ranges(record.table_id):
            starts = self._partitions.partition_starts(TABLES_KEYSPACE, start, end)
            pieces += list(zip(starts, [*starts[1:], end], strict=True))
        return pieces

    async def _fill(self, record: TableRecord, start: bytes, end: bytes) -> None:
        at = start
        while at:
            command = FillExpiry(at, end, record.table_id, record.ttl_attribute, FILL_ITEMS)
            filled: Filled = await self._partitions.execute(TABLES_KEYSPACE, at, command, until=end)
            at = filled.next
            if at:
                await asyncio.sleep(FILL_PAUSE_S)
