"""Document paths: where a value is inside an item.

A path is a tuple that begins with an attribute's name and goes on with map keys (str) and list
indexes (int): `a.b[2]` is `("a", "b", 2)`.
"""

from __future__ import annotations

from typing import Any

from trilith.tables.values import Item, Value

Path = tuple[Any, ...]  # a name, then names (str) and indexes (int)

PATH_ELEMENTS_MAX = 32  # an attribute and 31 levels below it


def find(path: Path, item: Item) -> Value | None:
    """The value at a path, or None when there is none."""
    value = item.get(path[0])
    if value is None or len(path) == 1:
        return value
    for step in path[1:]:
        if type(step) is int:
            elements = value.get("L")
            if elements is None or step >= len(elements):
                return None
            value = elements[step]
        else:
            entries = value.get("M")
            if entries is None:
                return None
            value = entries.get(step)
            if value is None:
                return None
    return value


def show(path: Path) -> str:
    """A path as AWS's messages show it: `[a, b, [2]]`."""
    return "[" + ", ".join(f"[{step}]" if type(step) is int else str(step) for step in path) + "]"
