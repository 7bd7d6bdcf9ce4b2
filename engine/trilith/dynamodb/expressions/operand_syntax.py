"""Operands of a condition as written, and what the service checks of them."""

from __future__ import annotations

import base64
from typing import Any

from trilith.dynamodb.expressions.binding import Binding
from trilith.dynamodb.expressions.lexer import ExpressionError, Faults, Tokens
from trilith.dynamodb.expressions.path_parser import PathSyntax, begins_path, parse_path
from trilith.tables import paths as document_paths
from trilith.tables.expressions.operands import Attribute, Literal, Operand, Size
from trilith.tables.values import type_of

# The order in which the service reports what is wrong with the text of a condition.
PARENTHESES, UNKNOWN_FUNCTION, MISUSED_FUNCTION, RESERVED = range(4)

FUNCTION_OPERANDS = {
    "attribute_exists": 1,
    "attribute_not_exists": 1,
    "attribute_type": 2,
    "begins_with": 2,
    "contains": 2,
    "size": 1,
}
UPDATE_FUNCTIONS = frozenset({"if_not_exists", "list_append"})


class ValueSyntax:
    """`:value`."""

    __slots__ = ("placeholder",)

    def __init__(self, placeholder: str) -> None:
        self.placeholder = placeholder

    def bind(self, binding: Binding) -> Literal:
        return Literal(binding.value(self.placeholder))


class CallSyntax:
    """`function(operands)`: an operand when it is `size`, else a condition."""

    __slots__ = ("function", "operands")

    def __init__(self, function: str, operands: list[OperandSyntax]) -> None:
        self.function = function
        self.operands = operands

    def bind(self, binding: Binding) -> Size:
        """As an operand. Only `size` comes here: the parser refuses the others."""
        arguments = [operand.bind(binding) for operand in self.operands]
        require_operand_count(self)
        argument = arguments[0]
        assert not isinstance(argument, Size)
        kind = known_type(argument)
        if kind in {"N", "BOOL", "NULL"}:
            raise wrong_type("size", kind)
        return Size(argument)


OperandSyntax = PathSyntax | ValueSyntax | CallSyntax


def require_operand_count(call: CallSyntax) -> None:
    if len(call.operands) != FUNCTION_OPERANDS[call.function]:
        raise ExpressionError(
            "Incorrect number of operands for operator or function; "
            f"operator or function: {call.function}, number of operands: {len(call.operands)}"
        )


def known_type(operand: Operand) -> str | None:
    """The type that an operand has for every item, if that is known."""
    if isinstance(operand, Literal):
        return type_of(operand.value)
    return "N" if isinstance(operand, Size) else None


def wrong_type(operation: str, kind: str) -> ExpressionError:
    return ExpressionError(
        "Incorrect operand type for operator or function; "
        f"operator or function: {operation}, operand type: {kind}"
    )


def require_distinct_operands(operation: str, operands: list[Operand]) -> None:
    """A path may not be compared with itself."""
    first = operands[0]
    if isinstance(first, Attribute) and first in operands[1:]:
        raise ExpressionError(
            "The first operand must be distinct from the remaining operands for this operator or "
            f"function; operator: {operation}, first operand: {document_paths.show(first.path)}"
        )


def show_value(literal: Literal) -> str:
    """A value as the service's messages show it: `AttributeValue: {N:5}`."""
    content: Any
    for kind, content in literal.value.items():
        shown = base64.b64encode(content).decode() if type(content) is bytes else content
        return f"AttributeValue: {{{kind}:{shown}}}"
    return "AttributeValue: {}"


def begins_operand(tokens: Tokens) -> bool:
    return tokens.next.kind == "value" or begins_path(tokens)


def parse_operand(tokens: Tokens, faults: Faults) -> OperandSyntax:
    """An operand, perhaps in parentheses."""
    opened = 0
    while tokens.take_if("("):
        opened += 1
    operand = _parse_bare(tokens, faults)
    for _ in range(opened):
        tokens.expect(")")
    if opened > 1:
        faults.note(PARENTHESES, "The expression has redundant parentheses;")
    return operand


def _parse_bare(tokens: Tokens, faults: Faults) -> OperandSyntax:
    if tokens.next.kind == "value":
        return ValueSyntax(tokens.take().text)
    after = tokens.after_next()
    if tokens.next.kind == "word" and after.kind == "symbol" and after.text == "(":
        return _parse_call(tokens, faults)
    return parse_path(tokens, faults, RESERVED)


def _parse_call(tokens: Tokens, faults: Faults) -> CallSyntax:
    function = tokens.take().text
    tokens.count_operator()
    if function in UPDATE_FUNCTIONS:
        faults.note(
            UNKNOWN_FUNCTION,
            f"The function is not allowed in a condition expression; function: {function}",
        )
    elif function not in FUNCTION_OPERANDS:
        faults.note(UNKNOWN_FUNCTION, f"Invalid function name; function: {function}")
    operands = parse_arguments(tokens, faults)
    note_misuse(operands, faults)
    if function == "size":
        # Sizes of sizes have no meaning either.
        for operand in operands:
            if isinstance(operand, CallSyntax):
                faults.note(MISUSED_FUNCTION, misuse(operand.function))
    return CallSyntax(function, operands)


def parse_arguments(tokens: Tokens, faults: Faults) -> list[OperandSyntax]:
    """`(operand, ...)`."""
    tokens.expect("(")
    tokens.open_call()
    operands = [parse_operand(tokens, faults)]
    while tokens.take_if(","):
        operands.append(parse_operand(tokens, faults))
    tokens.expect(")")
    tokens.close_call()
    return operands


def note_misuse(operands: list[OperandSyntax], faults: Faults) -> None:
    """Only `size` is an operand; the other functions are conditions."""
    for operand in operands:
        if isinstance(operand, CallSyntax) and operand.function != "size":
            faults.note(MISUSED_FUNCTION, misuse(operand.function))


def misuse(function: str) -> str:
    return f"The function is not allowed to be used this way in an expression; function: {function}"
