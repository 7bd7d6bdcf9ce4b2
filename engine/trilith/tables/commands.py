"""Commands, queries and results of tables, as they travel between nodes.

Keyspace 3: every struct starts with the logical key that it is routed by. Items travel encoded
(item_codec.py) towards the leader and as sealed records back: what a command answers is kept in
the log for its retries, and may hold nothing readable. Tags of keyspace 1 begin at 100, above those
of the object model's.
"""

from __future__ import annotations

import msgspec

from trilith.tables.definitions import Feeds, GlobalIndex, LocalIndex
from trilith.tables.expressions.conditions import Condition
from trilith.tables.expressions.updates import Update
from trilith.transactions.commands import LockHead

PAGE_BYTES_MAX = 1 << 20
LOCKS_MAX = 1000


class Command(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """Base of what `evaluate` takes."""


class Query(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """Base of what `answer` takes."""


class Result(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """Base of what both return."""


# --- keyspace 3: items ---------------------------------------------------------------------------


class Terms(msgspec.Struct, frozen=True, array_like=True):
    """What all writes of one item share.

    `show_old`, `show_new`: answer with the record before, after; `show_failed`: with the record
    that failed the condition.
    """

    table_id: bytes
    condition: Condition | None = None
    indexes: tuple[LocalIndex, ...] = ()
    key_names: tuple[str, ...] = ()  # only with indexes of either kind
    show_old: bool = False
    show_new: bool = False
    show_failed: bool = False
    feeds: Feeds | None = None
    global_indexes: tuple[GlobalIndex, ...] = ()


class PutItem(Command, frozen=True, tag=1):
    """Replace an item. `item` is encoded, `size` is AWS's."""

    key: bytes
    terms: Terms
    item: bytes
    size: int
    waiter: bytes = b""  # of one that met a lock before (transactions/reservations.py)


class UpdateItem(Command, frozen=True, tag=2):
    """Change an item; `key_item` holds the key attributes, encoded."""

    key: bytes
    terms: Terms
    key_item: bytes
    update: Update
    waiter: bytes = b""  # of one that met a lock before (transactions/reservations.py)


class DeleteItem(Command, frozen=True, tag=3):
    key: bytes
    terms: Terms
    waiter: bytes = b""  # of one that met a lock before (transactions/reservations.py)


class CheckItem(Command, frozen=True, tag=40):
    """An item's condition, in a transaction: nothing is changed."""

    key: bytes
    terms: Terms


class SweepTraces(Command, frozen=True, tag=46):
    """Forget the oldest traces of deletions in the partition of `key`, its start."""

    key: bytes


class DropItems(Command, frozen=True, tag=4):
    """Remove what the partition of `key` holds of a deleted table between `key` and `end`.

    `indexes`: the numbers of its local indexes.
    """

    key: bytes
    end: bytes
    indexes: tuple[int, ...] = ()


class RollShards(Command, frozen=True, tag=20):
    """Bring the open shards of a table in line with the range of the partition of `key`.

    Without effects when they are.
    """

    key: bytes
    table_id: bytes
    feeds: Feeds


class TrimChanges(Command, frozen=True, tag=21):
    """Forget the oldest changes of the shard start `key`, in order, at most `limit` of them.

    One that indexes are fed from goes when its sequence is at most `until`, one in a stream when it
    is older than `before_ms`, one that is both when both hold.

    Closed shards of which nothing is left go too, a stream's once they closed before `before_ms`.
    """

    key: bytes
    table_id: bytes
    until: int
    before_ms: int
    limit: int


class DropFeeds(Command, frozen=True, tag=22):
    """Remove what is anchored in the partition that begins at `key` of a deleted table."""

    key: bytes
    table_id: bytes


class CloseFeeds(Command, frozen=True, tag=23):
    """Let nothing more follow from writes of a table that is being deleted: its shards in the
    partition that begins at `key` end, and what they hold stays.

    `era`: the revision of the table's record that says so; `stream`: its latest.
    """

    key: bytes
    table_id: bytes
    era: int
    stream: int


class ListShards(Query, frozen=True, tag=20):
    """Shards in the partition of `key`, which is where it begins, of one table or of all (empty
    id), at most `limit` above `after` (a key of family SHARD).
    """

    key: bytes
    table_id: bytes
    after: bytes
    limit: int


class ReadChanges(Query, frozen=True, tag=21):
    """Changes of the shard that begins at `key` and the sequence `first` with a sequence above
    `after`, in order, at most `limit` or `bytes_max` (but one at least).
    """

    key: bytes
    table_id: bytes
    first: int
    after: int
    limit: int
    bytes_max: int


class LocateChange(Query, frozen=True, tag=22):
    """Where in the shard that begins at `key` and the sequence `first` a moment is."""

    key: bytes
    table_id: bytes
    first: int
    time_ms: int


class GetItem(Query, frozen=True, tag=1):
    """`traces`: tell of a missing item when it was deleted, if that was in the last minutes."""

    key: bytes
    traces: bool = False


class ReadPage(Query, frozen=True, tag=2):
    """Records of [key, end) in one partition, in order, at most `limit` or `bytes_max`.

    `fetch`: of index entries, answer with the items that they belong to.
    """

    key: bytes
    end: bytes
    family: int
    reverse: bool
    limit: int
    bytes_max: int
    fetch: bool = False


class CountRecords(Query, frozen=True, tag=50):
    """How many records [key, end) of one partition holds, at most `limit`."""

    key: bytes
    end: bytes
    family: int
    limit: int


class Written(Result, frozen=True, tag=1):
    """Sizes are 0 where there is no item. `index_units`: write units by local index number;
    `global_units`: by the place of a global index in the terms.
    """

    old_size: int
    new_size: int
    old: bytes | None = None
    new: bytes | None = None
    index_units: dict[int, int] = {}
    global_units: dict[int, int] = {}


class ConditionFailed(Result, frozen=True, tag=2):
    """Nothing was changed."""

    size: int
    old: bytes | None = None


class Found(Result, frozen=True, tag=3):
    """`lock`: the item is about to be changed by a transaction, or has been. `trace`: the sequence
    of the item's deletion, or empty.
    """

    record: bytes | None
    lock: LockHead | None = None
    trace: bytes = b""


class Page(Result, frozen=True, tag=4):
    """`size`: of all records. `is_whole`: the range ends here. `last`: the last key that was read.

    With `fetch`, `records` are items' and `size` counts the entries and the items. `locks`: those
    of transactions on items of the range that was read, LOCKS_MAX at most.
    """

    records: list[tuple[bytes, bytes]]
    size: int
    is_whole: bool
    last: bytes = b""
    locks: list[LockHead] = []


class Dropped(Result, frozen=True, tag=5):
    """DropItems is done."""


class Counted(Result, frozen=True, tag=50):
    """`last`: the last key that was counted. `is_whole`: the range ends here."""

    count: int
    size: int
    last: bytes
    is_whole: bool


class Rolled(Result, frozen=True, tag=20):
    """RollShards is done."""


class Trimmed(Result, frozen=True, tag=21):
    """`more`: the limit was reached."""

    count: int
    more: bool


class Shards(Result, frozen=True, tag=22):
    """SHARD records by their keys; `more` when others follow."""

    records: list[tuple[bytes, bytes]]
    more: bool


class Changes(Result, frozen=True, tag=23):
    """CHANGE records by their sequences; `is_whole`: there is none behind them for now.

    `shard` is the shard's record as it is now; None: there is no such shard.
    """

    shard: bytes | None
    records: list[tuple[int, bytes]]
    is_whole: bool


class Located(Result, frozen=True, tag=24):
    """`shard` as in Changes. `at`: the sequence of the first change at that time or later, `last`:
    of the last one of all; 0: there is none.
    """

    shard: bytes | None
    at: int
    last: int


# --- keyspace 1: table definitions --------------------------------------------------------------


class CreateTable(Command, frozen=True, tag=100):
    name: str
    record: bytes


class ReplaceTable(Command, frozen=True, tag=101):
    """Store a changed record in place of the one of `revision`."""

    name: str
    revision: int
    record: bytes


class RemoveTable(Command, frozen=True, tag=102):
    """Forget a table whose items are gone; one that had a stream goes to those that have ended.
    Harmless when it is not there.
    """

    name: str
    table_id: bytes


class ForgetEnded(Command, frozen=True, tag=103):
    """Forget a deleted table of whose streams nothing is left."""

    name: str
    table_id: bytes


class ListTablesAtWork(Query, frozen=True, tag=130):
    """Names above `after` of tables with a deletion or a change of an index under way."""

    key: bytes
    after: str
    limit: int


class GetTableName(Query, frozen=True, tag=131):
    """The name, in UTF-8, of the table of an id: FoundTable."""

    key: bytes
    table_id: bytes


class ListEnded(Query, frozen=True, tag=132):
    """Deleted tables whose streams are kept, above `after` and below `end` (keys of family
    TABLE_ENDED), at most `limit`.
    """

    key: bytes
    after: bytes
    end: bytes
    limit: int


class GetTable(Query, frozen=True, tag=100):
    name: str


class ListTables(Query, frozen=True, tag=101):
    """Names above `after`, at most `limit`."""

    key: bytes
    after: str
    limit: int


class FoundTable(Result, frozen=True, tag=100):
    """`raw`: the TABLE_RECORD, or None."""

    raw: bytes | None


class TableNames(Result, frozen=True, tag=101):
    """In order; `more` when others follow. `deleting` names those whose removal is under way."""

    names: list[str]
    more: bool
    deleting: list[str] = []


class TableStored(Result, frozen=True, tag=102):
    """The record is kept as it was sent."""


class EndedTables(Result, frozen=True, tag=103):
    """TABLE_RECORDs in the order of their keys; `more` when others follow."""

    records: list[bytes]
    more: bool
