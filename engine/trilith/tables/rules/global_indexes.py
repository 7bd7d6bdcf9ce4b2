"""Entries of global indexes: changed by whoever feeds them, in whatever order that arrives.

Every change of an entry carries the sequence of the item's change that it is from; those of one
item only grow, over changes of leaders and splits too. An entry moves forward only, and one that
is taken out leaves its sequence behind (family GONE) for longer than a change can be on its way.
So a change that arrives twice, late, or from a leader that is none any more, does nothing.

A record of GONE is

    version (1 byte, 1), sequence (8 bytes), wall clock in milliseconds (8 bytes)

and one of a whole index that was dropped has the highest sequence: nothing can follow it. It lies
at the start of what the partition may hold of a slot of the index.
"""

from __future__ import annotations

from trilith.errors import Corruption
from trilith.replication.state_machine import Context, Effects, View
from trilith.tables import layout
from trilith.tables.commands import Changes, Dropped
from trilith.tables.entry_commands import (
    DropEntries,
    Fed,
    FeedEntries,
    GetFed,
    Mark,
    MarkSequence,
    NoteFed,
    ReadTail,
    SweepGone,
    Swept,
)
from trilith.tables.layout import CHANGE, FED, GLOBAL, GONE, SEQUENCE_MAX, sequence_in
from trilith.tables.records import entry_record, sequence_of_entry
from trilith.tables.rules.fed import noted_sequence

FEED_AGE_MS_MAX = 5 * 60 * 1000
GONE_KEPT_MS = 15 * 60 * 1000  # far above the age of a change, whatever the wall clocks say
SWEEP_RUN = 512

_VERSION = b"\x01"
_NEVER = (1 << 64) - 1


def feed_entries(command: FeedEntries, view: View, effects: Effects, context: Context) -> Fed:
    """All of the changes or, as the answer says, none."""
    if context.now_ms - command.read_ms > FEED_AGE_MS_MAX:
        return Fed(is_stale=True)
    if not all(view.covers(change.key) for change in command.changes):
        return Fed(is_outside=True)
    dropped: dict[bytes, bool] = {}
    for change in command.changes:
        key = change.key
        start = layout.index_start(key)
        is_dropped = dropped.get(start)
        if is_dropped is None:
            at = max(start, context.start)
            is_dropped = dropped[start] = view.get(GONE, at) is not None
        if not is_dropped:
            _move(key, change.sequence, change.record, view, effects, context)
    return Fed()


def _move(
    key: bytes,
    sequence: int,
    record: bytes | None,
    view: View,
    effects: Effects,
    context: Context,
) -> None:
    """Bring one entry forward."""
    here = view.get(GLOBAL, key)
    gone = None if here is not None else view.get(GONE, key)
    if here is not None:
        reached = sequence_of_entry(here)
    else:
        reached = -1 if gone is None else _sequence_gone(gone)
    if sequence <= reached:
        return
    effects.touch(key)
    if record is None:
        if here is not None:
            effects.delete(GLOBAL, key)
        effects.put(GONE, key, _gone(sequence, context.now_ms))
        return
    if gone is not None:
        effects.delete(GONE, key)
    effects.put(GLOBAL, key, entry_record(record, sequence))


def drop_entries(command: DropEntries, _view: View, effects: Effects, context: Context) -> Dropped:
    for family in (GLOBAL, GONE):
        effects.delete_range(family, command.key, command.end)
    effects.put(GONE, command.key, _gone(_NEVER, context.now_ms))
    return Dropped()


def sweep_gone(command: SweepGone, view: View, effects: Effects, _context: Context) -> Swept:
    """At most SWEEP_RUN records are looked at."""
    for seen, (key, raw) in enumerate(view.scan(GONE, command.key, b"\xff")):
        if seen >= SWEEP_RUN:
            return Swept(key)
        _require_version(raw)
        if int.from_bytes(raw[9:17], "big") < command.before_ms:
            effects.delete(GONE, key)
    return Swept(b"")


def mark_sequence(_command: MarkSequence, _view: View, _effects: Effects, context: Context) -> Mark:
    """Below what the next command records, above what all before it did: the lowest bits of those
    are free (Context.sequence), and few are used.
    """
    return Mark(context.sequence - 1)


def carried_end(view: View, start: bytes, split_key: bytes) -> list[tuple[int, bytes, bytes]]:
    """That the index in whose middle a partition is split is gone, if it is."""
    raw = view.get(GONE, max(layout.index_start(split_key), start))
    if raw is None or _sequence_gone(raw) != _NEVER:
        return []
    return [(GONE, split_key, raw)]


def note_fed(command: NoteFed, view: View, effects: Effects, _context: Context) -> Fed:
    if command.sequence > noted_sequence(command.key, command.table_id, view):
        key = layout.anchored(command.key, command.table_id)
        effects.put(FED, key, _VERSION + command.sequence.to_bytes(8, "big"))
    return Fed()


def get_fed(query: GetFed, view: View) -> Mark:
    return Mark(noted_sequence(query.key, query.table_id, view))


def read_tail(query: ReadTail, view: View) -> Changes:
    records: list[tuple[int, bytes]] = []
    size = 0
    low = layout.change_key(query.key, query.table_id, query.after + 1)
    high = layout.change_key(query.key, query.table_id, SEQUENCE_MAX)
    for key, record in view.scan(CHANGE, low, high):
        size += len(record)
        if records and (len(records) >= query.limit or size > query.bytes_max):
            return Changes(None, records, is_whole=False)
        records.append((sequence_in(key), record))
    return Changes(None, records, is_whole=True)


def _gone(sequence: int, now_ms: int) -> bytes:
    return _VERSION + sequence.to_bytes(8, "big") + now_ms.to_bytes(8, "big")


def _sequence_gone(raw: bytes) -> int:
    _require_version(raw)
    return int.from_bytes(raw[1:9], "big")


def _require_version(raw: bytes) -> None:
    if raw[:1] != _VERSION:
        raise Corruption(f"a record of an index's feeding, of unknown version {raw[:1].hex()}")
