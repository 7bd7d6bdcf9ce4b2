"""The table service: items and pages over partitions. Table definitions: catalog.py.

Keys and values arrive checked and canonical (values.py); key attributes have their declared types.
A page is read by as many queries as it touches partitions and slots; it is no snapshot.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import NamedTuple

from msgspec.structs import replace

from trilith.errors import (
    DeadlineExceeded,
    InvalidRequest,
    OutcomeUnknown,
    TransactionConflict,
    TrilithError,
    Unavailable,
    WrongRange,
)
from trilith.replication.parts import part_end
from trilith.replication.proposal import scoped_token
from trilith.replication.state_machine import Partitions
from trilith.runtime.clock import SystemClock
from trilith.tables import layout
from trilith.tables.catalog import Catalog, Table
from trilith.tables.commands import (
    LOCKS_MAX,
    PAGE_BYTES_MAX,
    ConditionFailed,
    DeleteItem,
    Found,
    GetItem,
    Page,
    PutItem,
    ReadPage,
    Terms,
    UpdateItem,
    Written,
)
from trilith.tables.expressions.conditions import Condition
from trilith.tables.expressions.key_conditions import KeyCondition
from trilith.tables.expressions.updates import Update
from trilith.tables.item_codec import encode_item
from trilith.tables.key_ring import ItemKeys
from trilith.tables.layout import ITEM, TABLES_KEYSPACE
from trilith.tables.records import size_in
from trilith.tables.sources import Index, Source, item_key
from trilith.tables.values import Item
from trilith.transactions.commands import LockHead, Verdict
from trilith.transactions.recovery import Recovery

READ_BYTES_MAX = PAGE_BYTES_MAX
RUN_RECORDS_MAX = 256  # read and opened at once: some milliseconds of the event loop


class Read(NamedTuple):
    """An item, or None, and its size in bytes."""

    item: Item | None
    size: int


NOTHING = Read(None, 0)


class CallerToken(NamedTuple):
    """16 bytes, time-ordered, by which a caller names a request that it may send again.

    `is_new`: it says that it has not sent it before, so that nothing is looked up (unless this one
    has to wait: the next may overtake it).
    """

    value: bytes
    is_new: bool = False


class Wanted(NamedTuple):
    """The condition of a write, and which images its answer shall hold."""

    condition: Condition | None = None
    old: bool = False
    new: bool = False
    failed: bool = False


class Change(NamedTuple):
    """What a write did. `refused`: its condition did not hold, and nothing was changed.

    `index_units`: write units by the name of each index that was written, or will be.
    """

    refused: bool
    old: Item | None
    new: Item | None
    old_size: int
    new_size: int
    index_units: dict[str, int]


class ItemsPage(NamedTuple):
    """`size` of everything read; `last`: the key to continue behind, None at the end."""

    items: list[Item]
    size: int
    last: Item | None


class TableService:
    """One gateway's way to items."""

    def __init__(
        self,
        partitions: Partitions,
        keys: ItemKeys,
        catalog: Catalog,
        recovery: Recovery | None = None,
    ) -> None:
        """`recovery`: what finds a way around the locks of transactions."""
        self._partitions = partitions
        self._keys = keys
        self._recovery = recovery or Recovery(partitions, SystemClock())
        self.catalog = catalog

    def slot_of(self, table: Table, key: Item) -> int:
        """Which of the equal parts of the table's hash space a partition key is in (layout.py)."""
        return layout.stem_of(table.table_id, key[table.partition_name])[0]

    # --- single items ----------------------------------------------------------------------------

    def try_get_item(self, table: Table, key: Item) -> Read | None:
        """A consistent read answered here and now, or None when it needs a wait or a hop."""
        logical = item_key(table, key)
        found = self._partitions.try_query(TABLES_KEYSPACE, logical, GetItem(logical))
        if found is None or found.lock is not None:
            return None
        return self._read(table, logical, found)

    async def get_item(self, table: Table, key: Item, *, consistent: bool) -> Read:
        logical = item_key(table, key)
        found: Found = await self._partitions.query(
            TABLES_KEYSPACE, logical, GetItem(logical), consistent=consistent
        )
        if found.lock is not None:
            found = await self._found_behind_lock(logical, found, consistent=consistent)
        return self._read(table, logical, found)

    async def _found_behind_lock(self, logical: bytes, found: Found, *, consistent: bool) -> Found:
        def ask() -> Awaitable[Found]:
            return self._partitions.query(TABLES_KEYSPACE, logical, GetItem(logical))

        try:
            return await self._recovery.behind_locks(
                TABLES_KEYSPACE,
                found,
                lambda answer: () if answer.lock is None else (answer.lock,),
                ask,
                lambda _first, _lock: True,
            )
        except (Unavailable, OutcomeUnknown) as error:
            if consistent:
                raise _not_read(error) from None
            return found

    def _read(self, table: Table, logical: bytes, found: Found) -> Read:
        record = found.record
        if record is None:
            return NOTHING
        return Read(self._keys.open_item(table.table_id, logical, record), size_in(record))

    async def put_item(
        self, table: Table, item: Item, size: int, wanted: Wanted, token: CallerToken | None = None
    ) -> Change:
        """`size`: of the item, as AWS counts it. `token`: the caller's, whose retry is applied
        once.
        """
        logical = item_key(table, item)
        command = PutItem(logical, terms_of(table, wanted), encode_item(item), size)
        return await self._write(table, logical, command, token)

    async def update_item(
        self,
        table: Table,
        key: Item,
        update: Update,
        wanted: Wanted,
        token: CallerToken | None = None,
    ) -> Change:
        logical = item_key(table, key)
        command = UpdateItem(logical, terms_of(table, wanted), encode_item(key), update)
        return await self._write(table, logical, command, token)

    async def delete_item(
        self, table: Table, key: Item, wanted: Wanted, token: CallerToken | None = None
    ) -> Change:
        logical = item_key(table, key)
        command = DeleteItem(logical, terms_of(table, wanted))
        return await self._write(table, logical, command, token)

    async def _write(
        self,
        table: Table,
        logical: bytes,
        command: PutItem | UpdateItem | DeleteItem,
        token: CallerToken | None,
    ) -> Change:
        scoped, repeated = None, False
        if token is not None:
            scoped = scoped_token(token.value, type(command).__name__, logical)
            repeated = not token.is_new

        def write(waiter: bytes) -> Awaitable[Written | ConditionFailed]:
            sent = replace(command, waiter=waiter) if waiter else command
            return self._partitions.execute(
                TABLES_KEYSPACE, logical, sent, token=scoped, repeated=repeated
            )

        try:
            done = await write(b"")
        except TransactionConflict:
            repeated = token is not None  # while this one waits, its caller may send the next
            done = await self._recovery.around_locks(TABLES_KEYSPACE, write)
        old = None
        if done.old is not None:
            old = self._keys.open_item(table.table_id, logical, done.old)
        if isinstance(done, ConditionFailed):
            return Change(True, old, None, done.size, 0, {})
        written: Written = done
        new = None
        if written.new is not None:
            new = self._keys.open_item(table.table_id, logical, written.new)
        units = named_units(table, written)
        return Change(False, old, new, written.old_size, written.new_size, units)

    # --- pages -----------------------------------------------------------------------------------

    async def query(
        self,
        table: Table,
        condition: KeyCondition,
        *,
        index: Index | None,
        after: Item | None,
        reverse: bool,
        limit: int,
        consistent: bool,
        fetch: bool = False,
    ) -> ItemsPage:
        """Items of one partition key in the order of their sort keys.

        `fetch`: of an index's entries, the whole items.
        """
        source = Source(table, index)
        start, end = source.key_range(condition)
        if after is not None:
            position = source.position(after)
            if reverse:
                end = min(end, position)
            else:
                start = max(start, position + b"\x00")
        walk = _Walk(self, source, limit, consistent=consistent, fetch=fetch)
        if start < end:
            await walk.read(start, end, reverse=reverse)
        return walk.page()

    async def scan(
        self,
        table: Table,
        *,
        index: Index | None,
        after: Item | None,
        segment: int,
        segments: int,
        limit: int,
        consistent: bool,
        fetch: bool = False,
    ) -> ItemsPage:
        """Items of one segment of the table in the order of their tokens."""
        source = Source(table, index)
        position = None if after is None else source.position(after) + b"\x00"
        ranges = source.segment_ranges(segment, segments)
        if position is not None and not any(start < position <= end for start, end in ranges):
            raise InvalidRequest(
                "The provided starting key is invalid: Invalid ExclusiveStartKey. Please use "
                f"ExclusiveStartKey with correct Segment. TotalSegments: {segments} "
                f"Segment: {segment}"
            )
        walk = _Walk(self, source, limit, consistent=consistent, fetch=fetch)
        for start, end in ranges:
            first = start if position is None else max(start, position)
            while first < end and not walk.is_full:
                # A slot may lie in several partitions: each answers for its own part.
                last = part_end(self._partitions, TABLES_KEYSPACE, first, end)
                first = await walk.read(first, last, reverse=False)
            if walk.is_full:
                break
        return walk.page()

    async def read_page(
        self, start: bytes, query: ReadPage, end: bytes, *, consistent: bool
    ) -> Page:
        """Raises WrongRange when no one partition holds [start, end) any more."""
        page: Page = await self._partitions.query(
            TABLES_KEYSPACE, start, query, consistent=consistent, touched=(start, end), until=end
        )
        if not page.locks:
            return page

        def ask() -> Awaitable[Page]:
            return self._partitions.query(
                TABLES_KEYSPACE, start, query, touched=(start, end), until=end
            )

        def was_read(first: Page, lock: LockHead) -> bool:
            if len(first.locks) >= LOCKS_MAX:
                return False
            if first.is_whole or query.family != ITEM:
                return True
            return lock.key >= first.last if query.reverse else lock.key <= first.last

        try:
            return await self._recovery.behind_locks(
                TABLES_KEYSPACE, page, lambda answer: answer.locks, ask, was_read
            )
        except (Unavailable, OutcomeUnknown) as error:
            if consistent:
                raise _not_read(error) from None
            return page

    def open_records(self, owner_id: bytes, page: Page) -> list[Item]:
        """`owner_id`: of the table, or of the global index, whose records they are."""
        open_item = self._keys.open_item
        return [open_item(owner_id, key, record) for key, record in page.records]


class _Walk:
    """Collects one page over several ranges, within the limit and 1 MB."""

    def __init__(
        self,
        service: TableService,
        source: Source,
        limit: int,
        *,
        consistent: bool,
        fetch: bool,
    ) -> None:
        self._service = service
        self._source = source
        self._left = limit
        self._consistent = consistent
        self._fetch = fetch
        self._items: list[Item] = []
        self._size = 0
        self.is_full = False

    async def read(self, start: bytes, end: bytes, *, reverse: bool) -> bytes:
        """Add what [start, end) holds, a run of records at a time: others get their turns.

        Returns how far it came: less than `end` when the partition was split meanwhile.
        """
        while True:
            run = min(self._left, RUN_RECORDS_MAX)
            try:
                page = await self._read_run(start, end, run, reverse=reverse)
            except WrongRange:
                return start
            if self.is_full or page.is_whole:
                return end
            if len(page.records) < run:
                self.is_full = True  # 1 MB
                return end
            if reverse:
                end = page.last
            else:
                start = page.last + b"\x00"
            await asyncio.sleep(0)

    async def _read_run(self, start: bytes, end: bytes, limit: int, *, reverse: bool) -> Page:
        bytes_left = READ_BYTES_MAX - self._size
        query = ReadPage(start, end, self._source.family, reverse, limit, bytes_left, self._fetch)
        page = await self._service.read_page(start, query, end, consistent=self._consistent)
        if self._items and page.records and self._size + page.size > READ_BYTES_MAX:
            self.is_full = True  # one large record that fits no page but its own
            return page
        self._items += self._service.open_records(self._source.owner_id, page)
        self._size += page.size
        self._left -= len(page.records)
        if self._left <= 0 or self._size >= READ_BYTES_MAX:
            self.is_full = True
        return page

    def page(self) -> ItemsPage:
        last = None
        if self.is_full and self._items:
            item = self._items[-1]
            last = {name: item[name] for name in self._source.names}
        return ItemsPage(self._items, self._size, last)


def _not_read(error: TrilithError) -> TrilithError:
    """A read has no outcome that could be unknown."""
    if isinstance(error, OutcomeUnknown):
        return DeadlineExceeded(f"a transaction in the way could not be settled: {error}")
    return error


def named_units(table: Table, written: Written | Verdict) -> dict[str, int]:
    """Write units by the name of each index that was written."""
    units = {}
    if written.index_units:
        names = {index.number: index.name for index in table.record.indexes}
        units = {names[number]: spent for number, spent in written.index_units.items()}
    for place, spent in written.global_units.items():
        units[table.record.global_indexes[place].name] = spent
    return units


def terms_of(table: Table, wanted: Wanted) -> Terms:
    plain = table.plain_terms
    if wanted == _PLAIN:
        return plain
    return Terms(
        table.table_id,
        wanted.condition,
        plain.indexes,
        plain.key_names,
        wanted.old,
        wanted.new,
        wanted.failed,
        plain.feeds,
        plain.global_indexes,
    )


_PLAIN = Wanted()
