"""What a global index holds of an item: its entry, where that lives, what changes of it cost.

Pure functions of the definition. An item has an entry when it has every key attribute of the index,
with its declared type and a value that fits a key. Writes refuse what does not fit
(rules/indexes.py); items from before the index just have no entry.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from trilith.tables import layout
from trilith.tables.definitions import GlobalIndex, KeyAttribute, LocalIndex
from trilith.tables.key_codec import (
    PARTITION_KEY_BYTES_MAX,
    SORT_KEY_BYTES_MAX,
    encode_key_value,
    joined,
)
from trilith.tables.sizes import item_size
from trilith.tables.values import Item, Value

_UNIT_BYTES = 1024


class Entry(NamedTuple):
    """An entry's logical key and what it holds."""

    key: bytes
    item: Item


def entry_of(
    index: GlobalIndex, key_names: Sequence[str], item_key: bytes, item: Item | None
) -> Entry | None:
    """The entry of the item that lives at `item_key`; None when it has none."""
    if item is None or not _fits(index, item):
        return None
    partition, sort = key_values(index, item)
    key = layout.entry_key(index.index_id, partition, sort, item_key)
    return Entry(key, projected(index, key_names, item))


def key_values(index: GlobalIndex, item: Item) -> tuple[Value, Value | None]:
    """Partition and sort key in an index of an item that has all its key attributes."""
    if not index.more_partition and not index.more_sort:
        return item[index.partition.name], None if index.sort is None else item[index.sort.name]
    sort = [item[key.name] for key in index.sort_attributes()]
    partition = joined([item[key.name] for key in index.partition_attributes()])
    return partition, joined(sort) if sort else None


def projected(index: GlobalIndex | LocalIndex, key_names: Sequence[str], item: Item) -> Item:
    """The attributes of an item that an index holds."""
    if index.projection == "ALL":
        return item
    names = held_names(index, key_names)
    return {name: item[name] for name in names if name in item}


def held_names(index: GlobalIndex | LocalIndex, key_names: Sequence[str]) -> dict[str, None]:
    """The names, in order, of the attributes that an index which does not hold all may hold."""
    own = index.key_attributes() if isinstance(index, GlobalIndex) else (index.sort,)
    return dict.fromkeys((*key_names, *(key.name for key in own), *index.included))


def _fits(index: GlobalIndex, item: Item) -> bool:
    return _fit(index.partition_attributes(), item, PARTITION_KEY_BYTES_MAX) and _fit(
        index.sort_attributes(), item, SORT_KEY_BYTES_MAX
    )


def _fit(keys: tuple[KeyAttribute, ...], item: Item, bytes_max: int) -> bool:
    """Whether the item has all of these, and they are not too large together."""
    total = 0
    for key in keys:
        value = item.get(key.name)
        if value is None or key.kind not in value:
            return False
        size = len(encode_key_value(value))
        total += size
        if not size or total > bytes_max:
            return False
    return True


def write_units(before: Item | None, after: Item | None, *, is_moved: bool) -> int:
    """Of one change of an index's entry.

    An entry that moves is a deletion and a put; one that stays costs as the larger of both.
    Source: AWS, "Data synchronization between tables and Global Secondary Indexes".
    """
    old = 0 if before is None else item_size(before)
    new = 0 if after is None else item_size(after)
    if is_moved and before is not None and after is not None:
        return _units(old) + _units(new)
    return _units(max(old, new))


def units_of_change(
    index: GlobalIndex,
    key_names: Sequence[str],
    item_key: bytes,
    old: Item | None,
    new: Item | None,
) -> int:
    """Write units that an index takes for the change of an item; 0 when its entry stays."""
    before = entry_of(index, key_names, item_key, old)
    after = entry_of(index, key_names, item_key, new)
    if before == after:
        return 0
    if before is None or after is None:
        only = before or after
        assert only is not None
        return write_units(None, only.item, is_moved=False)
    return write_units(before.item, after.item, is_moved=before.key != after.key)


def _units(size: int) -> int:
    return max(1, -(-size // _UNIT_BYTES))
