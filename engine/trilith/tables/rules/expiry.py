"""Rules of time to live: an entry for each item that expires, and what is done when it is due.

An entry says that an item may be due, not that it is: whoever finds one looks at the item. It is
anchored at the start of the partition that wrote it, and after a split or merge an item's change no
longer finds it; it is then dropped when its time comes. What must not happen is that an item has no
entry, so one is written with every change of an item's time, in the same effects.

Times are readable on the disk, as those of an index are (they order the entries).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from trilith.replication.state_machine import Context, Effects, View
from trilith.tables.expiry import expiry_of
from trilith.tables.expiry_commands import (
    ClearExpiry,
    DropExpiry,
    DueItems,
    ExpiryDropped,
    Filled,
    FillExpiry,
    ListDue,
)
from trilith.tables.key_codec import successor
from trilith.tables.key_ring import ItemKeys
from trilith.tables.layout import EXPIRY, ITEM, anchored_size, expiry_key
from trilith.tables.values import Item

_VERSION = b"\x01"


def replace_entry(
    table_id: bytes,
    attribute: str,
    key: bytes,
    times: tuple[Item | None, Item | None],
    effects: Effects,
    context: Context,
) -> None:
    """Keep the entry of an item in step with its change from one item to another."""
    before, after = (None if item is None else expiry_of(item, attribute) for item in times)
    if before == after:
        return
    if before is not None:
        effects.delete(EXPIRY, expiry_key(context.start, table_id, before, key))
    if after is not None:
        _put(table_id, key, after, effects, context)


def _put(table_id: bytes, key: bytes, time_s: int, effects: Effects, context: Context) -> None:
    start = context.start
    value = _VERSION + len(start).to_bytes(2, "big")
    effects.put(EXPIRY, expiry_key(start, table_id, time_s, key), value)


class ExpiryRules:
    """Those that open items."""

    def __init__(self, keys: ItemKeys) -> None:
        self._keys = keys

    def fill(self, command: FillExpiry, view: View, effects: Effects, context: Context) -> Filled:
        """An entry that is there is written again."""
        for count, (key, record) in enumerate(view.scan(ITEM, command.key, command.end)):
            if count >= command.limit:
                return Filled(key)
            item = self._keys.open_item(command.table_id, key, record)
            time_s = expiry_of(item, command.attribute)
            if time_s is not None:
                _put(command.table_id, key, time_s, effects, context)
        return Filled(b"")


def drop_expiry(
    command: DropExpiry, _view: View, effects: Effects, _context: Context
) -> ExpiryDropped:
    for entry in command.entries:
        effects.delete(EXPIRY, entry)
    return ExpiryDropped()


def clear_expiry(
    command: ClearExpiry, view: View, effects: Effects, context: Context
) -> ExpiryDropped:
    drop_entries(command.table_id, view, effects, context)
    return ExpiryDropped()


def drop_entries(table_id: bytes, view: View, effects: Effects, context: Context) -> None:
    for prefix, _ in _groups(view, context.start):
        if prefix.endswith(table_id):
            effects.delete_range(EXPIRY, prefix, successor(prefix))


def list_due(query: ListDue, view: View) -> DueItems:
    """The oldest of each table first; a table with many does not hide another's."""
    entries: list[tuple[bytes, int]] = []
    groups = list(_groups(view, query.key))
    share = -(-query.limit // max(1, len(groups)))
    for prefix, start_size in groups:
        end = prefix + (query.time_s + 1).to_bytes(8, "big")
        entries += [(key, start_size) for key, _ in islice(view.scan(EXPIRY, prefix, end), share)]
    return DueItems(entries)


def _groups(view: View, start: bytes) -> Iterator[tuple[bytes, int]]:
    """What the entries of each start and table begin with, by one seek each, and the start's
    length.
    """
    while True:
        found = next(iter(view.scan(EXPIRY, start, b"")), None)
        if found is None:
            return
        key, value = found
        start_size = int.from_bytes(value[1:3], "big")
        prefix = key[: anchored_size(start_size)]
        yield prefix, start_size
        start = successor(prefix)
