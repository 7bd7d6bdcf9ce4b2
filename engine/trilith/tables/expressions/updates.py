"""Updates: what UpdateItem does to an item.

All values are computed from the item as it was; then the actions change a draft of it.
Errors are InvalidRequest in AWS's words, and nothing is changed.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from trilith.errors import InvalidRequest
from trilith.tables import numbers, values
from trilith.tables import paths as document_paths
from trilith.tables.expressions.drafts import Draft
from trilith.tables.expressions.operands import Attribute, Literal
from trilith.tables.expressions.projections import projection_of
from trilith.tables.paths import Path
from trilith.tables.sizes import ITEM_BYTES_MAX, item_size
from trilith.tables.values import Item, Value

WRONG_TYPE = "An operand in the update expression has an incorrect data type"
LEGACY_WRONG_TYPE = "Type mismatch for attribute to update"
NO_SUCH_ATTRIBUTE = "The provided expression refers to an attribute that does not exist in the item"
TOO_LARGE = "Item size to update has exceeded the maximum allowed size"


class IfNotExists(Struct, frozen=True, array_like=True, tag="if"):
    path: Path
    otherwise: Expression

    def of(self, item: Item) -> Value | None:
        value = document_paths.find(self.path, item)
        return self.otherwise.of(item) if value is None else value


class ListAppend(Struct, frozen=True, array_like=True, tag="append"):
    first: Expression
    second: Expression

    def of(self, item: Item) -> Value | None:
        first = _content_of("L", self.first, item)
        return {"L": first + _content_of("L", self.second, item)}


class Sum(Struct, frozen=True, array_like=True, tag="+"):
    """`left + right`, or `left - right` when `negative`."""

    left: Expression
    right: Expression
    negative: bool

    def of(self, item: Item) -> Value | None:
        left = _content_of("N", self.left, item)
        combine = numbers.subtract if self.negative else numbers.add
        return {"N": combine(left, _content_of("N", self.right, item))}


Expression = Literal | Attribute | IfNotExists | ListAppend | Sum


def _value_of(expression: Expression, item: Item) -> Value:
    value = expression.of(item)
    if value is None:
        raise InvalidRequest(NO_SUCH_ATTRIBUTE)
    return value


def _content_of(kind: str, expression: Expression, item: Item) -> Any:
    value = _value_of(expression, item)
    if kind not in value:
        raise InvalidRequest(WRONG_TYPE)
    return value[kind]


class Set(Struct, frozen=True, array_like=True, tag="set"):
    path: Path
    expression: Expression


class Remove(Struct, frozen=True, array_like=True, tag="remove"):
    path: Path


class Add(Struct, frozen=True, array_like=True, tag="add"):
    """Add to a number, or to a set (or, in legacy updates, to a list). A missing one is created."""

    path: Path
    value: Value


class Delete(Struct, frozen=True, array_like=True, tag="delete"):
    """Take members out of a set; a set that loses its last one goes."""

    path: Path
    value: Value


Action = Set | Remove | Add | Delete


_CREATING = frozenset({Set, Add})


class Update(Struct, frozen=True, array_like=True):
    """All actions of an UpdateItem; `legacy` words type errors as AttributeUpdates does."""

    actions: tuple[Action, ...] = ()
    legacy: bool = False

    @property
    def creates(self) -> bool:
        """Whether it makes an item that was missing: not when it only takes things away."""
        return not self.actions or any(type(one) in _CREATING for one in self.actions)

    def paths(self) -> tuple[Path, ...]:
        return tuple(action.path for action in self.actions)

    def apply(self, item: Item | None, key: Item) -> Item | None:
        """The item after the update; `key` holds the key attributes of one that was missing.

        None when the item was missing and stays so: of nothing, nothing can be taken away, at
        whatever path. Raises InvalidRequest.
        """
        if item is None and not self.creates:
            return None
        old = key if item is None else item
        actions = self.actions
        # Two passes: no action may see what another one did.
        values_set = [self._value_to_set(one, old) for one in actions if type(one) is Set]
        draft = Draft(old)
        self._change(draft, old, values_set)
        return draft.finish()

    def _change(self, draft: Draft, old: Item, values_set: list[Value]) -> None:
        """`values_set`: of the Set actions, in order."""
        given = iter(values_set)
        for action in self.actions:
            kind = type(action)
            if kind is Set:
                draft.put(action.path, next(given))
            elif kind is Remove:
                draft.remove(action.path)
            else:
                self._combine(draft, old, action)  # type: ignore[arg-type]  # one of the two left

    def _value_to_set(self, action: Set, old: Item) -> Value:
        value = _value_of(action.expression, old)
        if "M" in value or "L" in value:
            levels = values.NESTING_LEVELS_MAX - len(action.path) + 1
            if values.is_nested_too_deep(value, levels):
                raise InvalidRequest(values.NESTED_TOO_DEEP)
        return value

    def _combine(self, draft: Draft, old: Item, action: Add | Delete) -> None:
        current = document_paths.find(action.path, old)
        operation = _added if isinstance(action, Add) else _without
        if current is not None and values.type_of(current) != values.type_of(action.value):
            raise InvalidRequest(LEGACY_WRONG_TYPE if self.legacy else WRONG_TYPE)
        changed = operation(current, action.value)
        if changed is None:
            draft.remove(action.path)
        else:
            draft.put(action.path, changed)

    def touched(self, item: Item | None) -> Item:
        """What UPDATED_OLD and UPDATED_NEW show of an item: the leaves that were acted on."""
        return {} if item is None else projection_of(self.paths()).of(item)


def _added(current: Value | None, value: Value) -> Value | None:
    if current is None:
        return value
    content: Any
    for kind, content in value.items():
        if kind == "N":
            return {"N": numbers.add(current["N"], content)}
        if kind == "L":
            return {"L": current["L"] + content}
        return values.make_set(kind, {*current[kind], *content})
    return current


def _without(current: Value | None, value: Value) -> Value | None:
    if current is None:
        return None
    for kind, content in value.items():
        gone = frozenset(content)
        left = [member for member in current[kind] if member not in gone]
        return {kind: left} if left else None
    return current


def require_size_after_update(item: Item) -> None:
    """InvalidRequest when an updated item is larger than items may be."""
    if item_size(item) > ITEM_BYTES_MAX:
        raise InvalidRequest(TOO_LARGE)
