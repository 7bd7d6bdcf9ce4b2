"""KeyConditionExpression: what a condition must be to select keys."""

from __future__ import annotations

from trilith.dynamodb.errors import validation
from trilith.tables.expressions import conditions as model
from trilith.tables.expressions.key_conditions import KeyTerm, KeyTerms
from trilith.tables.expressions.operands import Attribute, Literal, Operand, Size

_INVALID = "Invalid condition in KeyConditionExpression: "
_NESTED_OPERATION = "KeyConditionExpressions cannot contain nested operations"
_NESTED_ATTRIBUTE = "KeyConditionExpressions cannot have conditions on nested attributes"
_ONE_PER_KEY = "KeyConditionExpressions must only contain one condition per key"
_SEVERAL_NAMES = _INVALID + "Multiple attribute names used in one condition"
_NO_NAME = _INVALID + "No key attribute specified"

_REFUSED = {
    model.AnyOf: "OR",
    model.Not: "NOT",
    model.OneOf: "IN",
    model.Differs: "<>",
    model.Exists: "attribute_exists",
    model.Missing: "attribute_not_exists",
    model.HasType: "attribute_type",
    model.Contains: "contains",
}


def key_terms(condition: model.Condition) -> KeyTerms:
    """A condition as terms by key attribute. Raises DynamoDBError (ValidationException)."""
    terms: KeyTerms = {}
    pending = [condition]
    while pending:
        one = pending.pop(0)
        if isinstance(one, model.AllOf):
            pending = [*one.conditions, *pending]
            continue
        name, term = _term(one)
        if name in terms:
            raise validation(_ONE_PER_KEY)
        terms[name] = term
    return terms


def _term(condition: model.Condition) -> tuple[str, KeyTerm]:
    refused = _REFUSED.get(type(condition))
    if refused is not None:
        raise validation(f"Invalid operator used in KeyConditionExpression: {refused}")
    if isinstance(condition, model.Between):
        operands = [condition.operand, condition.low, condition.high]
        return _with_key_first("BETWEEN", "between", operands)
    if isinstance(condition, model.BeginsWith):
        operands = [condition.operand, condition.prefix]
        return _with_key_first("begins_with", "begins_with", operands)
    assert isinstance(condition, model.Equals | model.Ordered)
    name = _name([condition.left, condition.right])
    if isinstance(condition.left, Attribute):
        operator, literal = "<", condition.right
    else:
        operator, literal = ">", condition.left
    if isinstance(condition, model.Equals):
        operator = "="
    elif condition.or_equal:
        operator += "="
    assert isinstance(literal, Literal)
    return name, KeyTerm(operator, (literal.value,))


def _with_key_first(word: str, operator: str, operands: list[Operand]) -> tuple[str, KeyTerm]:
    if not isinstance(operands[0], Attribute):
        if any(isinstance(operand, Size) for operand in operands):
            raise validation(_NESTED_OPERATION)
        raise validation(
            f"{_INVALID}{word} operator must have the key attribute as its first operand"
        )
    name = _name(operands)
    literals = [operand.value for operand in operands[1:] if isinstance(operand, Literal)]
    return name, KeyTerm(operator, tuple(literals))


def _name(operands: list[Operand]) -> str:
    """The one key attribute among the operands; all others are literals."""
    if any(isinstance(operand, Size) for operand in operands):
        raise validation(_NESTED_OPERATION)
    attributes = [operand for operand in operands if isinstance(operand, Attribute)]
    if not attributes:
        raise validation(_NO_NAME)
    if len(attributes) > 1:
        raise validation(_SEVERAL_NAMES)
    path = attributes[0].path
    if len(path) > 1:
        raise validation(_NESTED_ATTRIBUTE)
    return str(path[0])
