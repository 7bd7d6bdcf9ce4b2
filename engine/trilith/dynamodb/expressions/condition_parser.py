"""ConditionExpression, FilterExpression and KeyConditionExpression.

    condition = condition OR condition | condition AND condition | NOT condition | ( condition )
              | operand comparator operand | operand BETWEEN operand AND operand
              | operand IN ( operand, ... ) | function

NOT binds strongest, then AND, then OR. The parser keeps its own stack, so that no text can exhaust
the interpreter's.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from trilith.dynamodb.expressions import condition_syntax as syntax
from trilith.dynamodb.expressions.condition_syntax import ConditionSyntax
from trilith.dynamodb.expressions.lexer import OPERATORS_MAX, ExpressionError, Faults, Tokens
from trilith.dynamodb.expressions.operand_syntax import (
    MISUSED_FUNCTION,
    PARENTHESES,
    CallSyntax,
    OperandSyntax,
    begins_operand,
    misuse,
    note_misuse,
    parse_arguments,
    parse_operand,
)

_COMPARATORS = frozenset({"=", "<>", "<", "<=", ">", ">="})


@dataclass(slots=True)
class _Level:
    """What is between one pair of parentheses: alternatives of OR, each a chain of AND."""

    alternatives: list[list[ConditionSyntax]] = field(default_factory=lambda: [[]])
    negations: int = 0  # NOTs in front of the condition that comes next
    outer_negations: int = 0  # those in front of the parenthesis
    is_one_group: bool = False  # it holds nothing but another pair of parentheses

    def add(self, condition: ConditionSyntax, *, is_group: bool) -> None:
        first = len(self.alternatives) == 1 and not self.alternatives[0]
        self.is_one_group = is_group and first and not self.negations
        for _ in range(self.negations):
            condition = syntax.NotSyntax(condition)
        self.negations = 0
        self.alternatives[-1].append(condition)

    def whole(self) -> ConditionSyntax:
        joined = [
            chain[0] if len(chain) == 1 else syntax.ChainSyntax(True, chain)
            for chain in self.alternatives
        ]
        return joined[0] if len(joined) == 1 else syntax.ChainSyntax(False, joined)


def parse_condition(text: str) -> ConditionSyntax:
    """Raises ExpressionError."""
    tokens, faults = Tokens(text), Faults()
    levels = [_Level()]
    while True:
        _open_groups(tokens, levels)
        levels[-1].add(_parse_simple(tokens, faults), is_group=False)
        _close_groups(tokens, faults, levels)
        level = levels[-1]
        if tokens.take_keyword("OR"):
            level.alternatives.append([])
        elif not tokens.take_keyword("AND"):
            break
        level.is_one_group = False
        tokens.count_operator()
    if len(levels) > 1:
        raise tokens.unexpected()
    tokens.expect_end()
    faults.raise_first()
    return levels[0].whole()


def _open_groups(tokens: Tokens, levels: list[_Level]) -> None:
    """NOTs and opening parentheses, but for those around an operand."""
    while True:
        if tokens.is_keyword("NOT"):
            tokens.take()
            tokens.count_operator()
            levels[-1].negations += 1
        elif not _is_operand_ahead(tokens) and tokens.take_if("("):
            levels.append(_Level())
        else:
            break
        if max(len(levels), tokens.operators) > OPERATORS_MAX:
            raise ExpressionError(
                f"The expression contains too many operators; operator count: {tokens.operators}"
            )


def _close_groups(tokens: Tokens, faults: Faults, levels: list[_Level]) -> None:
    while len(levels) > 1 and tokens.take_if(")"):
        level = levels.pop()
        if level.is_one_group:
            faults.note(PARENTHESES, "The expression has redundant parentheses;")
        levels[-1].add(level.whole(), is_group=True)


def _is_operand_ahead(tokens: Tokens) -> bool:
    """Whether what follows `((...` is an operand in parentheses, not a condition in them."""
    start, counted = tokens.position, tokens.operators
    opened = 0
    # More than may be open are refused anyway; each of them looks ahead over all behind it.
    while opened <= OPERATORS_MAX and tokens.take_if("("):
        opened += 1
    found = False
    if opened and begins_operand(tokens):
        try:
            parse_operand(tokens, Faults())
            # `(f(a))` is a condition in parentheses unless a comparison follows them.
            closed = 0
            while closed < opened and tokens.take_if(")"):
                closed += 1
            found = closed == opened and _continues(tokens)
        except ExpressionError:
            found = False
    tokens.position, tokens.operators = start, counted
    return found


def _continues(tokens: Tokens) -> bool:
    """Whether a comparison goes on here."""
    token = tokens.next
    return (
        (token.kind == "symbol" and token.text in _COMPARATORS)
        or tokens.is_keyword("BETWEEN")
        or tokens.is_keyword("IN")
    )


def _parse_simple(tokens: Tokens, faults: Faults) -> ConditionSyntax:
    left = parse_operand(tokens, faults)
    if not _continues(tokens):
        return _function(left, tokens, faults)
    tokens.count_operator()
    word = tokens.take().text
    if word in _COMPARATORS:
        right = parse_operand(tokens, faults)
        note_misuse([left, right], faults)
        return syntax.ComparisonSyntax(word, left, right)
    if word.upper() == "IN":
        choices = parse_arguments(tokens, faults)
        note_misuse([left, *choices], faults)
        return syntax.InSyntax(left, choices)
    low = parse_operand(tokens, faults)
    if not tokens.take_keyword("AND"):
        raise tokens.unexpected()
    high = parse_operand(tokens, faults)
    note_misuse([left, low, high], faults)
    return syntax.BetweenSyntax(left, low, high)


def _function(operand: OperandSyntax, tokens: Tokens, faults: Faults) -> ConditionSyntax:
    if not isinstance(operand, CallSyntax):
        raise tokens.unexpected()
    if operand.function == "size":
        faults.note(MISUSED_FUNCTION, misuse("size"))
    return syntax.FunctionSyntax(operand)
