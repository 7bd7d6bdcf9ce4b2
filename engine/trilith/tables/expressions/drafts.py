"""A draft: an item being changed, copied only where it is changed.

The item it was made of is never touched. Lists keep their indexes until `finish`: removed
elements leave holes, and elements set beyond the end are appended in the order of their indexes.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from trilith.errors import InvalidRequest
from trilith.tables.paths import Path
from trilith.tables.values import Item, Value

NO_SUCH_PLACE = "The document path provided in the update expression is invalid for update"

_HOLE: Any = object()


class Draft:
    """A changing copy of an item."""

    __slots__ = ("_copied", "_lists", "_own", "item")

    def __init__(self, item: Item) -> None:
        self.item: Item = dict(item)
        self._copied: set[int] = set()  # containers that are this draft's own, by id
        self._own: list[Any] = []  # keeps them alive, so that no id is used twice
        self._lists: list[tuple[list[Any], dict[int, Value]]] = []  # with what comes at their ends

    def put(self, path: Path, value: Value) -> None:
        """Set the value at a path. InvalidRequest when the place does not exist."""
        if len(path) == 1:
            self.item[path[0]] = value
            return
        container = self._container(path)
        step: Any = path[-1]
        if type(container) is dict or step < len(container):
            container[step] = value
        else:
            self._appended(container)[step] = value

    def remove(self, path: Path) -> None:
        """Remove the value at a path; nothing happens when only the last step is missing."""
        if len(path) == 1:
            self.item.pop(path[0], None)
            return
        container = self._container(path)
        step: Any = path[-1]
        if type(container) is dict:
            container.pop(step, None)
        elif step < len(container):
            container[step] = _HOLE
            self._appended(container)

    def finish(self) -> Item:
        for elements, appended in self._lists:
            elements[:] = [one for one in elements if one is not _HOLE]
            elements.extend(appended[index] for index in sorted(appended))
        return self.item

    def _appended(self, container: list[Any]) -> dict[int, Value]:
        for elements, appended in self._lists:
            if elements is container:
                return appended
        self._lists.append((container, {}))
        return self._lists[-1][1]

    def _container(self, path: Path) -> Any:
        """The map's dict or the list that holds the last step, made this draft's own."""
        parent: Any = self.item
        for step, next_step in pairwise(path):
            value = _child(parent, step)
            kind = "L" if type(next_step) is int else "M"
            if value is None or kind not in value:
                raise InvalidRequest(NO_SUCH_PLACE)
            content = value[kind]
            if id(content) not in self._copied:
                content = content.copy()
                self._copied.add(id(content))
                self._own.append(content)
                parent[step] = {kind: content}
            parent = content
        return parent


def _child(parent: Any, step: str | int) -> Value | None:
    if type(step) is not int:
        return parent.get(step)  # type: ignore[no-any-return]
    if step >= len(parent) or parent[step] is _HOLE:
        return None
    return parent[step]  # type: ignore[no-any-return]
