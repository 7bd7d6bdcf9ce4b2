"""Where the records of tables live: families and logical keys.

Keyspace 1 (system): family TABLE, logical key = the name of the table; TABLE_AT_WORK, the same key,
for those with a deletion or a change of an index under way; TABLE_NAME, from table id to name;
TABLE_ENDED, name + 00 + table id: a deleted table whose streams can still be read.

Keyspace 3 (items): every logical key begins with the *stem* of its partition key,

    stem = slot (1 byte) + table id (16) + token (8) + escape(partition key)

where the slot is the token's place among SLOTS equal parts of the hash space. So every table is
spread over the first partitions from its first item on, in the order of its tokens, and a scan of
one table reads SLOTS ranges and nothing of others.

    ITEM            stem + sort key
    LOCK            stem + sort key                                 see transactions/
    TRACE + 0..3    stem + sort key                                 an item that was deleted lately
    INDEX + number  stem + escape(index sort key) + sort key        one family an index

    GLOBAL          stem of the index's partition key, with the index's id in place of a table's,
                    + escape(index sort key), if it has one + escape(partition key) + sort key
    GONE            as GLOBAL: an entry that was taken out, for a while

Items and their local index entries share the stem: partitions are to be split between stems only.

What belongs to a partition rather than to an item is *anchored* at the start of a range,

    anchored(start, table) = start + 00 00 00 + table id (16)

    CHANGE  anchored(partition start, table)                        which shards are open (Head)
    CHANGE  anchored(shard start, table) + sequence (8)             one change of an item
    FED     anchored(shard start, table)                            up to where indexes are fed
    SHARD   anchored(shard start, table) + first sequence (8)       one shard of the change log
    EXPIRY  anchored(partition start, table) + time (8) + item key  an item that expires

so that such keys of any table sort below every stem that begins with, or is above, `start`, and
stay with the left child however the partition is split. What a split or a merge must keep to:

* A partition starts at the empty key, at a slot, or at a stem or a stem's part up to and
  including its token: then no stem of another partition is between `start` and what is anchored
  there.
* Nothing anchored moves: after a split it is the left child's, after a merge it is still found
  under the start that it was written for. No record needs to be rewritten, and both children may
  begin without any of their own.
* The log index of a child goes on from its parent's, and that of a merged partition from the
  higher of both: sequences (Context.sequence) of one item's changes then always grow.
* The first command that finds the partition's range changed closes the shards that reach beyond it
  and opens new ones (rules/changes.py). A split or merge only has to give the leader its new range.

Table ids do not begin with a zero byte (Catalog.new_table_id), so a stem in slot 0 is above what is
anchored at the empty key.
"""

from __future__ import annotations

from trilith.tables import key_codec
from trilith.tables.definitions import TABLE_ID_SIZE, KeyAttribute
from trilith.tables.expressions.key_conditions import KeyCondition
from trilith.tables.values import Item, Value
from trilith_native.codec import escape_bytes, unescape_bytes

SYSTEM_KEYSPACE = 1
TABLES_KEYSPACE = 3

TABLE = 0x20  # keyspace 1
TABLE_AT_WORK = 0x21  # keyspace 1
TABLE_NAME = 0x22  # keyspace 1
TABLE_ENDED = 0x23  # keyspace 1

ITEM = 0x01
CHANGE = 0x02
SHARD = 0x04
EXPIRY = 0x07
GLOBAL = 0x03
GONE = 0x09
FED = 0x0A
LOCK = 0x05  # of items, by transactions; their ledgers: transactions/layout.py
INDEX = 0x10  # plus the index's number
TRACE = 0x64  # plus 0..3, a minute each
TRACE_EPOCHS = 4
TRACE_EPOCH_MS = 60_000

_ANCHOR = b"\x00\x00\x00"
SEQUENCE_SIZE = 8
SEQUENCE_MAX = (1 << 63) - 1

SLOTS = 12
ABOVE_ALL = bytes((SLOTS,))  # above every stem
OWNER_END = 1 + TABLE_ID_SIZE  # where the slot and the id of a table or an index end in a key
_PREFIX_SIZE = OWNER_END
_SLOT_OF = [bytes((first * SLOTS // 256,)) for first in range(256)]


def item_key(table_id: bytes, partition_value: Value, sort_value: Value | None) -> bytes:
    """The logical key of an item, which also routes it."""
    key = key_codec.partition_stem(table_id, partition_value)
    if sort_value is not None:
        key += key_codec.encode_key_value(sort_value)
    return _SLOT_OF[key[TABLE_ID_SIZE]] + key


def stem_of(table_id: bytes, partition_value: Value) -> bytes:
    return item_key(table_id, partition_value, None)


def ended_table_key(name: str, table_id: bytes) -> bytes:
    """Of a deleted table, in family TABLE_ENDED: in the order of names."""
    return name.encode() + b"\x00" + table_id


def split_key(key: bytes) -> tuple[bytes, bytes]:
    """Stem and sort key of an item's logical key."""
    _, end = unescape_bytes(key, _PREFIX_SIZE + key_codec.TOKEN_SIZE)
    return key[:end], key[end:]


def index_key(stem: bytes, index_sort: bytes, sort: bytes) -> bytes:
    return stem + escape_bytes(index_sort) + sort


def item_key_of_entry(entry_key: bytes) -> bytes:
    """The logical key of the item that an index entry belongs to."""
    _, end = unescape_bytes(entry_key, _PREFIX_SIZE + key_codec.TOKEN_SIZE)
    _, sort_at = unescape_bytes(entry_key, end)
    return entry_key[:end] + entry_key[sort_at:]


def anchored(start: bytes, table_id: bytes) -> bytes:
    """What the keys of a table's records that belong to a range's start begin with."""
    return start + _ANCHOR + table_id


def change_key(shard_start: bytes, table_id: bytes, sequence: int) -> bytes:
    """Of a change, or (in family SHARD) of the shard whose first sequence this is."""
    return shard_start + _ANCHOR + table_id + sequence.to_bytes(SEQUENCE_SIZE, "big")


def sequence_in(key: bytes) -> int:
    """The sequence at the end of a change's key."""
    return int.from_bytes(key[-SEQUENCE_SIZE:], "big")


def entry_key(
    index_id: bytes, partition_value: Value, sort_value: Value | None, item: bytes
) -> bytes:
    """The logical key of a global index's entry for the item of a logical key."""
    parts = item[_PREFIX_SIZE + key_codec.TOKEN_SIZE :]
    key = key_codec.index_key(index_id, partition_value, sort_value, parts)
    return _SLOT_OF[key[TABLE_ID_SIZE]] + key


def index_start(entry: bytes) -> bytes:
    """Where the slot of an entry's key begins within its index."""
    return entry[:_PREFIX_SIZE]


def expiry_key(start: bytes, table_id: bytes, time_s: int, item: bytes) -> bytes:
    """Of the entry that says when the item of a logical key expires."""
    return start + _ANCHOR + table_id + time_s.to_bytes(8, "big") + item


def anchored_size(start_size: int) -> int:
    """How long `anchored` of a start of that length is."""
    return start_size + len(_ANCHOR) + TABLE_ID_SIZE


def parse_expiry(key: bytes, start_size: int) -> tuple[bytes, int, bytes]:
    """Table id, time and the item's logical key of an EXPIRY entry's key."""
    at = anchored_size(start_size)
    return key[at - TABLE_ID_SIZE : at], int.from_bytes(key[at : at + 8], "big"), key[at + 8 :]


def key_attributes(key: bytes, partition: KeyAttribute, sort: KeyAttribute | None) -> Item:
    """The key attributes that an item's logical key is made of."""
    encoded, end = unescape_bytes(key, _PREFIX_SIZE + key_codec.TOKEN_SIZE)
    item = {partition.name: key_codec.decode_key_value(partition.kind, encoded)}
    if sort is not None:
        item[sort.name] = key_codec.decode_key_value(sort.kind, key[end:])
    return item


def slot_ranges(table_id: bytes, first: int = 0, last: int = SLOTS) -> list[tuple[bytes, bytes]]:
    """The ranges of logical keys [start, end) that hold a table, in the order of its tokens."""
    end = key_codec.successor(table_id) if table_id.strip(b"\xff") else b"\xff" * 64
    return [(bytes((slot,)) + table_id, bytes((slot,)) + end) for slot in range(first, last)]


def segment_ranges(table_id: bytes, segment: int, total: int) -> list[tuple[bytes, bytes]]:
    """The ranges of one segment of a parallel scan: equal parts of the hash space."""
    low = segment * key_codec.TOKEN_END // total
    high = (segment + 1) * key_codec.TOKEN_END // total
    ranges = []
    for start, end in slot_ranges(table_id):
        slot = start[:1]
        first = max(start, _token_position(table_id, low, slot, start, end))
        last = min(end, _token_position(table_id, high, slot, start, end))
        if first < last:
            ranges.append((first, last))
    return ranges


def _token_position(table_id: bytes, token: int, slot: bytes, start: bytes, end: bytes) -> bytes:
    """Where in a slot's range [start, end) a token would be."""
    if token >= key_codec.TOKEN_END:
        return end
    encoded = token.to_bytes(key_codec.TOKEN_SIZE, "big")
    own = _SLOT_OF[encoded[0]]
    if own != slot:
        return end if own > slot else start
    return slot + table_id + encoded


def key_range(table_id: bytes, condition: KeyCondition, *, is_index: bool) -> tuple[bytes, bytes]:
    """[start, end) of the items, or of an index's entries, that satisfy a key condition."""
    start, end = condition.key_range(table_id, shared=is_index)
    slot = _SLOT_OF[start[TABLE_ID_SIZE]]
    return slot + start, slot + end


def trace_family(now_ms: int, epochs_ahead: int = 0) -> int:
    """Where deletions of this minute leave their trace. The next family is the one to empty."""
    return TRACE + (now_ms // TRACE_EPOCH_MS + epochs_ahead) % TRACE_EPOCHS
