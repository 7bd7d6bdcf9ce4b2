"""How large AWS says an item is: attribute names and values in bytes.

Source: AWS, "DynamoDB item sizes and formats". The item limit, pages and consumed capacity are all
counted in these.
"""

from __future__ import annotations

from typing import Any

from trilith.tables import numbers
from trilith.tables.values import Item, Value

ITEM_BYTES_MAX = 400 * 1024
_CONTAINER_OVERHEAD = 3
_MEMBER_OVERHEAD = 1


def text_size(text: str) -> int:
    """Bytes of a text in UTF-8."""
    return len(text) if text.isascii() else len(text.encode())


def item_size(item: Item) -> int:
    """Bytes of all names and values of an item."""
    total = 0
    for name, value in item.items():
        total += len(name) if name.isascii() else len(name.encode())
        for kind, content in value.items():
            if kind == "S":
                total += len(content) if content.isascii() else len(content.encode())
            elif kind == "N":
                total += numbers.size_of(content)
            else:
                total += _content_size(kind, content)
    return total


def value_size(value: Value) -> int:
    """Bytes of one value, without the name."""
    for kind, content in value.items():
        return _content_size(kind, content)
    return 0


def _content_size(kind: str, content: Any) -> int:
    if kind == "S":
        return text_size(content)
    if kind == "N":
        return numbers.size_of(content)
    if kind == "B":
        return len(content)
    if kind in {"BOOL", "NULL"}:
        return 1
    if kind == "M":
        return _CONTAINER_OVERHEAD + _MEMBER_OVERHEAD * len(content) + item_size(content)
    if kind == "L":
        return _CONTAINER_OVERHEAD + sum(_MEMBER_OVERHEAD + value_size(one) for one in content)
    if kind == "SS":
        return sum(map(text_size, content))
    if kind == "NS":
        return sum(map(numbers.size_of, content))
    return sum(map(len, content))
