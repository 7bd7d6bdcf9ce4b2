"""Conditions: what must hold of an item for a write, or for it to pass a filter.

`holds(item)` never fails: operands that are missing or of different types make a comparison
false, except `<>`, which is then true. A missing item is the empty one.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from trilith.tables import paths, values
from trilith.tables.expressions.operands import Operand
from trilith.tables.paths import Path
from trilith.tables.values import Item, Value


class Equals(Struct, frozen=True, array_like=True, tag="="):
    left: Operand
    right: Operand

    def holds(self, item: Item) -> bool:
        left = self.left.of(item)
        return left is not None and left == self.right.of(item)


class Differs(Struct, frozen=True, array_like=True, tag="<>"):
    left: Operand
    right: Operand

    def holds(self, item: Item) -> bool:
        left = self.left.of(item)
        return left is None or left != self.right.of(item)


class Ordered(Struct, frozen=True, array_like=True, tag="<"):
    """`left < right`, or `left <= right` when `or_equal`; `>` and `>=` are these turned around."""

    left: Operand
    right: Operand
    or_equal: bool

    def holds(self, item: Item) -> bool:
        left, right = self.left.of(item), self.right.of(item)
        if left is None or right is None:
            return False
        order = values.compare(left, right)
        return order is not None and (order < 0 or (order == 0 and self.or_equal))


class Between(Struct, frozen=True, array_like=True, tag="between"):
    operand: Operand
    low: Operand
    high: Operand

    def holds(self, item: Item) -> bool:
        value, low, high = self.operand.of(item), self.low.of(item), self.high.of(item)
        if value is None or low is None or high is None:
            return False
        above, below = values.compare(low, value), values.compare(value, high)
        return above is not None and below is not None and above <= 0 and below <= 0


class OneOf(Struct, frozen=True, array_like=True, tag="in"):
    operand: Operand
    choices: tuple[Operand, ...]

    def holds(self, item: Item) -> bool:
        value = self.operand.of(item)
        return value is not None and any(value == choice.of(item) for choice in self.choices)


class Exists(Struct, frozen=True, array_like=True, tag="exists"):
    path: Path

    def holds(self, item: Item) -> bool:
        return paths.find(self.path, item) is not None


class Missing(Struct, frozen=True, array_like=True, tag="missing"):
    path: Path

    def holds(self, item: Item) -> bool:
        return paths.find(self.path, item) is None


class HasType(Struct, frozen=True, array_like=True, tag="type"):
    operand: Operand
    type_name: str

    def holds(self, item: Item) -> bool:
        value = self.operand.of(item)
        return value is not None and self.type_name in value


class BeginsWith(Struct, frozen=True, array_like=True, tag="begins"):
    operand: Operand
    prefix: Operand

    def holds(self, item: Item) -> bool:
        value, prefix = self.operand.of(item), self.prefix.of(item)
        if value is None or prefix is None:
            return False
        for kind in ("S", "B"):
            if kind in value and kind in prefix:
                return bool(value[kind].startswith(prefix[kind]))
        return False


class Contains(Struct, frozen=True, array_like=True, tag="contains"):
    """A substring, a member of a set, or an element of a list."""

    operand: Operand
    sought: Operand

    def holds(self, item: Item) -> bool:
        value, sought = self.operand.of(item), self.sought.of(item)
        return value is not None and sought is not None and is_contained(sought, value)


def is_contained(sought: Value, value: Value) -> bool:
    content: Any
    for kind, content in value.items():
        if kind == "L":
            return sought in content
        if kind in values.MEMBER_TYPE:
            kind = values.MEMBER_TYPE[kind]  # noqa: PLW2901  # a set is searched by its members
        elif kind not in {"S", "B"}:
            return False
        return kind in sought and sought[kind] in content
    return False


class Not(Struct, frozen=True, array_like=True, tag="not"):
    condition: Condition

    def holds(self, item: Item) -> bool:
        return not self.condition.holds(item)


class AllOf(Struct, frozen=True, array_like=True, tag="and"):
    conditions: tuple[Condition, ...]

    def holds(self, item: Item) -> bool:
        for condition in self.conditions:  # noqa: SIM110  # a generator costs twice as much
            if not condition.holds(item):
                return False
        return True


class AnyOf(Struct, frozen=True, array_like=True, tag="or"):
    conditions: tuple[Condition, ...]

    def holds(self, item: Item) -> bool:
        for condition in self.conditions:  # noqa: SIM110  # a generator costs twice as much
            if condition.holds(item):
                return True
        return False


Condition = (
    Equals
    | Differs
    | Ordered
    | Between
    | OneOf
    | Exists
    | Missing
    | HasType
    | BeginsWith
    | Contains
    | Not
    | AllOf
    | AnyOf
)
