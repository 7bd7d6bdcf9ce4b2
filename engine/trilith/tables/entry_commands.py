"""Commands and results of global indexes, as they travel between nodes (see commands.py)."""

from __future__ import annotations

import msgspec

from trilith.tables.commands import Command, Query, Result


class EntryChange(msgspec.Struct, frozen=True, array_like=True):
    """An entry to put, or with `record` None to take out, by the item's change of `sequence`.

    `record` is sealed under `key` and the index's id, as an item's record.
    """

    key: bytes
    sequence: int
    record: bytes | None


class FeedEntries(Command, frozen=True, tag=30):
    """Change entries that lie in the partition of `key`. Each only ever moves forward.

    `read_ms`: the wall clock before the changes of the items were read.
    """

    key: bytes
    read_ms: int
    changes: list[EntryChange]


class DropEntries(Command, frozen=True, tag=31):
    """Remove what the partition of `key` holds of a global index between `key` and `end`, and
    ignore what is still fed to it.
    """

    key: bytes
    end: bytes


class SweepGone(Command, frozen=True, tag=32):
    """Forget what was taken out before `before_ms`: a run of the partition's from `key` on."""

    key: bytes
    before_ms: int


class MarkSequence(Command, frozen=True, tag=33):
    """Ask for a sequence between the partition's changes so far and all that follow."""

    key: bytes


class NoteFed(Command, frozen=True, tag=34):
    """Indexes have all changes of a table at the shard start `key` up to `sequence`."""

    key: bytes
    table_id: bytes
    sequence: int


class GetFed(Query, frozen=True, tag=30):
    """What NoteFed noted: a Mark."""

    key: bytes
    table_id: bytes


class ReadTail(Query, frozen=True, tag=31):
    """Changes at the shard start `key`, of any shard, with sequences above `after`: a Changes."""

    key: bytes
    table_id: bytes
    after: int
    limit: int
    bytes_max: int


class Fed(Result, frozen=True, tag=30):
    """Nothing was done when `is_stale`: the changes were read too long ago; or `is_outside`: one of
    the entries is not in this partition.
    """

    is_stale: bool = False
    is_outside: bool = False


class Swept(Result, frozen=True, tag=31):
    """`next`: where to go on; empty at the end."""

    next: bytes


class Mark(Result, frozen=True, tag=32):
    sequence: int
