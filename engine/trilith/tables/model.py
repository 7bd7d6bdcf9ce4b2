"""The state machines of tables: items (keyspace 3) and definitions (a part of keyspace 1).

Dispatch only; what a command does is in rules/.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Union

import msgspec

from trilith.errors import InternalError
from trilith.replication.state_machine import Context, Effects, View
from trilith.tables import commands as c
from trilith.tables import entry_commands as e
from trilith.tables import expiry_commands as x
from trilith.tables.changes import ChangeActivity
from trilith.tables.key_ring import ItemKeys
from trilith.tables.rules import changes, definitions, expiry, global_indexes, pages, usage
from trilith.tables.rules.items import ItemRules, drop_items, get_item, sweep_traces
from trilith.tables.rules.transactions import ItemStage, while_unlocked
from trilith.transactions import commands as t
from trilith.transactions import ledger
from trilith.transactions.stage import LockRules

_Evaluate = dict[type, Callable[[Any, View, Effects, Context], msgspec.Struct]]
_Answer = dict[type, Callable[[Any, View], msgspec.Struct]]


class _DispatchingModel:
    """A replication.state_machine.Model made of a function per command and query."""

    def __init__(
        self, evaluators: _Evaluate, answerers: _Answer, results: tuple[type, ...]
    ) -> None:
        self._evaluators = evaluators
        self._answerers = answerers
        self.command_type: Any = Union[tuple(evaluators)]  # noqa: UP007 (a Union of a tuple)
        self.query_type: Any = Union[tuple(answerers)]  # noqa: UP007
        self.result_type: Any = Union[results]  # noqa: UP007

    def evaluate(
        self, command: msgspec.Struct, view: View, effects: Effects, context: Context
    ) -> msgspec.Struct:
        function = self._evaluators.get(type(command))
        if function is None:
            raise InternalError(f"no such command: {type(command).__name__}")
        return function(command, view, effects, context)

    def answer(self, query: msgspec.Struct, view: View) -> msgspec.Struct:
        function = self._answerers.get(type(query))
        if function is None:
            raise InternalError(f"no such query: {type(query).__name__}")
        return function(query, view)


class ItemsModel(_DispatchingModel):
    """Keyspace 3: items and their local index entries. Routed by logical key."""

    def __init__(self, keys: ItemKeys) -> None:
        self.activity = ChangeActivity()
        items = ItemRules(keys, self.activity)
        stage = ItemStage(items, keys)
        locks = LockRules(stage, has_ledgers=True)
        ledgers = ledger.LedgerRules(stage, locks)
        super().__init__(
            {
                c.PutItem: while_unlocked(items.put_item, items),
                c.UpdateItem: while_unlocked(items.update_item, items),
                c.DeleteItem: while_unlocked(items.delete_item, items),
                c.DropItems: drop_items,
                c.SweepTraces: sweep_traces,
                c.RollShards: items.changes.roll_shards,
                c.DropFeeds: changes.drop_feeds,
                c.CloseFeeds: changes.close_feeds,
                c.TrimChanges: changes.trim_changes,
                x.ExpireItem: while_unlocked(items.expire_item, items),
                x.DropExpiry: expiry.drop_expiry,
                x.FillExpiry: expiry.ExpiryRules(keys).fill,
                x.ClearExpiry: expiry.clear_expiry,
                e.FeedEntries: global_indexes.feed_entries,
                e.DropEntries: global_indexes.drop_entries,
                e.SweepGone: global_indexes.sweep_gone,
                e.MarkSequence: global_indexes.mark_sequence,
                e.NoteFed: global_indexes.note_fed,
                t.Prepare: locks.prepare,
                t.Resolve: locks.resolve,
                t.Reserve: locks.reserve,
                t.Commit: ledgers.commit,
                t.Settle: ledgers.settle,
                t.Close: ledgers.close,
                t.Expire: ledgers.expire,
            },
            {
                c.GetItem: get_item,
                c.ReadPage: pages.read_page,
                c.CountRecords: usage.count_records,
                c.ListShards: changes.list_shards,
                e.ReadTail: global_indexes.read_tail,
                e.GetFed: global_indexes.get_fed,
                c.ReadChanges: changes.read_changes,
                x.ListDue: expiry.list_due,
                c.LocateChange: changes.locate_change,
                t.ListLocks: locks.list_locks,
                t.AskLedger: ledger.ask_ledger,
                t.AskToken: ledger.ask_token,
                t.ListLedger: ledger.list_ledger,
            },
            (
                *(c.Written, c.ConditionFailed, c.Found, c.Page, c.Dropped, c.Counted),
                *(c.Rolled, c.Trimmed, c.Shards, c.Changes, c.Located),
                *(x.Expired, x.ExpiryDropped, x.Filled, x.DueItems),
                *(e.Fed, e.Swept, e.Mark),
                *t.LOCK_RESULTS,
                *t.LEDGER_RESULTS,
            ),
        )


class DefinitionsModel(_DispatchingModel):
    """The tables' part of keyspace 1. Routed by the table's name in UTF-8."""

    def __init__(self) -> None:
        super().__init__(
            {
                c.CreateTable: definitions.create_table,
                c.ReplaceTable: definitions.replace_table,
                c.RemoveTable: definitions.remove_table,
                c.ForgetEnded: definitions.forget_ended,
            },
            {
                c.GetTable: definitions.get_table,
                c.GetTableName: definitions.get_table_name,
                c.ListTables: definitions.list_tables,
                c.ListTablesAtWork: definitions.list_tables_at_work,
                c.ListEnded: definitions.list_ended,
            },
            (c.FoundTable, c.TableNames, c.TableStored, c.EndedTables),
        )
