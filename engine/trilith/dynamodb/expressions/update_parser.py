"""UpdateExpression: SET, REMOVE, ADD and DELETE sections, each at most once."""

from __future__ import annotations

from collections.abc import Callable

from trilith.dynamodb.expressions.lexer import Faults, Tokens
from trilith.dynamodb.expressions.operand_syntax import FUNCTION_OPERANDS as CONDITION_FUNCTIONS
from trilith.dynamodb.expressions.operand_syntax import ValueSyntax
from trilith.dynamodb.expressions.path_parser import parse_path
from trilith.dynamodb.expressions.update_syntax import (
    FUNCTION_OPERANDS,
    ActionSyntax,
    AddSyntax,
    CallSyntax,
    DeleteSyntax,
    ExpressionSyntax,
    RemoveSyntax,
    SetSyntax,
    SumSyntax,
    UpdateSyntax,
)

# The order in which the service reports what is wrong with the text of an update.
_RESERVED, _UNKNOWN_FUNCTION, _SECTION_TWICE = range(3)


def parse_update(text: str) -> UpdateSyntax:
    """Raises ExpressionError."""
    tokens, faults = Tokens(text), Faults()
    actions: list[ActionSyntax] = []
    seen: set[str] = set()
    while True:
        section = tokens.next.text.upper()
        parse = _SECTIONS.get(section) if tokens.next.kind == "word" else None
        if parse is None:
            raise tokens.unexpected()
        tokens.take()
        if section in seen:
            faults.note(
                _SECTION_TWICE,
                f'The "{section}" section can only be used once in an update expression;',
            )
        seen.add(section)
        actions.append(parse(tokens, faults))
        while tokens.take_if(","):
            actions.append(parse(tokens, faults))
        if tokens.next.kind == "end":
            break
    tokens.expect_end()
    faults.raise_first()
    return UpdateSyntax(actions)


def _parse_set(tokens: Tokens, faults: Faults) -> ActionSyntax:
    path = parse_path(tokens, faults, _RESERVED)
    tokens.expect("=")
    tokens.count_operator()
    return SetSyntax(path, _parse_expression(tokens, faults))


def _parse_remove(tokens: Tokens, faults: Faults) -> ActionSyntax:
    return RemoveSyntax(parse_path(tokens, faults, _RESERVED))


def _parse_add(tokens: Tokens, faults: Faults) -> ActionSyntax:
    return AddSyntax(parse_path(tokens, faults, _RESERVED), _parse_value(tokens))


def _parse_delete(tokens: Tokens, faults: Faults) -> ActionSyntax:
    return DeleteSyntax(parse_path(tokens, faults, _RESERVED), _parse_value(tokens))


_SECTIONS: dict[str, Callable[[Tokens, Faults], ActionSyntax]] = {
    "SET": _parse_set,
    "REMOVE": _parse_remove,
    "ADD": _parse_add,
    "DELETE": _parse_delete,
}


def _parse_value(tokens: Tokens) -> ValueSyntax:
    if tokens.next.kind != "value":
        raise tokens.unexpected()
    return ValueSyntax(tokens.take().text)


def _parse_expression(tokens: Tokens, faults: Faults) -> ExpressionSyntax:
    """One operand, or a sum or difference of two; perhaps in parentheses."""
    left = _parse_operand(tokens, faults)
    for operator in ("+", "-"):
        if tokens.take_if(operator):
            tokens.count_operator()
            return SumSyntax(operator, left, _parse_operand(tokens, faults))
    return left


def _parse_operand(tokens: Tokens, faults: Faults) -> ExpressionSyntax:
    if tokens.take_if("("):
        tokens.open_call()
        inner = _parse_expression(tokens, faults)
        tokens.expect(")")
        tokens.close_call()
        return inner
    if tokens.next.kind == "value":
        return _parse_value(tokens)
    after = tokens.after_next()
    if tokens.next.kind == "word" and after.kind == "symbol" and after.text == "(":
        return _parse_call(tokens, faults)
    return parse_path(tokens, faults, _RESERVED)


def _parse_call(tokens: Tokens, faults: Faults) -> ExpressionSyntax:
    function = tokens.take().text
    tokens.count_operator()
    if function in CONDITION_FUNCTIONS:
        faults.note(
            _UNKNOWN_FUNCTION,
            f"The function is not allowed in an update expression; function: {function}",
        )
    elif function not in FUNCTION_OPERANDS:
        faults.note(_UNKNOWN_FUNCTION, f"Invalid function name; function: {function}")
    tokens.expect("(")
    tokens.open_call()
    operands = [_parse_operand(tokens, faults)]
    while tokens.take_if(","):
        operands.append(_parse_operand(tokens, faults))
    tokens.expect(")")
    tokens.close_call()
    return CallSyntax(function, operands)
