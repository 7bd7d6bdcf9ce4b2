"""Key attributes of requests, held against a table's schema. Messages are the service's."""

from __future__ import annotations

from typing import Any

from trilith.dynamodb.errors import validation
from trilith.dynamodb.validation import starting_key
from trilith.tables.catalog import Table
from trilith.tables.key_codec import (
    PARTITION_KEY_BYTES_MAX,
    SORT_KEY_BYTES_MAX,
    encode_key_value,
)
from trilith.tables.sources import Index, index_keys
from trilith.tables.values import Item, Value, type_of

_INVALID = "One or more parameter values were invalid: "
MISMATCH = "The provided key element does not match the schema"
_START_INVALID = "The provided starting key is invalid"
_EMPTY = (
    "One or more parameter values are not valid. The AttributeValue for a key attribute cannot "
    "contain an empty {noun} value. Key: {name}"
)


def require_key(table: Table, key: Item) -> None:
    """Raises ValidationException unless `key` is exactly the table's primary key."""
    kinds = table.key_kinds
    if len(key) != len(kinds):
        raise validation(MISMATCH)
    for name, kind in kinds.items():
        value = key.get(name)
        if value is None or kind not in value:
            raise validation(MISMATCH)
        if not value[kind]:
            _require_filled(name, kind, value)
    _require_sizes(table, key)


def require_item_keys(table: Table, item: Item) -> None:
    """Raises ValidationException unless the item has the table's primary key."""
    for name, kind in table.key_kinds.items():
        value = item.get(name)
        if value is None:
            raise validation(f"{_INVALID}Missing the key {name} in the item")
        if kind not in value:
            raise validation(
                f"{_INVALID}Type mismatch for key {name} expected: {kind} actual: {type_of(value)}"
            )
        if not value[kind]:
            _require_filled(name, kind, value)
    _require_sizes(table, item)


def require_filled_keys(table: Table, item: Item) -> None:
    """Raises ValidationException for an empty key attribute, whatever else is wrong with it."""
    for name, kind in table.key_kinds.items():
        value = item.get(name)
        if value is not None and kind in value:
            _require_filled(name, kind, value)


def _require_filled(name: str, kind: str, value: Value) -> None:
    if kind != "N" and not value[kind]:
        noun = "string" if kind == "S" else "binary"
        raise validation(_EMPTY.format(noun=noun, name=name))


def _require_sizes(table: Table, item: Item) -> None:
    for name, kind in table.key_kinds.items():
        if kind == "N":
            continue
        content = item[name][kind]
        if len(content) * 4 <= SORT_KEY_BYTES_MAX:
            continue  # whatever the characters
        size = len(encode_key_value(item[name]))
        if name == table.partition_name and size > PARTITION_KEY_BYTES_MAX:
            raise validation(
                f"{_INVALID}Size of hashkey has exceeded the maximum size limit of"
                f"{PARTITION_KEY_BYTES_MAX} bytes"
            )
        if name == table.sort_name and size > SORT_KEY_BYTES_MAX:
            raise validation(
                f"{_INVALID}Aggregated size of all range keys has exceeded the size limit of "
                f"{SORT_KEY_BYTES_MAX} bytes"
            )


def start_key(table: Table, index: Index | None, document: dict[str, Any]) -> Item | None:
    """ExclusiveStartKey: exactly the key attributes of the table and of the index."""
    wire = document.get("ExclusiveStartKey")
    if wire is None:
        return None
    key = starting_key(wire)
    kinds = dict(table.key_kinds)
    if index is not None:
        kinds.update((attribute.name, attribute.kind) for attribute in index_keys(index))
    is_scan = "KeyConditionExpression" not in document and "KeyConditions" not in document
    if key.keys() != kinds.keys():
        raise validation(f"{_START_INVALID}: {MISMATCH}" if is_scan else _START_INVALID)
    for name, kind in kinds.items():
        if kind not in key[name] or (kind != "N" and not key[name][kind]):
            raise validation(f"{_START_INVALID}: {MISMATCH}" if is_scan else MISMATCH)
    return key
