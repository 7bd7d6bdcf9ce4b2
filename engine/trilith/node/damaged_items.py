"""Items of tables that cannot be read: which they are, and until when they are listed.

An item whose record does not authenticate is found by whoever reads it; one whose block of the
ordered store is bad, by the read that met it. Both are in quarantine under their logical key, with
the table and the key attributes for people, until they can be read again, are overwritten, or are
deleted. (A bad block heals by itself from another zone, if one is in sync: disk_faults.py.)
"""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import Callable

from trilith.errors import Corruption, TableNotFound, TrilithError
from trilith.node.quarantine import Damage, Quarantine, keep_looking
from trilith.tables import layout
from trilith.tables.catalog import Table
from trilith.tables.definitions import TableRecord
from trilith.tables.service import TableService
from trilith.tables.values import Item, Value

FOUND_MAX = 256  # to be named, at any time; more are found again by their next read
ITEM_PREFIX = bytes((layout.TABLES_KEYSPACE, layout.ITEM))


class DamagedItems:
    """Keeps the quarantine's items. `run` goes on until it is cancelled."""

    def __init__(
        self,
        quarantine: Quarantine,
        tables: TableService,
        interval_s: float,
        log: Callable[..., None],
    ) -> None:
        """`interval_s`: between looks whether what is listed can be read again."""
        self._quarantine = quarantine
        self._tables = tables
        self._interval_s = interval_s
        self._log = log
        self._found: dict[bytes, str] = {}
        self._new = asyncio.Event()

    def found(self, key: bytes, why: str) -> None:
        """An item's logical key, and what is wrong with its record."""
        if len(self._found) < FOUND_MAX and not self._quarantine.has(Damage.ITEM, key.hex()):
            self._found[key] = why
            self._new.set()

    def found_in_store(self, physical_key: bytes, why: str) -> None:
        """As `found`, of any record of the ordered store: only items have a name here."""
        if physical_key.startswith(ITEM_PREFIX):
            self.found(physical_key[len(ITEM_PREFIX) :], why)

    async def run(self) -> None:
        await keep_looking(self.look, self._new, self._interval_s, self._failed)

    def _failed(self, error: TrilithError) -> None:
        """A partition cannot be asked."""
        self._log("damaged_items_not_named", error=error.code, message=error.message)

    async def look(self) -> None:
        """Name what was found, and release what can be read again, or is gone."""
        for key, why in list(self._found.items()):
            await self._list(key, why)
            self._found.pop(key, None)
        for entry in self._quarantine.entries(Damage.ITEM):
            how = await self._is_over(bytes.fromhex(entry.id))
            if how is not None:
                self._quarantine.release(Damage.ITEM, entry.id, how)

    async def _list(self, key: bytes, why: str) -> None:
        try:
            record = await self._table_of(key)
        except TableNotFound:
            return  # deleted, or an index's own entry: its item is found by itself
        self._quarantine.add(Damage.ITEM, key.hex(), why)
        self._quarantine.name_objects(Damage.ITEM, key.hex(), [name_of(record, key)])

    async def _is_over(self, key: bytes) -> str | None:
        """Why an item need no longer be listed; None: it must be."""
        try:
            table = Table(await self._table_of(key))
            item = layout.key_attributes(key, table.record.partition, table.record.sort)
            read = await self._tables.get_item(table, item, consistent=True)
        except TableNotFound:
            return "its table is gone"
        except Corruption:
            return None
        return "it was deleted" if read.item is None else "it can be read"

    async def _table_of(self, key: bytes) -> TableRecord:
        return await self._tables.catalog.by_id(key[1 : layout.OWNER_END])


def name_of(record: TableRecord, key: bytes) -> str:
    """`TABLE {partition key: value, sort key: value}` of an item's logical key."""
    attributes: Item = layout.key_attributes(key, record.partition, record.sort)
    said = ", ".join(f"{name}: {_text(value)}" for name, value in attributes.items())
    return f"{record.name} {{{said}}}"


def _text(value: Value) -> str:
    content = next(iter(value.values()))
    return b64encode(content).decode() if isinstance(content, bytes) else str(content)
