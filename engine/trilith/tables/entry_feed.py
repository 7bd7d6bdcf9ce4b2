"""Brings changes of global index entries to the partitions that hold them.

Whoever feeds an index, a change log's feeder or the filling of a new index, says what its entries
are to be (`put`, `take_out`) and from which change of the item that is; `send` returns once all of
it is durable. Order between entries does not matter, and doing it twice does nothing
(rules/global_indexes.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

from trilith.replication.state_machine import Partitions
from trilith.runtime.clock import Clock
from trilith.tables.changes import Change
from trilith.tables.definitions import ACTIVE, CREATING, GlobalIndex, TableRecord
from trilith.tables.entry_commands import EntryChange, Fed, FeedEntries, Mark, MarkSequence
from trilith.tables.global_entries import Entry, entry_of
from trilith.tables.item_codec import encode_item
from trilith.tables.key_ring import ItemKeys
from trilith.tables.layout import TABLES_KEYSPACE
from trilith.tables.sizes import item_size
from trilith.tables.values import Item

BATCH_ENTRIES_MAX = 128  # some milliseconds of the event loop of the leader that takes them
BATCH_BYTES_MAX = 256 * 1024
_SPLIT_PAUSE_S = 0.02  # until the map of partitions is up to date


class EntryFeed:
    """One node's way to index entries. `fed`: entries sent so far."""

    def __init__(self, partitions: Partitions, keys: ItemKeys, clock: Clock) -> None:
        self._partitions = partitions
        self._keys = keys
        self._clock = clock
        self.fed = 0

    def batch(self) -> EntryBatch:
        """To be filled with what is read from now on."""
        return EntryBatch(self._keys, self._clock.wall_ms())

    async def mark(self, key: bytes) -> int:
        """A sequence for what is read from now on of items in the partition of `key`.

        What is read then is the state after all changes with lower sequences, or a later one; and
        whatever a later one changes again has a higher sequence. So an entry put with it can
        neither undo a later change nor be lost to an earlier one.
        """
        mark: Mark = await self._partitions.execute(TABLES_KEYSPACE, key, MarkSequence(key))
        return mark.sequence

    async def send(self, batch: EntryBatch) -> bool:
        """False: what it is made of was read too long ago, and must be read again.

        Raises Unavailable or OutcomeUnknown. Then, too, some of it may be done, and all may be
        sent again.
        """
        left = list(batch.changes.values())
        while left:
            groups: dict[int, list[EntryChange]] = {}
            for change in left:
                partition = self._partitions.partition_of(TABLES_KEYSPACE, change.key)
                groups.setdefault(partition, []).append(change)
            sent = (self._send_group(group, batch.read_ms) for group in groups.values())
            results = await asyncio.gather(*sent)
            if any(unsent is None for unsent in results):
                return False
            left = [change for unsent in results for change in unsent or ()]
            if left:
                await asyncio.sleep(_SPLIT_PAUSE_S)
        return True

    async def _send_group(self, group: list[EntryChange], read_ms: int) -> list[EntryChange] | None:
        """What is left because the partition was split meanwhile; None: it is stale."""
        done_until = 0
        for run in _runs(group):
            command = FeedEntries(run[0].key, read_ms, run)
            done: Fed = await self._partitions.execute(TABLES_KEYSPACE, run[0].key, command)
            if done.is_stale:
                return None
            if done.is_outside:
                break
            done_until += len(run)
            self.fed += len(run)
        return group[done_until:]


class EntryBatch:
    """Changes of entries, the last one of each. `read_ms`: before they were read."""

    def __init__(self, keys: ItemKeys, read_ms: int) -> None:
        self._keys = keys
        self.read_ms = read_ms
        self.changes: dict[bytes, EntryChange] = {}

    def put(self, index: GlobalIndex, entry: Entry, sequence: int) -> None:
        size = item_size(entry.item)
        record = self._keys.seal_item(index.index_id, entry.key, encode_item(entry.item), size)
        self._add(EntryChange(entry.key, sequence, record))

    def take_out(self, key: bytes, sequence: int) -> None:
        self._add(EntryChange(key, sequence, None))

    def _add(self, change: EntryChange) -> None:
        known = self.changes.get(change.key)
        if known is None or known.sequence < change.sequence:
            self.changes[change.key] = change

    def add_item(
        self, indexes: Iterable[GlobalIndex], record: TableRecord, key: bytes, item: Item, at: int
    ) -> None:
        """The entries of an item as it is, by a mark `at` (EntryFeed.mark)."""
        for index in indexes:
            entry = entry_of(index, record.key_names(), key, item)
            if entry is not None:
                self.put(index, entry, at)

    def add_change(
        self, record: TableRecord, change: Change, old: Item | None, new: Item | None, sequence: int
    ) -> None:
        """What follows from one change of an item; nothing for an index whose entry stays.

        Nor for one that was added later than the change: between the two there may be changes
        that were recorded for no index.
        """
        names, key = record.key_names(), change.key
        for index in fed_indexes(record):
            if change.era < index.born:
                continue
            before = entry_of(index, names, key, old)
            after = entry_of(index, names, key, new)
            if before == after:
                continue
            if before is not None and (after is None or after.key != before.key):
                self.take_out(before.key, sequence)
            if after is not None:
                self.put(index, after, sequence)


def fed_indexes(record: TableRecord) -> list[GlobalIndex]:
    """Those that changes of items go to: also one that is still being filled."""
    return [index for index in record.global_indexes if index.status in (ACTIVE, CREATING)]


def _runs(group: Sequence[EntryChange]) -> Iterable[list[EntryChange]]:
    """In commands of a bounded size."""
    run: list[EntryChange] = []
    size = 0
    for change in group:
        bytes_of = len(change.key) + len(change.record or b"")
        if run and (len(run) >= BATCH_ENTRIES_MAX or size + bytes_of > BATCH_BYTES_MAX):
            yield run
            run, size = [], 0
        run.append(change)
        size += bytes_of
    if run:
        yield run
