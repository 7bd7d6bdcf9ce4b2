"""Rules of single items: put, update, delete, get."""

from __future__ import annotations

from trilith.replication.state_machine import Context, Effects, View
from trilith.tables.changes import ChangeActivity
from trilith.tables.commands import (
    CheckItem,
    ConditionFailed,
    DeleteItem,
    DropItems,
    Dropped,
    Found,
    GetItem,
    PutItem,
    SweepTraces,
    Terms,
    UpdateItem,
    Written,
)
from trilith.tables.expiry import expiry_of
from trilith.tables.expiry_commands import Expired, ExpireItem
from trilith.tables.expressions.updates import require_size_after_update
from trilith.tables.item_codec import decode_item, encode_item
from trilith.tables.key_ring import ItemKeys
from trilith.tables.layout import (
    ABOVE_ALL,
    INDEX,
    ITEM,
    LOCK,
    SEQUENCE_SIZE,
    TRACE,
    TRACE_EPOCHS,
    trace_family,
)
from trilith.tables.records import size_in
from trilith.tables.rules.changes import ChangeRules
from trilith.tables.rules.expiry import replace_entry
from trilith.tables.rules.indexes import IndexRules, global_units, require_index_keys
from trilith.tables.sizes import item_size
from trilith.tables.values import Item
from trilith.transactions.stage import head_of


class ItemRules:
    """Seals what it stores: effects, and so the log, hold ciphertext only."""

    def __init__(self, keys: ItemKeys, activity: ChangeActivity) -> None:
        self._keys = keys
        self._indexes = IndexRules(keys)
        self.changes = ChangeRules(activity)

    def put_item(
        self, command: PutItem, view: View, effects: Effects, context: Context
    ) -> Written | ConditionFailed:
        terms, key = command.terms, command.key
        record = view.get(ITEM, key)
        old: Item | None = None
        if terms.condition is not None or terms.indexes or terms.feeds:
            old = self._open(terms, key, record)
            if _refuses(terms, old):
                return _failed(terms, record)
        new = decode_item(command.item) if terms.indexes or terms.feeds else None
        after = (command.item, command.size, new)
        return self._store(terms, key, (record, old), after, view, effects, context)

    def update_item(
        self, command: UpdateItem, view: View, effects: Effects, context: Context
    ) -> Written | ConditionFailed:
        terms, key, update = command.terms, command.key, command.update
        record = view.get(ITEM, key)
        old = self._open(terms, key, record)
        if _refuses(terms, old):
            return _failed(terms, record)
        new = update.apply(old, decode_item(command.key_item))
        if new is None:
            return Written(0, 0)
        if new == old:
            size = 0 if record is None else size_in(record)
            shown = record if terms.show_old else None
            return Written(size, size, shown, record if terms.show_new else None)
        require_size_after_update(new)
        if terms.indexes or terms.global_indexes:
            require_index_keys(terms.global_indexes, new, old or {})
            require_index_keys(terms.indexes, new, old or {})
        stored = (encode_item(new), item_size(new), new)
        return self._store(terms, key, (record, old), stored, view, effects, context)

    def delete_item(
        self, command: DeleteItem, view: View, effects: Effects, context: Context
    ) -> Written | ConditionFailed:
        terms, key = command.terms, command.key
        record = view.get(ITEM, key)
        old: Item | None = None
        if terms.condition is not None or terms.indexes or terms.feeds:
            old = self._open(terms, key, record)
            if _refuses(terms, old):
                return _failed(terms, record)
        if record is None:
            return Written(0, 0)
        return self._store(terms, key, (record, old), None, view, effects, context)

    def expire_item(
        self, command: ExpireItem, view: View, effects: Effects, context: Context
    ) -> Expired:
        """Deletes what the entry says only if that is still so."""
        terms, key, now_s = command.terms, command.key, context.now_ms // 1000
        record = view.get(ITEM, key)
        if record is None or terms.feeds is None or command.time_s > now_s:
            return Expired(is_deleted=False)
        old = self._keys.open_item(terms.table_id, key, record)
        if expiry_of(old, terms.feeds.ttl) != command.time_s:
            return Expired(is_deleted=False)
        self._store(terms, key, (record, old), None, view, effects, context, by_ttl=True)
        return Expired(is_deleted=True)

    def check_item(self, command: CheckItem, view: View) -> Written | ConditionFailed:
        """Whether the condition holds; the item stays as it is."""
        terms, key = command.terms, command.key
        record = view.get(ITEM, key)
        if _refuses(terms, self._open(terms, key, record)):
            return _failed(terms, record)
        size = 0 if record is None else size_in(record)
        return Written(size, size)

    def _store(
        self,
        terms: Terms,
        key: bytes,
        before: tuple[bytes | None, Item | None],
        after: tuple[bytes, int, Item | None] | None,
        view: View,
        effects: Effects,
        context: Context,
        *,
        by_ttl: bool = False,
    ) -> Written:
        """What every write of an item comes to: its record and whatever follows from it.

        `before`: the record that is there, and the item in it; `after`: the encoded item, its size
        and the item, or None to delete. Where neither an index nor a feed needs them, the items
        may be None.
        """
        record, old = before
        units: dict[int, int] = {}
        if terms.indexes:
            units = self._indexes.replace(terms, key, old, after[2] if after else None, effects)
        fed: dict[int, int] = {}
        if terms.global_indexes:
            fed = global_units(terms, key, old, after[2] if after else None)
        old_size = 0 if record is None else size_in(record)
        old_shown = record if terms.show_old else None
        feeds = terms.feeds or self.changes.feeds_here(terms.table_id, view, context)
        if after is None:
            effects.delete(ITEM, key)
            # Two looks at an item that is not there must be able to tell that it was, in between.
            trace = context.sequence.to_bytes(SEQUENCE_SIZE, "big")
            effects.put(trace_family(context.now_ms), key, trace)
            if feeds is not None:
                gone = (record, None)
                feeds = self.changes.emit(
                    terms.table_id, feeds, key, gone, view, effects, context, by_ttl=by_ttl
                )
                if feeds.ttl:
                    replace_entry(terms.table_id, feeds.ttl, key, (old, None), effects, context)
            return Written(old_size, 0, old_shown, None, units, fed)
        encoded, new_size, _ = after
        new_record = self._keys.seal_item(terms.table_id, key, encoded, new_size)
        effects.put(ITEM, key, new_record)
        if feeds is not None and (after[2] != old or terms.feeds is None):
            images = (record, new_record)
            feeds = self.changes.emit(terms.table_id, feeds, key, images, view, effects, context)
            if feeds.ttl:
                new = decode_item(encoded) if after[2] is None else after[2]
                replace_entry(terms.table_id, feeds.ttl, key, (old, new), effects, context)
        new_shown = new_record if terms.show_new else None
        return Written(old_size, new_size, old_shown, new_shown, units, fed)

    def _open(self, terms: Terms, key: bytes, record: bytes | None) -> Item | None:
        return None if record is None else self._keys.open_item(terms.table_id, key, record)


def _refuses(terms: Terms, old: Item | None) -> bool:
    return terms.condition is not None and not terms.condition.holds({} if old is None else old)


def _failed(terms: Terms, record: bytes | None) -> ConditionFailed:
    size = 0 if record is None else size_in(record)
    return ConditionFailed(size, record if terms.show_failed else None)


def drop_items(command: DropItems, _view: View, effects: Effects, _context: Context) -> Dropped:
    for family in (ITEM, LOCK, *(INDEX + number for number in command.indexes)):
        effects.delete_range(family, command.key, command.end)
    return Dropped()


def get_item(query: GetItem, view: View) -> Found:
    record = view.get(ITEM, query.key)
    raw = view.get(LOCK, query.key)
    lock = None if raw is None else head_of(query.key, raw)
    if record is None and query.traces:
        traces = [view.get(family, query.key) for family in range(TRACE, TRACE + TRACE_EPOCHS)]
        return Found(None, lock, max((one for one in traces if one is not None), default=b""))
    return Found(record) if lock is None else Found(record, lock)


def sweep_traces(command: SweepTraces, view: View, effects: Effects, context: Context) -> Dropped:
    family = trace_family(context.now_ms, epochs_ahead=1)
    for first, _ in view.scan(family, command.key, ABOVE_ALL):
        for last, _ in view.scan(family, command.key, ABOVE_ALL, reverse=True):
            effects.delete_range(family, first, last + b"\x00")
            return Dropped()
    return Dropped()
