"""Python values and attribute values.

    str            string           bytes, bytearray, memoryview   binary
    int, Decimal   number           bool                           boolean
    None           null             list, tuple                    list
    dict           map              set of str, numbers or bytes   a set of that kind

Numbers come back as Decimal, binaries as bytes, lists as list. A float is refused: most decimal
fractions have no exact one.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from decimal import Decimal
from typing import Any

from trilith.wire.v1 import values_pb2 as wire

Value = Any  # of the kinds above
Item = Mapping[str, Value]
_BYTES = (bytes, bytearray, memoryview)


def item_message(item: Item) -> wire.Item:
    """Raises TypeError, ValueError."""
    message = wire.Item()
    fill_item(message, item)
    return message


def fill_item(message: wire.Item, item: Item) -> None:
    for name, value in item.items():
        _fill(message.attributes[name], value)


def placeholders(names: Mapping[str, str] | None, values: Item | None) -> wire.Placeholders:
    message = wire.Placeholders(names=names or {})
    for name, value in (values or {}).items():
        _fill(message.values[name], value)
    return message


def _fill(message: wire.AttributeValue, value: Value) -> None:
    if isinstance(value, str):
        message.string = value
    elif isinstance(value, bool):
        message.boolean = value
    elif isinstance(value, int | Decimal):
        message.number = _number(value)
    elif value is None:
        message.null = True
    elif isinstance(value, _BYTES):
        message.binary = bytes(value)
    elif isinstance(value, Mapping):
        message.map.SetInParent()
        fill_item(message.map, value)
    elif isinstance(value, list | tuple):
        message.list.SetInParent()
        for one in value:
            _fill(message.list.values.add(), one)
    elif isinstance(value, Set):
        _fill_set(message, value)
    elif isinstance(value, float):
        raise TypeError(f"a float is no exact number: give Decimal({str(value)!r})")
    else:
        raise TypeError(f"{type(value).__name__} is no attribute value")


def _number(value: int | Decimal) -> str:
    if isinstance(value, Decimal) and not value.is_finite():
        raise ValueError(f"{value} is no number that can be stored")
    return str(value)


def _fill_set(message: wire.AttributeValue, members: Set[Any]) -> None:
    if not members:
        raise ValueError("an empty set cannot be stored: leave the attribute out")
    if all(isinstance(one, str) for one in members):
        message.string_set.values.extend(sorted(members))
    elif all(isinstance(one, int | Decimal) and not isinstance(one, bool) for one in members):
        message.number_set.values.extend(_number(one) for one in members)
    elif all(isinstance(one, bytes) for one in members):
        message.binary_set.values.extend(sorted(members))
    else:
        raise TypeError("the members of a set are all str, all numbers, or all bytes")


def item_of(message: wire.Item) -> dict[str, Value]:
    return {name: value_of(value) for name, value in message.attributes.items()}


def value_of(message: wire.AttributeValue) -> Value:
    match message.WhichOneof("kind"):
        case "string":
            return message.string
        case "number":
            return Decimal(message.number)
        case "binary":
            return message.binary
        case "boolean":
            return message.boolean
        case "list":
            return [value_of(one) for one in message.list.values]
        case "map":
            return item_of(message.map)
        case "string_set":
            return set(message.string_set.values)
        case "number_set":
            return {Decimal(one) for one in message.number_set.values}
        case "binary_set":
            return set(message.binary_set.values)
        case _:
            return None
