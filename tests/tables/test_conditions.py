"""Conditions: what holds, against a slow reference that follows the documentation literally."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.tables.item_strategies import ITEMS, VALUES

from trilith.tables import paths
from trilith.tables.expressions import conditions as model
from trilith.tables.expressions.conditions import Condition
from trilith.tables.expressions.operands import Attribute, Literal, Operand, Size
from trilith.tables.values import Item, Value

PATHS = st.sampled_from([("a",), ("b",), ("m",), ("l",), ("m", "a"), ("l", 0), ("m", "l", 1)])
OPERANDS: st.SearchStrategy[Operand] = st.one_of(
    PATHS.map(Attribute), VALUES.map(Literal), PATHS.map(lambda path: Size(Attribute(path)))
)
SIMPLE: st.SearchStrategy[Condition] = st.one_of(
    st.builds(model.Equals, OPERANDS, OPERANDS),
    st.builds(model.Differs, OPERANDS, OPERANDS),
    st.builds(model.Ordered, OPERANDS, OPERANDS, st.booleans()),
    st.builds(model.Between, OPERANDS, OPERANDS, OPERANDS),
    st.builds(model.OneOf, OPERANDS, st.lists(OPERANDS, min_size=1, max_size=3).map(tuple)),
    st.builds(model.Exists, PATHS),
    st.builds(model.Missing, PATHS),
    st.builds(model.HasType, OPERANDS, st.sampled_from(["S", "N", "SS", "L", "BOOL"])),
    st.builds(model.BeginsWith, OPERANDS, OPERANDS),
    st.builds(model.Contains, OPERANDS, OPERANDS),
)
CONDITIONS: st.SearchStrategy[Condition] = st.recursive(
    SIMPLE,
    lambda children: st.one_of(
        children.map(model.Not),
        st.lists(children, min_size=2, max_size=3).map(lambda one: model.AllOf(tuple(one))),
        st.lists(children, min_size=2, max_size=3).map(lambda one: model.AnyOf(tuple(one))),
    ),
    max_leaves=5,
)


def plain(value: Value | None) -> Any:
    """A value that Python compares as DynamoDB does: a type and a comparable content."""
    if value is None:
        return None
    ((kind, content),) = value.items()
    if kind == "N":
        return kind, Decimal(content)
    if kind == "S":
        return kind, content.encode()
    if kind == "NS":
        return kind, frozenset(map(Decimal, content))
    if kind == "SS":
        return kind, frozenset(member.encode() for member in content)
    if kind == "BS":
        return kind, frozenset(content)
    if kind == "L":
        return kind, [plain(element) for element in content]
    if kind == "M":
        return kind, {name: plain(entry) for name, entry in content.items()}
    return kind, content


def reference_operand(operand: Operand, item: Item) -> Any:
    if isinstance(operand, Literal):
        return plain(operand.value)
    if isinstance(operand, Attribute):
        return plain(paths.find(operand.path, item))
    inner = operand.operand
    value = inner.value if isinstance(inner, Literal) else paths.find(inner.path, item)
    if value is None or next(iter(value)) in {"N", "BOOL", "NULL"}:
        return None
    return "N", Decimal(len(next(iter(value.values()))))


def reference_order(left: Any, right: Any) -> int | None:
    if left is None or right is None or left[0] != right[0] or left[0] not in {"S", "N", "B"}:
        return None
    return (left[1] > right[1]) - (left[1] < right[1])


def reference_contains(value: Any, sought: Any) -> bool:
    if value is None or sought is None:
        return False
    kind, content = value
    if kind in {"S", "B"}:
        return sought[0] == kind and sought[1] in content
    if kind in {"SS", "NS", "BS"}:
        return sought[0] == kind[0] and sought[1] in content
    return kind == "L" and sought in content


def reference(condition: Condition, item: Item) -> bool:
    def value(operand: Operand) -> Any:
        return reference_operand(operand, item)

    match condition:
        case model.Equals(left, right):
            return value(left) is not None and value(left) == value(right)
        case model.Differs(left, right):
            return value(left) is None or value(left) != value(right)
        case model.Ordered(left, right, or_equal):
            order = reference_order(value(left), value(right))
            return order in ({-1, 0} if or_equal else {-1})
        case model.Between(operand, low, high):
            return reference_order(value(low), value(operand)) in {-1, 0} and reference_order(
                value(operand), value(high)
            ) in {-1, 0}
        case model.OneOf(operand, choices):
            return value(operand) is not None and value(operand) in list(map(value, choices))
        case model.Exists(path):
            return value(Attribute(path)) is not None
        case model.Missing(path):
            return value(Attribute(path)) is None
        case model.HasType(operand, type_name):
            return value(operand) is not None and value(operand)[0] == type_name
        case model.BeginsWith(operand, prefix):
            one, other = value(operand), value(prefix)
            return (
                one is not None
                and other is not None
                and one[0] == other[0]
                and one[0] in {"S", "B"}
                and one[1].startswith(other[1])
            )
        case model.Contains(operand, sought):
            return reference_contains(value(operand), value(sought))
        case model.Not(inner):
            return not reference(inner, item)
        case model.AllOf(several):
            return all(reference(one, item) for one in several)
        case model.AnyOf(several):
            return any(reference(one, item) for one in several)
    raise AssertionError(condition)


class Bound(msgspec.Struct):
    condition: Condition


@given(CONDITIONS, ITEMS)
def test_a_condition_holds_when_the_reference_says_so(condition: Condition, item: Item) -> None:
    assert condition.holds(item) == reference(condition, item)


@given(CONDITIONS)
def test_a_condition_travels_to_the_leader_unchanged(condition: Condition) -> None:
    sent = msgspec.msgpack.encode(Bound(condition))
    assert msgspec.msgpack.decode(sent, type=Bound).condition == condition


@pytest.mark.parametrize("value", [{"N": "1"}, {"S": "x"}, {"NULL": True}])
def test_a_missing_attribute_differs_from_every_value(value: Value) -> None:
    assert model.Differs(Attribute(("a",)), Literal(value)).holds({})
    assert not model.Equals(Attribute(("a",)), Literal(value)).holds({})


def test_a_size_is_in_characters_bytes_or_members() -> None:
    item: Item = {
        "s": {"S": "é€"},
        "b": {"B": b"123"},
        "l": {"L": [{"S": "a"}]},
        "m": {"M": {}},
        "n": {"N": "12"},
    }
    sizes = {name: Size(Attribute((name,))).of(item) for name in [*item, "missing"]}
    assert sizes == {
        "s": {"N": "2"},
        "b": {"N": "3"},
        "l": {"N": "1"},
        "m": {"N": "0"},
        "n": None,
        "missing": None,
    }
