"""What conditions and updates compute with: literals, document paths, functions, arithmetic.

Every node is an immutable msgspec Struct, so that bound expressions travel inside commands to the
partition's leader. `of(item)` is a node's value for an item, or None when it has none.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from trilith.tables import paths
from trilith.tables.paths import Path
from trilith.tables.values import Item, Value


class Literal(Struct, frozen=True, array_like=True, tag="v"):
    """A value of the request."""

    value: Value

    def of(self, _item: Item) -> Value | None:
        return self.value


class Attribute(Struct, frozen=True, array_like=True, tag="a"):
    """The value at a document path."""

    path: Path

    def of(self, item: Item) -> Value | None:
        path = self.path
        if len(path) == 1:
            return item.get(path[0])
        return paths.find(path, item)


class Size(Struct, frozen=True, array_like=True, tag="size"):
    """`size(operand)`: characters of a string, bytes of a binary, members of anything else.

    It has no value for numbers, booleans and null.
    """

    operand: Literal | Attribute

    def of(self, item: Item) -> Value | None:
        value = self.operand.of(item)
        if value is None:
            return None
        content: Any
        for kind, content in value.items():
            if kind in {"N", "BOOL", "NULL"}:
                return None
            return {"N": str(len(content))}
        return None


Operand = Literal | Attribute | Size
