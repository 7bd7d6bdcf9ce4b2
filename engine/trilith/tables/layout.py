"""Where the records of tables live: families and logical keys.

Keyspace 1 (system): family TABLE, logical key = the table's name.

Keyspace 3 (items): every logical key begins with the *stem* of its partition key,

    stem = slot (1 byte) + table id (16) + token (8) + escape(partition key)

where the slot is the token's place among SLOTS equal parts of the hash space. So every table is
spread over the first partitions from its first item on, in the order of its tokens, and a scan of
one table reads SLOTS ranges and nothing of others.

    ITEM            stem + sort key
    INDEX + number  stem + escape(index sort key) + sort key        one family an index

Items and their local index entries share the stem: partitions are to be split between stems only.
"""

from __future__ import annotations

from trilith.tables import key_codec
from trilith.tables.definitions import TABLE_ID_SIZE
from trilith.tables.expressions.key_conditions import KeyCondition
from trilith.tables.values import Value
from trilith_native.codec import escape_bytes, unescape_bytes

SYSTEM_KEYSPACE = 1
TABLES_KEYSPACE = 3

TABLE = 0x20  # keyspace 1

ITEM = 0x01
INDEX = 0x10  # plus the index's number

SLOTS = 12
_PREFIX_SIZE = 1 + TABLE_ID_SIZE
_SLOT_OF = [bytes((first * SLOTS // 256,)) for first in range(256)]


def item_key(table_id: bytes, partition_value: Value, sort_value: Value | None) -> bytes:
    """The logical key of an item, which also routes it."""
    key = key_codec.item_key(table_id, partition_value, sort_value)
    return _SLOT_OF[key[TABLE_ID_SIZE]] + key


def stem_of(table_id: bytes, partition_value: Value) -> bytes:
    return item_key(table_id, partition_value, None)


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
