"""Projections: the parts of an item that a reader asked for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from msgspec import Struct

from trilith.tables.paths import Path
from trilith.tables.values import Item, Value

# What is wanted below a value: nothing more said (None, all of it) or steps to further trees.
Tree = dict[Any, Any]


class Projection(Struct, frozen=True, array_like=True):
    """Whole attributes, and trees of what is wanted inside others.

    Elements of a list keep their order and close up; maps and lists on the way hold only what was
    asked for. What an item does not have is left out.
    """

    names: tuple[str, ...]
    trees: Tree = {}

    def of(self, item: Item) -> Item:
        chosen = {name: item[name] for name in self.names if name in item}
        for name, tree in self.trees.items():
            if name in item:
                part = _part(item[name], tree)
                if part is not None:
                    chosen[name] = part
        return chosen


def projection_of(paths: Iterable[Path]) -> Projection:
    """The projection on paths that do not overlap."""
    names: list[str] = []
    trees: Tree = {}
    for path in paths:
        if len(path) == 1:
            names.append(str(path[0]))
            continue
        tree = trees
        for step in path[:-1]:
            tree = tree.setdefault(step, {})
        tree[path[-1]] = None
    return Projection(tuple(dict.fromkeys(names)), trees)


def _part(value: Value, tree: Tree | None) -> Value | None:
    """What of a value a tree asks for, or None when the value has nothing of it."""
    if tree is None:
        return value
    entries = value.get("M")
    if entries is not None:
        found = {
            step: part
            for step, below in tree.items()
            if step in entries
            if (part := _part(entries[step], below)) is not None
        }
        return {"M": found} if found else None
    elements = value.get("L")
    if elements is not None:
        kept = [
            part
            for step in sorted(step for step in tree if type(step) is int)
            if step < len(elements)
            if (part := _part(elements[step], tree[step])) is not None
        ]
        return {"L": kept} if kept else None
    return None
