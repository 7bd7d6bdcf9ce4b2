"""Deleted tables whose streams can still be read: as on AWS, for a day after the deletion.

Source: AWS, DeleteTable: "the corresponding stream on that table goes into the DISABLED state, and
the stream is automatically deleted after 24 hours".

Of such a table stay its record, in family TABLE_ENDED of the definitions, and what is anchored of
its change log: closed shards, their changes, and Heads by which a write that comes late is not
recorded. Its id, and with it the key of its items, is no other table's. Changes and shards go by
age as those of living tables do; the rest goes with the record.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, cast

from trilith.replication.parts import execute_part
from trilith.replication.state_machine import Partitions
from trilith.tables import layout
from trilith.tables.commands import DropFeeds, EndedTables, ForgetEnded, ListEnded
from trilith.tables.definitions import TABLE_RECORD, TableRecord
from trilith.tables.layout import SYSTEM_KEYSPACE, TABLES_KEYSPACE

_PAGE = 100


class Ended:
    """One node's way to the records of deleted tables. Reads are linearizable."""

    def __init__(self, partitions: Partitions) -> None:
        self._partitions = partitions

    async def named(self, name: str) -> list[TableRecord]:
        """Of all deleted tables of that name."""
        found: list[TableRecord] = []
        after, more = name.encode(), True
        while more:
            records, more = await self._list(after, name.encode() + b"\x01", _PAGE)
            found += records
            after = _key(records[-1]) if records else after
        return found

    async def page(self, after: str, limit: int) -> tuple[list[TableRecord], bool]:
        """Of tables with names above `after`, in order, and whether more follow."""
        return await self._list(after.encode() + b"\x01" if after else b"", b"\xff", limit)

    async def forget_old(self, before_ms: int) -> int:
        """Remove what is left of tables whose last stream ended before then; how many there were.

        Harmless when done twice. Raises Unavailable and OutcomeUnknown: begin again.
        """
        forgotten, after, more = 0, b"", True
        while more:
            records, more = await self._list(after, b"\xff", _PAGE)
            for record in records:
                after = _key(record)
                if max(stream.ended_ms for stream in record.streams) < before_ms:
                    await drop_feeds(self._partitions, record.table_id)
                    await self._partitions.execute(
                        SYSTEM_KEYSPACE,
                        record.name.encode(),
                        ForgetEnded(record.name, record.table_id),
                    )
                    forgotten += 1
        return forgotten

    async def _list(self, after: bytes, end: bytes, limit: int) -> tuple[list[TableRecord], bool]:
        page = cast(
            EndedTables,
            await self._partitions.query(
                SYSTEM_KEYSPACE, after, ListEnded(after, after, end, limit), touched=(after, end)
            ),
        )
        return [TABLE_RECORD.decode(raw) for raw in page.records], page.more


def _key(record: TableRecord) -> bytes:
    return layout.ended_table_key(record.name, record.table_id)


async def drop_feeds(partitions: Partitions, table_id: bytes) -> None:
    """Remove all that is anchored of a deleted table."""
    await on_all(partitions, lambda start: DropFeeds(start, table_id))


async def on_all(partitions: Partitions, command: Callable[[bytes], Any]) -> None:
    """Run a command of a partition's start on every partition of tables: what is anchored may have
    stayed behind in partitions that hold nothing else of a table.
    """
    first = b""
    while first < layout.ABOVE_ALL:
        _, first = await execute_part(
            partitions,
            TABLES_KEYSPACE,
            first,
            layout.ABOVE_ALL,
            partial(_command_of, command, first),
        )


def _command_of(command: Callable[[bytes], Any], start: bytes, _end: bytes) -> Any:
    return command(start)
