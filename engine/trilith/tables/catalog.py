"""Table definitions as a gateway sees them: read anew for every request, decoded once.

A definition is never cached past its record: a table that another node deleted a moment ago is
TableNotFound here. The record's bytes are read locally (a linearizable query) and compared with
those of the decoded one at hand.

A deletion marks the record, removes the items partition by partition, then the record. Every step
is idempotent; `resume_deletions` goes on with what a node that died left behind. What a stream of
the table holds stays for a day (ended.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, cast

import msgspec

from trilith.errors import ConditionalConflict, OutcomeUnknown, TableNotFound, Unavailable
from trilith.replication.parts import execute_part
from trilith.replication.state_machine import Partitions
from trilith.runtime.entropy import Entropy
from trilith.tables import layout
from trilith.tables.commands import (
    CloseFeeds,
    CreateTable,
    DropItems,
    FoundTable,
    GetTable,
    GetTableName,
    ListTables,
    ListTablesAtWork,
    RemoveTable,
    ReplaceTable,
    TableNames,
    Terms,
)
from trilith.tables.definitions import (
    PROVISIONED,
    TABLE_ID_SIZE,
    TABLE_RECORD,
    GlobalIndex,
    TableRecord,
)
from trilith.tables.ended import drop_feeds, on_all
from trilith.tables.entry_commands import DropEntries
from trilith.tables.layout import SYSTEM_KEYSPACE, TABLES_KEYSPACE

_CACHE_MAX = 4096
_AT_WORK_MAX = 1000
_REPLACE_ATTEMPTS = 32
_REPLACE_PAUSE_S = 0.02  # at most, after the first; those who change one table spread out
_RETRY_S = 1.0
_CURRENT_WAIT_S = 1.0  # for a definition as it is, by a read that may be of a moment ago, too


class Table:
    """A decoded definition with what every request asks of it at hand."""

    __slots__ = (
        "feeds",
        "key_kinds",
        "key_names",
        "name",
        "partition_name",
        "plain_terms",
        "rates",
        "record",
        "sort_name",
        "table_id",
    )

    def __init__(self, record: TableRecord) -> None:
        self.record = record
        self.name = record.name
        self.table_id = record.table_id
        self.partition_name = record.partition.name
        self.sort_name = None if record.sort is None else record.sort.name
        self.key_names = record.key_names()
        keys = (record.partition,) if record.sort is None else (record.partition, record.sort)
        self.key_kinds = {key.name: key.kind for key in keys}
        self.feeds = record.feeds()
        # Provisioned units a second, to read and to write; None: on demand.
        self.rates: tuple[float, float] | None = None
        if record.billing_mode == PROVISIONED:
            self.rates = (float(record.read_units), float(record.write_units))
        has_indexes = record.indexes or record.global_indexes
        self.plain_terms = Terms(
            record.table_id,
            indexes=record.indexes,
            key_names=self.key_names if has_indexes else (),
            feeds=self.feeds,
            global_indexes=record.global_indexes,
        )


class Catalog:
    """One gateway's way to table definitions."""

    def __init__(self, partitions: Partitions, entropy: Entropy) -> None:
        self._partitions = partitions
        self._entropy = entropy
        self._decoded: dict[str, tuple[bytes, Table]] = {}
        self._served: dict[str, tuple[bytes, tuple[int, int], Table]] = {}  # key, as of, table
        self._names: dict[bytes, str] = {}  # by table id: a table keeps its name
        self._is_cut_off = False  # nobody could tell, the last time that it was asked for

    def new_table_id(self) -> bytes:
        """Never begins with a zero byte (layout.py says why)."""
        first = 1 + self._entropy.token_bytes(1)[0] % 255
        return bytes((first,)) + self._entropy.token_bytes(TABLE_ID_SIZE - 1)

    def try_table(self, name: str) -> Table | None:
        """The table, here and now; None when that needs a wait or a hop. Raises TableNotFound."""
        served = self._served.get(name)
        key = name.encode() if served is None else served[0]
        mark = self._partitions.try_mark(SYSTEM_KEYSPACE, key)
        if mark is None:
            return None
        self._is_cut_off = False
        if served is not None and served[1] == mark:
            return served[2]  # asked for each request: nothing was written there since
        found = self._partitions.try_query(SYSTEM_KEYSPACE, key, GetTable(name))
        if found is None:
            return None
        table = self._serving(name, found)
        if len(self._served) >= _CACHE_MAX:
            self._served.clear()
        self._served[name] = (key, mark, table)
        return table

    async def table(self, name: str, *, consistent: bool = True) -> Table:
        """Raises TableNotFound, also for one that is being deleted.

        Not `consistent`: as it was at some recent moment, for reads that go on where nobody can
        tell how it is now. That it did not exist then says nothing.
        """
        if consistent:
            return self._serving(name, await self._find(name))
        if not self._is_cut_off:
            try:
                return self._serving(name, await self._find(name, deadline_s=_CURRENT_WAIT_S))
            except Unavailable:
                self._is_cut_off = True
        found = await self._partitions.query(
            SYSTEM_KEYSPACE, name.encode(), GetTable(name), consistent=False
        )
        if found.raw is None:
            found = await self._find(name)
        return self._serving(name, found)

    async def describe(self, name: str) -> TableRecord:
        """The record, of a table that is being deleted too. Raises TableNotFound."""
        return self._decode(name, await self._find(name)).record

    async def by_id(self, table_id: bytes) -> TableRecord:
        """The record of a table, also one that is being deleted. Raises TableNotFound."""
        name = self._names.get(table_id)
        if name is None:
            query = GetTableName(table_id, table_id)
            found = await self._partitions.query(SYSTEM_KEYSPACE, table_id, query)
            if found.raw is None:
                raise TableNotFound
            name = found.raw.decode()
            if len(self._names) >= _CACHE_MAX:
                self._names.clear()
            self._names[table_id] = name
        record = await self.describe(name)
        if record.table_id != table_id:
            raise TableNotFound
        return record

    async def at_work(self) -> list[str]:
        """Names of tables with a deletion or a change of an index under way; a bounded many."""
        query = ListTablesAtWork(b"", "", _AT_WORK_MAX)
        page = await self._partitions.query(SYSTEM_KEYSPACE, b"", query, touched=(b"", b"\xff"))
        return cast(TableNames, page).names

    async def _find(self, name: str, *, deadline_s: float | None = None) -> FoundTable:
        key, query = name.encode(), GetTable(name)
        found = self._partitions.try_query(SYSTEM_KEYSPACE, key, query)
        if found is None:
            found = await self._partitions.query(SYSTEM_KEYSPACE, key, query, deadline_s=deadline_s)
        return cast(FoundTable, found)

    def _serving(self, name: str, found: FoundTable) -> Table:
        table = self._decode(name, found)
        if table.record.deleting:
            raise TableNotFound
        return table

    def _decode(self, name: str, found: FoundTable) -> Table:
        raw = found.raw
        if raw is None:
            raise TableNotFound
        held = self._decoded.get(name)
        if held is not None and held[0] == raw:
            return held[1]
        table = Table(TABLE_RECORD.decode(raw))
        if len(self._decoded) >= _CACHE_MAX:
            self._decoded.clear()
        self._decoded[name] = (raw, table)
        return table

    async def create(self, record: TableRecord) -> None:
        """Raises TableAlreadyExists."""
        await self._execute(record.name, CreateTable(record.name, TABLE_RECORD.encode(record)))

    async def change(self, name: str, change: Callable[[TableRecord], TableRecord]) -> TableRecord:
        """Apply `change` to the record as it is, however often that takes.

        Raises TableNotFound and whatever `change` raises; ConditionalConflict when others kept
        getting in between.
        """
        for attempt in range(_REPLACE_ATTEMPTS):
            old = await self.describe(name)
            new = msgspec.structs.replace(change(old), revision=old.revision + 1)
            command = ReplaceTable(name, old.revision, TABLE_RECORD.encode(new))
            try:
                await self._execute(name, command)
            except ConditionalConflict:
                if attempt:
                    await asyncio.sleep(_REPLACE_PAUSE_S * self._entropy.token_bytes(1)[0] / 256)
                continue
            return new
        raise ConditionalConflict("the table kept being changed by others")

    async def list_names(self, after: str, limit: int) -> tuple[list[str], bool]:
        """Names above `after` in order, and whether more follow."""
        page = await self._list(after, limit)
        return page.names, page.more

    async def _list(self, after: str, limit: int) -> TableNames:
        key = after.encode()
        page = await self._partitions.query(
            SYSTEM_KEYSPACE, key, ListTables(key, after, limit), touched=(key, b"\xff")
        )
        return cast(TableNames, page)

    async def remove(self, record: TableRecord) -> None:
        """Remove the items of a table that is marked as deleting, then its record."""
        table_id, era = record.table_id, record.revision
        if record.streams:
            latest = record.streams[-1].created_ms
            await on_all(self._partitions, lambda start: CloseFeeds(start, table_id, era, latest))
        numbers = tuple(index.number for index in record.indexes)
        await self._drop(record.table_id, lambda first, last: DropItems(first, last, numbers))
        for index in record.global_indexes:
            await self._drop(index.index_id, DropEntries)
        if not record.streams:
            await drop_feeds(self._partitions, table_id)
        await self._execute(record.name, RemoveTable(record.name, record.table_id))

    async def remove_index(self, record: TableRecord, index: GlobalIndex) -> TableRecord:
        """Remove the entries of an index that is marked as deleting, then its definition.

        The record without it.
        """
        await self._drop(index.index_id, DropEntries)

        def without(current: TableRecord) -> TableRecord:
            left = tuple(o for o in current.global_indexes if o.index_id != index.index_id)
            changed = msgspec.structs.replace(current, global_indexes=left)
            used = changed.names_of_keys()
            attributes = tuple(one for one in current.attributes if one.name in used)
            return msgspec.structs.replace(changed, attributes=attributes)

        return await self.change(record.name, without)

    async def _drop(self, owner_id: bytes, command: Callable[[bytes, bytes], Any]) -> None:
        """Run a command of [first, last) on each partition that may hold a table or an index."""
        for start, end in layout.slot_ranges(owner_id):
            first = start
            while first < end:
                _, first = await execute_part(
                    self._partitions,
                    TABLES_KEYSPACE,
                    first,
                    end,
                    partial(command, first),
                )

    async def finish_deletion(self, record: TableRecord) -> None:
        """`remove`, again and again while partitions cannot be reached."""
        while True:
            try:
                return await self.remove(record)
            except (Unavailable, OutcomeUnknown):
                await asyncio.sleep(_RETRY_S)

    async def resume_deletions(self) -> None:
        """Finish the deletions that are under way, by whomever they were begun."""
        after, more = "", True
        while more:
            page = await self._list(after, 1000)
            for name in page.deleting:
                try:
                    record = await self.describe(name)
                except TableNotFound:
                    continue  # its own node was faster
                if record.deleting:
                    await self.finish_deletion(record)
            more = page.more
            after = page.names[-1] if page.names else after

    async def _execute(self, name: str, command: Any) -> Any:
        return await self._partitions.execute(SYSTEM_KEYSPACE, name.encode(), command)
