"""The parameters from before expressions, as the same model that expressions become.

Expected, QueryFilter and ScanFilter are conditions, KeyConditions are key terms, AttributeUpdates
is an update and AttributesToGet a projection. Requests have passed validation.py. Everything raises
DynamoDBError in AWS's words.

Source: AWS, "Legacy conditional parameters".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from trilith.dynamodb.attribute_values import value_from_wire
from trilith.dynamodb.errors import DynamoDBError, validation
from trilith.tables import values
from trilith.tables.expressions import conditions as model
from trilith.tables.expressions import updates
from trilith.tables.expressions.key_conditions import (
    TERMS_OF_COMPOSITE_MAX,
    KeyTerm,
    KeyTerms,
)
from trilith.tables.expressions.operands import Attribute, Literal
from trilith.tables.expressions.projections import Projection
from trilith.tables.values import SET_TYPES, Value, type_of

_INVALID = "One or more parameter values were invalid: "
_MIXED_TYPES = _INVALID + "AttributeValues inside AttributeValueList must be of same type"
_BOUNDS_REVERSED = (
    "The BETWEEN condition was provided a range where the lower bound is greater than the upper "
    "bound"
)
NOT_INDEXABLE = "Attempted conditional constraint is not an indexable operation"

_UNLIMITED = 1 << 30
_OPERAND_COUNTS = {
    "NULL": (0, 0),
    "NOT_NULL": (0, 0),
    "EQ": (1, 1),
    "NE": (1, 1),
    "LE": (1, 1),
    "LT": (1, 1),
    "GE": (1, 1),
    "GT": (1, 1),
    "CONTAINS": (1, 1),
    "NOT_CONTAINS": (1, 1),
    "BEGINS_WITH": (1, 1),
    "IN": (1, _UNLIMITED),
    "BETWEEN": (2, 2),
}
_SCALARS = frozenset({"S", "N", "B"})
_OPERAND_TYPES = {
    "LE": _SCALARS,
    "LT": _SCALARS,
    "GE": _SCALARS,
    "GT": _SCALARS,
    "CONTAINS": _SCALARS,
    "NOT_CONTAINS": _SCALARS,
    "BEGINS_WITH": frozenset({"S", "B"}),
    "IN": _SCALARS,
    "BETWEEN": _SCALARS,
}
_KEY_OPERATORS = {
    "EQ": "=",
    "LT": "<",
    "LE": "<=",
    "GT": ">",
    "GE": ">=",
    "BETWEEN": "between",
    "BEGINS_WITH": "begins_with",
}


def expected(wire: Mapping[str, Mapping[str, Any]], operator: str | None) -> model.Condition | None:
    """`Expected`, joined by ConditionalOperator, as a condition."""
    return _joined([_expectation(name, one) for name, one in wire.items()], operator)


def condition_filter(
    wire: Mapping[str, Mapping[str, Any]], operator: str | None
) -> model.Condition | None:
    """QueryFilter or ScanFilter, joined by ConditionalOperator, as a condition."""
    checked = [
        (name, *_checked_condition(one["ComparisonOperator"], one.get("AttributeValueList")))
        for name, one in wire.items()
    ]
    return _joined([_compared(*one) for one in checked], operator)


def key_terms(wire: Mapping[str, Mapping[str, Any]]) -> KeyTerms:
    """KeyConditions as terms by key attribute."""
    checked = {
        name: _checked_condition(one["ComparisonOperator"], one.get("AttributeValueList"))
        for name, one in wire.items()
    }
    if not 1 <= len(checked) <= TERMS_OF_COMPOSITE_MAX:
        raise validation("Conditions can be of length 1 or 2 only")
    terms: KeyTerms = {}
    for name, (operator, operands) in checked.items():
        if operator not in _KEY_OPERATORS:
            raise validation(NOT_INDEXABLE)
        terms[name] = KeyTerm(_KEY_OPERATORS[operator], operands)
    return terms


def attribute_updates(wire: Mapping[str, Mapping[str, Any]]) -> updates.Update:
    """AttributeUpdates as an update."""
    actions = tuple([_action(name, one) for name, one in wire.items()])
    return updates.Update(actions, legacy=True)


def attributes_to_get(names: Sequence[str]) -> Projection:
    """AttributesToGet as a projection; validation.check_distinct_attributes goes before."""
    return Projection(tuple(names))


def require_operator_has_conditions(request: Mapping[str, Any], member: str) -> None:
    """ConditionalOperator means nothing without the member whose conditions it joins."""
    if "ConditionalOperator" not in request:
        return
    conditions = request.get(member)
    if conditions is None:
        raise validation(f"{_INVALID}ConditionalOperator cannot be used without Filter or Expected")
    if len(conditions) < 2:
        raise validation(
            f"{_INVALID}ConditionalOperator can only be used when Filter or Expected "
            "has two or more elements"
        )


def _joined(conditions: list[model.Condition], operator: str | None) -> model.Condition | None:
    if not conditions:
        return None
    if len(conditions) == 1:
        return conditions[0]
    joined = tuple(conditions)
    return model.AnyOf(joined) if operator == "OR" else model.AllOf(joined)


def _checked_condition(operator: str, wire: Any) -> tuple[str, tuple[Value, ...]]:
    """Operator and operands of a condition, in canonical form, after all checks of them."""
    operands = tuple([value_from_wire(one) for one in wire or ()])
    least, most = _OPERAND_COUNTS[operator]
    if not least <= len(operands) <= most:
        raise _wrong_count(operator)
    kinds = [type_of(operand) for operand in operands]
    if len(set(kinds)) > 1:
        raise validation(_MIXED_TYPES)
    allowed = _OPERAND_TYPES.get(operator)
    if allowed is not None and kinds and kinds[0] not in allowed:
        raise validation(
            f"{_INVALID}ComparisonOperator {operator} is not valid for {kinds[0]} "
            "AttributeValue type"
        )
    if operator == "BETWEEN":
        order = values.compare(operands[0], operands[1])
        if order is None or order > 0:
            raise validation(_BOUNDS_REVERSED)
    return operator, operands


def _wrong_count(operator: str) -> DynamoDBError:
    return validation(
        f"{_INVALID}Invalid number of argument(s) for the {operator} ComparisonOperator"
    )


def _expectation(name: str, one: Mapping[str, Any]) -> model.Condition:
    listed, value = one.get("AttributeValueList"), one.get("Value")
    operator, exists = one.get("ComparisonOperator"), one.get("Exists")
    if listed is not None and value is not None:
        raise validation(
            f"{_INVALID}Value and AttributeValueList cannot be used together for Attribute: {name}"
        )
    if operator is None:
        return _existence(name, listed, value, exists)
    if exists is not None:
        raise validation(
            f"{_INVALID}Exists and ComparisonOperator cannot be used together for Attribute: {name}"
        )
    if operator not in {"NULL", "NOT_NULL"} and listed is None and value is None:
        raise validation(
            f"{_INVALID}Value or AttributeValueList must be used with ComparisonOperator: "
            f"{operator} for Attribute: {name}"
        )
    given = listed if value is None else [value]
    return _compared(name, *_checked_condition(operator, given))


def _existence(name: str, listed: Any, value: Any, exists: bool | None) -> model.Condition:
    if listed is not None:
        raise validation(
            f"{_INVALID}AttributeValueList can only be used with a ComparisonOperator for "
            f"Attribute: {name}"
        )
    if exists is False:
        if value is not None:
            raise validation(
                f"{_INVALID}Value cannot be used when Exists is false for Attribute: {name}"
            )
        return model.Missing((name,))
    if value is None:
        shown = "null" if exists is None else "true"
        raise validation(
            f"{_INVALID}Value must be provided when Exists is {shown} for Attribute: {name}"
        )
    return model.Equals(Attribute((name,)), Literal(value_from_wire(value)))


def _compared(name: str, operator: str, operands: tuple[Value, ...]) -> model.Condition:
    path = (name,)
    if operator == "NULL":
        return model.Missing(path)
    if operator == "NOT_NULL":
        return model.Exists(path)
    attribute, literals = Attribute(path), tuple([Literal(operand) for operand in operands])
    if operator == "IN":
        return model.OneOf(attribute, literals)
    if operator == "BETWEEN":
        return model.Between(attribute, literals[0], literals[1])
    return _COMPARISONS[operator](attribute, literals[0])


_COMPARISONS: dict[str, Callable[[Attribute, Literal], model.Condition]] = {
    "EQ": model.Equals,
    "NE": model.Differs,
    "LT": lambda attribute, literal: model.Ordered(attribute, literal, False),
    "LE": lambda attribute, literal: model.Ordered(attribute, literal, True),
    "GT": lambda attribute, literal: model.Ordered(literal, attribute, False),
    "GE": lambda attribute, literal: model.Ordered(literal, attribute, True),
    "BEGINS_WITH": model.BeginsWith,
    "CONTAINS": model.Contains,
    # A missing attribute contains nothing, and passes neither of the two.
    "NOT_CONTAINS": lambda attribute, literal: model.AllOf(
        (model.Exists(attribute.path), model.Not(model.Contains(attribute, literal)))
    ),
}


def _action(name: str, one: Mapping[str, Any]) -> updates.Action:
    path, action = (name,), one.get("Action", "PUT")
    if one.get("Value") is None:
        if action != "DELETE":
            raise validation(
                f"{_INVALID}Only DELETE action is allowed when no attribute value is specified"
            )
        return updates.Remove(path)
    value = value_from_wire(one["Value"])
    kind = type_of(value)
    if action == "DELETE":
        if kind not in SET_TYPES:
            raise validation(
                f"{_INVALID}DELETE action with value is not supported for the type {kind}"
            )
        return updates.Delete(path, value)
    if action == "ADD":
        if kind not in SET_TYPES and kind not in {"N", "L"}:
            raise validation(f"{_INVALID}ADD action is not supported for the type {kind}")
        return updates.Add(path, value)
    return updates.Set(path, Literal(value))
