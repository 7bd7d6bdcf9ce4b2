"""Secondary indexes as writes of items see them.

Entries of local ones lie beside their item and change in the same effects; an item without the
index's sort attribute has none (the index is sparse). Global ones are fed later (feeder.py): here
their keys are checked and what they will take is counted.
"""

from __future__ import annotations

from collections.abc import Iterable

from trilith.errors import InvalidRequest
from trilith.replication.state_machine import Effects
from trilith.tables import layout
from trilith.tables.commands import Terms
from trilith.tables.definitions import GlobalIndex, KeyAttribute, LocalIndex
from trilith.tables.global_entries import projected, units_of_change, write_units
from trilith.tables.item_codec import encode_item
from trilith.tables.key_codec import (
    PARTITION_KEY_BYTES_MAX,
    SORT_KEY_BYTES_MAX,
    encode_key_value,
)
from trilith.tables.key_ring import ItemKeys
from trilith.tables.sizes import item_size
from trilith.tables.values import Item, Value, type_of

_EMPTY = (
    "One or more parameter values are not valid. A value specified for a secondary index key is "
    "not supported. The AttributeValue for a key attribute cannot contain an empty {noun} value. "
    "IndexName: {index}, IndexKey: {name}"
)
_EMPTY_BY_UPDATE = (
    "One or more parameter values are not valid. The update expression attempted to update a "
    "secondary index key to a value that is not supported. The AttributeValue for a key attribute "
    "cannot contain an empty {noun} value."
)


def require_index_keys(
    indexes: Iterable[LocalIndex | GlobalIndex], item: Item, before: Item | None = None
) -> None:
    """InvalidRequest when an attribute cannot be the index key that it is declared to be.

    `before`: what an update was made of. What is still as it was there has been accepted, or is
    older than the index.
    """
    for index in indexes:
        if isinstance(index, LocalIndex):
            _require_keys(index, (index.sort,), item, before)
        else:
            _require_keys(index, index.partition_attributes(), item, before, is_hash=True)
            _require_keys(index, index.sort_attributes(), item, before)


def _require_keys(
    index: LocalIndex | GlobalIndex,
    keys: tuple[KeyAttribute, ...],
    item: Item,
    before: Item | None,
    *,
    is_hash: bool = False,
) -> None:
    """Of the attributes that an index's partition key, or its sort key, is made of."""
    size, is_changed = 0, False
    for key in keys:
        value = item.get(key.name)
        if value is None:
            continue
        kind, name = key.kind, key.name
        if before is None or before.get(name) != value:
            _require_key(index, key, value, by_update=before is not None)
            is_changed = True
        if kind in value and (kind != "N" or len(keys) > 1):  # a number alone is never too large
            size += len(encode_key_value(value))
    if is_changed:
        _require_size(size, is_hash=is_hash)


def _require_key(
    index: LocalIndex | GlobalIndex, key: KeyAttribute, value: Value, *, by_update: bool
) -> None:
    kind, name = key.kind, key.name
    if kind not in value:
        raise InvalidRequest(
            "One or more parameter values were invalid: Type mismatch for Index Key "
            f"{name} Expected: {kind} Actual: {type_of(value)} IndexName: {index.name}"
        )
    if kind != "N" and not value[kind]:
        text = _EMPTY_BY_UPDATE if by_update else _EMPTY
        noun = "string" if kind == "S" else "binary"
        raise InvalidRequest(text.format(noun=noun, index=index.name, name=name))


def _require_size(size: int, *, is_hash: bool) -> None:
    if is_hash and size > PARTITION_KEY_BYTES_MAX:
        raise InvalidRequest(
            "One or more parameter values were invalid: Size of hashkey has exceeded the maximum "
            f"size limit of{PARTITION_KEY_BYTES_MAX} bytes"
        )
    if not is_hash and size > SORT_KEY_BYTES_MAX:
        raise InvalidRequest(
            "One or more parameter values were invalid: Aggregated size of all range keys "
            f"has exceeded the size limit of {SORT_KEY_BYTES_MAX} bytes"
        )


def global_units(terms: Terms, key: bytes, old: Item | None, new: Item | None) -> dict[int, int]:
    """Write units that each global index will take, by its place in the terms."""
    units = {}
    for place, index in enumerate(terms.global_indexes):
        spent = units_of_change(index, terms.key_names, key, old, new)
        if spent:
            units[place] = spent
    return units


class IndexRules:
    """Keeps the entries of an item in step with it."""

    def __init__(self, keys: ItemKeys) -> None:
        self._keys = keys

    def replace(
        self, terms: Terms, key: bytes, old: Item | None, new: Item | None, effects: Effects
    ) -> dict[int, int]:
        """Write units that each index took, by its number; those without a change are left out."""
        stem, sort = layout.split_key(key)
        units: dict[int, int] = {}
        for index in terms.indexes:
            before = _entry(index, terms.key_names, old)
            after = _entry(index, terms.key_names, new)
            if before == after:
                continue
            old_key = _entry_key(index, stem, sort, before)
            new_key = _entry_key(index, stem, sort, after)
            if old_key is not None and old_key != new_key:
                effects.delete(layout.INDEX + index.number, old_key)
            if new_key is not None:
                assert after is not None
                size = item_size(after)
                record = self._keys.seal_item(terms.table_id, new_key, encode_item(after), size)
                effects.put(layout.INDEX + index.number, new_key, record)
            units[index.number] = write_units(before, after, is_moved=old_key != new_key)
        return units


def _entry(index: LocalIndex, key_names: tuple[str, ...], item: Item | None) -> Item | None:
    """What an index holds of an item; None when nothing."""
    if item is None or index.sort.name not in item:
        return None
    return projected(index, key_names, item)


def _entry_key(index: LocalIndex, stem: bytes, sort: bytes, entry: Item | None) -> bytes | None:
    if entry is None:
        return None
    return layout.index_key(stem, encode_key_value(entry[index.sort.name]), sort)
