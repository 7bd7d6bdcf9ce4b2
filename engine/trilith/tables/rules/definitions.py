"""Rules of table definitions, in the system keyspace."""

from __future__ import annotations

from msgspec.structs import replace

from trilith.errors import ConditionalConflict, TableAlreadyExists, TableNotFound
from trilith.replication.state_machine import Context, Effects, View
from trilith.tables.commands import (
    CreateTable,
    EndedTables,
    ForgetEnded,
    FoundTable,
    GetTable,
    GetTableName,
    ListEnded,
    ListTables,
    ListTablesAtWork,
    RemoveTable,
    ReplaceTable,
    TableNames,
    TableStored,
)
from trilith.tables.definitions import TABLE_RECORD, ended
from trilith.tables.layout import (
    TABLE,
    TABLE_AT_WORK,
    TABLE_ENDED,
    TABLE_NAME,
    ended_table_key,
)


def create_table(
    command: CreateTable, view: View, effects: Effects, _context: Context
) -> TableStored:
    key = command.name.encode()
    if view.get(TABLE, key) is not None:
        raise TableAlreadyExists(f"Table already exists: {command.name}")
    effects.put(TABLE, key, command.record)
    _put_name(TABLE_RECORD.decode(command.record).table_id, key, effects)
    return TableStored()


def _put_name(table_id: bytes, name: bytes, effects: Effects) -> None:
    """Read under the table's id (GetTableName), and believed: what is missing was deleted."""
    effects.put(TABLE_NAME, table_id, name)
    effects.touch(table_id)


def replace_table(
    command: ReplaceTable, view: View, effects: Effects, _context: Context
) -> TableStored:
    key = command.name.encode()
    raw = view.get(TABLE, key)
    if raw is None:
        raise TableNotFound
    if TABLE_RECORD.decode(raw).revision != command.revision:
        raise ConditionalConflict("the table was changed meanwhile")
    effects.put(TABLE, key, command.record)
    record = TABLE_RECORD.decode(command.record)
    _put_name(record.table_id, key, effects)  # tables of before there were these records
    if record.has_work():
        effects.put(TABLE_AT_WORK, key, b"")
    else:
        effects.delete(TABLE_AT_WORK, key)
    return TableStored()


def remove_table(
    command: RemoveTable, view: View, effects: Effects, context: Context
) -> TableStored:
    key = command.name.encode()
    raw = view.get(TABLE, key)
    if raw is None:
        return TableStored()
    record = TABLE_RECORD.decode(raw)
    if record.table_id != command.table_id:
        return TableStored()
    effects.delete(TABLE, key)
    effects.delete(TABLE_AT_WORK, key)
    effects.delete(TABLE_NAME, command.table_id)
    effects.touch(command.table_id)
    if record.streams:
        kept = replace(record, streams=ended(record.streams, context.now_ms))
        name = ended_table_key(record.name, record.table_id)
        effects.put(TABLE_ENDED, name, TABLE_RECORD.encode(kept))
    return TableStored()


def forget_ended(
    command: ForgetEnded, _view: View, effects: Effects, _context: Context
) -> TableStored:
    effects.delete(TABLE_ENDED, ended_table_key(command.name, command.table_id))
    return TableStored()


def list_ended(query: ListEnded, view: View) -> EndedTables:
    records: list[bytes] = []
    start = query.after + b"\x00" if query.after else b""
    for _, raw in view.scan(TABLE_ENDED, start, query.end):
        if len(records) >= query.limit:
            return EndedTables(records, more=True)
        records.append(raw)
    return EndedTables(records, more=False)


def get_table(query: GetTable, view: View) -> FoundTable:
    return FoundTable(view.get(TABLE, query.name.encode()))


def get_table_name(query: GetTableName, view: View) -> FoundTable:
    return FoundTable(view.get(TABLE_NAME, query.table_id))


def list_tables(query: ListTables, view: View) -> TableNames:
    names: list[str] = []
    deleting: list[str] = []
    start = query.after.encode() + b"\x00" if query.after else b""
    for key, raw in view.scan(TABLE, start, b"\xff"):
        if len(names) >= query.limit:
            return TableNames(names, more=True, deleting=deleting)
        names.append(key.decode())
        if TABLE_RECORD.decode(raw).deleting:
            deleting.append(names[-1])
    return TableNames(names, more=False, deleting=deleting)


def list_tables_at_work(query: ListTablesAtWork, view: View) -> TableNames:
    names: list[str] = []
    start = query.after.encode() + b"\x00" if query.after else b""
    for key, _ in view.scan(TABLE_AT_WORK, start, b"\xff"):
        if len(names) >= query.limit:
            return TableNames(names, more=True)
        names.append(key.decode())
    return TableNames(names, more=False)
