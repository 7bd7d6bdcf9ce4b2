"""Attribute values inside the engine.

A value is a dictionary of one entry, from its type to its content: `{"S": "text"}`. That is the
shape DynamoDB has on the wire, so that items go to JSON and to disk in C without a walk, but the
content is always in *canonical form*, and two values are equal exactly when `==` says so:

    S     str                            BOOL  bool
    N     canonical text (numbers.py)    NULL  True
    B     bytes                          L     list of values
    SS    list of str, sorted            M     dict of values
    NS    list of canonical texts, in numeric order
    BS    list of bytes, sorted

Values are never changed in place: whoever changes an item copies the containers on the way.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from trilith.tables import numbers

Value = dict[str, Any]
Item = dict[str, Value]

SCALAR_TYPES = frozenset({"S", "N", "B"})
SET_TYPES = frozenset({"SS", "NS", "BS"})
ALL_TYPES = frozenset({"S", "N", "B", "BOOL", "NULL", "L", "M", "SS", "NS", "BS"})
MEMBER_TYPE = {"SS": "S", "NS": "N", "BS": "B"}

NESTING_LEVELS_MAX = 32  # 31 maps or lists, and the leaf
NESTED_TOO_DEEP = (
    "Nesting Levels have exceeded supported limits: "
    "Attributes in the item have nested levels beyond supported limit"
)


def type_of(value: Value) -> str:
    return next(iter(value))


def compare(left: Value, right: Value) -> int | None:
    """Negative, zero or positive for values of one ordered type (S, N, B); else None.

    S compares by UTF-8 bytes (as code points do), B by unsigned bytes, N numerically.
    """
    for kind, a in left.items():
        if kind not in SCALAR_TYPES or kind not in right:
            return None
        b = right[kind]
        if a == b:
            return 0
        if kind == "N":
            return -1 if numbers.order_of(a) < numbers.order_of(b) else 1
        return -1 if a < b else 1
    return None


def make_set(kind: str, members: Iterable[Any]) -> Value:
    """A set value in canonical order, of members that are canonical and distinct."""
    if kind == "NS":
        return {kind: sorted(members, key=numbers.order_of)}
    return {kind: sorted(members)}


def is_nested_too_deep(value: Value, levels: int = NESTING_LEVELS_MAX) -> bool:
    """Whether a value has more than `levels` levels, itself included."""
    for kind, content in value.items():
        if kind not in {"L", "M"}:
            return levels < 1
        children = content if kind == "L" else content.values()
        return levels < 1 or any(is_nested_too_deep(child, levels - 1) for child in children)
    return False
