"""What a Query or Scan reads: a table's items, or the entries of one of its indexes."""

from __future__ import annotations

from trilith.tables import layout
from trilith.tables.catalog import Table
from trilith.tables.definitions import GlobalIndex, KeyAttribute, LocalIndex
from trilith.tables.expressions.key_conditions import KeyCondition
from trilith.tables.global_entries import key_values
from trilith.tables.key_codec import encode_key_value
from trilith.tables.layout import GLOBAL, INDEX, ITEM
from trilith.tables.values import Item
from trilith_native.codec import escape_bytes

Index = LocalIndex | GlobalIndex


class Source:
    """`owner_id` begins the keys of its records and is what they are sealed for; `names` are the
    attributes that tell where a page ended: the keys of the table and of the index.
    """

    def __init__(self, table: Table, index: Index | None) -> None:
        self._table = table
        self._index = index
        self.owner_id = table.table_id
        self.names = table.key_names
        if index is None:
            self.family = ITEM
        elif isinstance(index, GlobalIndex):
            self.family = GLOBAL
            self.owner_id = index.index_id
        else:
            self.family = INDEX + index.number
        keys = () if index is None else index_keys(index)
        self.names = tuple(dict.fromkeys((*table.key_names, *(key.name for key in keys))))

    def key_range(self, condition: KeyCondition) -> tuple[bytes, bytes]:
        """The logical keys [start, end) that satisfy a condition on the source's keys."""
        return layout.key_range(self.owner_id, condition, is_index=self._index is not None)

    def segment_ranges(self, segment: int, segments: int) -> list[tuple[bytes, bytes]]:
        return layout.segment_ranges(self.owner_id, segment, segments)

    def position(self, key: Item) -> bytes:
        """The logical key of the record whose `names` have these values."""
        table, index = self._table, self._index
        item = item_key(table, key)
        if index is None:
            return item
        if isinstance(index, GlobalIndex):
            return layout.entry_key(index.index_id, *key_values(index, key), item)
        stem, sort = layout.split_key(item)
        return stem + escape_bytes(encode_key_value(key[index.sort.name])) + sort


def index_keys(index: Index) -> tuple[KeyAttribute, ...]:
    """The key attributes of an index that are not the table's partition key by definition."""
    return index.key_attributes() if isinstance(index, GlobalIndex) else (index.sort,)


def item_key(table: Table, attributes: Item) -> bytes:
    """The logical key of an item from its key attributes."""
    sort = table.sort_name
    return layout.item_key(
        table.table_id,
        attributes[table.partition_name],
        None if sort is None else attributes[sort],
    )
