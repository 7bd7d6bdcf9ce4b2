"""Conditions as written; `bind` checks them as the service does and makes the model's of them."""

from __future__ import annotations

from collections.abc import Callable

from trilith.dynamodb.expressions.binding import Binding
from trilith.dynamodb.expressions.lexer import ExpressionError
from trilith.dynamodb.expressions.operand_syntax import (
    CallSyntax,
    OperandSyntax,
    known_type,
    require_distinct_operands,
    require_operand_count,
    show_value,
    wrong_type,
)
from trilith.tables import values
from trilith.tables.expressions import conditions as model
from trilith.tables.expressions.operands import Attribute, Literal, Operand

IN_OPERANDS_MAX = 100
_TYPE_NAMES = "{B,NULL,SS,BOOL,L,BS,N,NS,S,M}"
_ORDERED_TYPES = frozenset({"S", "N", "B"})


class ComparisonSyntax:
    """`left operator right`."""

    __slots__ = ("left", "operator", "right")

    def __init__(self, operator: str, left: OperandSyntax, right: OperandSyntax) -> None:
        self.operator = operator
        self.left = left
        self.right = right

    def bind(self, binding: Binding) -> model.Condition:
        operator = self.operator
        left, right = self.left.bind(binding), self.right.bind(binding)
        if type(left) is type(right):
            require_distinct_operands(operator, [left, right])
        if operator == "=":
            return model.Equals(left, right)
        if operator == "<>":
            return model.Differs(left, right)
        for operand in (left, right):
            kind = known_type(operand)
            if kind is not None and kind not in _ORDERED_TYPES:
                raise wrong_type(operator, kind)
        if operator[0] == ">":
            left, right = right, left
        return model.Ordered(left, right, len(operator) == 2)


class BetweenSyntax:
    """`operand BETWEEN low AND high`."""

    __slots__ = ("high", "low", "operand")

    def __init__(self, operand: OperandSyntax, low: OperandSyntax, high: OperandSyntax) -> None:
        self.operand = operand
        self.low = low
        self.high = high

    def bind(self, binding: Binding) -> model.Condition:
        operand = self.operand.bind(binding)
        low, high = self.low.bind(binding), self.high.bind(binding)
        for one in (operand, low, high):
            kind = known_type(one)
            if kind is not None and kind not in _ORDERED_TYPES:
                raise wrong_type("BETWEEN", kind)
        if isinstance(low, Literal) and isinstance(high, Literal):
            _require_bounds(low, high)
        return model.Between(operand, low, high)


def _require_bounds(low: Literal, high: Literal) -> None:
    order = values.compare(low.value, high.value)
    if order is not None and order <= 0:
        return
    rule = (
        "same data type for lower and upper bounds"
        if order is None
        else "upper bound to be greater than or equal to lower bound"
    )
    raise ExpressionError(
        f"The BETWEEN operator requires {rule}; "
        f"lower bound operand: {show_value(low)}, upper bound operand: {show_value(high)}"
    )


class InSyntax:
    """`operand IN (choices)`."""

    __slots__ = ("choices", "operand")

    def __init__(self, operand: OperandSyntax, choices: list[OperandSyntax]) -> None:
        self.operand = operand
        self.choices = choices

    def bind(self, binding: Binding) -> model.Condition:
        if len(self.choices) > IN_OPERANDS_MAX:
            raise ExpressionError(
                "The IN operator is provided with too many operands; "
                f"number of operands: {len(self.choices)}"
            )
        operand = self.operand.bind(binding)
        choices = [choice.bind(binding) for choice in self.choices]
        return model.OneOf(operand, tuple(choices))


class FunctionSyntax:
    """A function that is a condition."""

    __slots__ = ("call",)

    def __init__(self, call: CallSyntax) -> None:
        self.call = call

    def bind(self, binding: Binding) -> model.Condition:
        call = self.call
        operands = [operand.bind(binding) for operand in call.operands]
        require_operand_count(call)
        require_distinct_operands(call.function, operands)
        return _FUNCTIONS[call.function](*operands)


def _path_of(function: str, operand: Operand) -> Attribute:
    if not isinstance(operand, Attribute):
        raise ExpressionError(
            f"Operator or function requires a document path; operator or function: {function}"
        )
    return operand


def _attribute_exists(operand: Operand) -> model.Condition:
    return model.Exists(_path_of("attribute_exists", operand).path)


def _attribute_not_exists(operand: Operand) -> model.Condition:
    return model.Missing(_path_of("attribute_not_exists", operand).path)


def _attribute_type(operand: Operand, type_name: Operand) -> model.Condition:
    kind = known_type(type_name)
    if kind != "S" or not isinstance(type_name, Literal):
        raise wrong_type("attribute_type", kind or "{NS,SS,L,BS,N,M,B,BOOL,NULL,S}")
    name = type_name.value["S"]
    if name not in values.ALL_TYPES:
        raise ExpressionError(
            f"Invalid attribute type name found; type: {name}, valid types: {_TYPE_NAMES}"
        )
    return model.HasType(operand, name)


def _begins_with(operand: Operand, prefix: Operand) -> model.Condition:
    for one in (operand, prefix):
        kind = known_type(one)
        if kind is not None and kind not in {"S", "B"}:
            raise wrong_type("begins_with", kind)
    return model.BeginsWith(operand, prefix)


def _contains(operand: Operand, sought: Operand) -> model.Condition:
    return model.Contains(operand, sought)


_FUNCTIONS: dict[str, Callable[..., model.Condition]] = {
    "attribute_exists": _attribute_exists,
    "attribute_not_exists": _attribute_not_exists,
    "attribute_type": _attribute_type,
    "begins_with": _begins_with,
    "contains": _contains,
}


class NotSyntax:
    """`NOT condition`."""

    __slots__ = ("condition",)

    def __init__(self, condition: ConditionSyntax) -> None:
        self.condition = condition

    def bind(self, binding: Binding) -> model.Condition:
        return model.Not(self.condition.bind(binding))


class ChainSyntax:
    """Conditions joined by AND, or by OR."""

    __slots__ = ("conditions", "is_and")

    def __init__(self, is_and: bool, conditions: list[ConditionSyntax]) -> None:
        self.is_and = is_and
        self.conditions = conditions

    def bind(self, binding: Binding) -> model.Condition:
        bound = tuple([condition.bind(binding) for condition in self.conditions])
        return model.AllOf(bound) if self.is_and else model.AnyOf(bound)


ConditionSyntax = (
    ComparisonSyntax | BetweenSyntax | InSyntax | FunctionSyntax | NotSyntax | ChainSyntax
)
