"""Local secondary indexes: entries beside their item, changed in the same effects.

An item without the index's sort attribute has no entry (the index is sparse).
"""

from __future__ import annotations

from collections.abc import Iterable

from trilith.errors import InvalidRequest
from trilith.replication.state_machine import Effects
from trilith.tables import layout
from trilith.tables.commands import Terms
from trilith.tables.definitions import LocalIndex
from trilith.tables.item_codec import encode_item
from trilith.tables.key_codec import SORT_KEY_BYTES_MAX, encode_key_value
from trilith.tables.key_ring import ItemKeys
from trilith.tables.sizes import item_size
from trilith.tables.values import Item, type_of

_UNIT_BYTES = 1024


def require_index_keys(indexes: Iterable[LocalIndex], item: Item) -> None:
    """InvalidRequest when an attribute cannot be the index key that it is declared to be."""
    for index in indexes:
        value = item.get(index.sort.name)
        if value is None:
            continue
        kind, name = index.sort.kind, index.sort.name
        if kind not in value:
            raise InvalidRequest(
                "One or more parameter values were invalid: Type mismatch for Index Key "
                f"{name} Expected: {kind} Actual: {type_of(value)} IndexName: {index.name}"
            )
        if kind != "N" and not value[kind]:
            noun = "string" if kind == "S" else "binary"
            raise InvalidRequest(
                "One or more parameter values are not valid. A value specified for a secondary "
                f"index key is not supported. The AttributeValue for a key attribute cannot "
                f"contain an empty {noun} value. IndexName: {index.name}, IndexKey: {name}"
            )
        if len(encode_key_value(value)) > SORT_KEY_BYTES_MAX:
            raise InvalidRequest(
                "One or more parameter values were invalid: Aggregated size of all range keys "
                f"has exceeded the size limit of {SORT_KEY_BYTES_MAX} bytes"
            )


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
            spent = 0
            old_key = _entry_key(index, stem, sort, before)
            new_key = _entry_key(index, stem, sort, after)
            if old_key is not None and old_key != new_key:
                effects.delete(layout.INDEX + index.number, old_key)
                spent += _units(item_size(before or {}))
            if new_key is not None:
                assert after is not None
                size = item_size(after)
                larger = max(size, item_size(before or {})) if old_key == new_key else size
                spent += _units(larger)
                record = self._keys.seal_item(terms.table_id, new_key, encode_item(after), size)
                effects.put(layout.INDEX + index.number, new_key, record)
            units[index.number] = spent
        return units


def _units(size: int) -> int:
    return max(1, -(-size // _UNIT_BYTES))


def _entry(index: LocalIndex, key_names: tuple[str, ...], item: Item | None) -> Item | None:
    """What an index holds of an item; None when nothing."""
    if item is None or index.sort.name not in item:
        return None
    if index.projection == "ALL":
        return item
    names = dict.fromkeys((*key_names, index.sort.name, *index.included))
    return {name: item[name] for name in names if name in item}


def _entry_key(index: LocalIndex, stem: bytes, sort: bytes, entry: Item | None) -> bytes | None:
    if entry is None:
        return None
    return layout.index_key(stem, encode_key_value(entry[index.sort.name]), sort)
