"""Document paths in the text of an expression."""

from __future__ import annotations

from trilith.dynamodb.expressions.binding import Binding, require_depth
from trilith.dynamodb.expressions.lexer import ExpressionError, Faults, Tokens
from trilith.dynamodb.expressions.reserved_words import is_reserved
from trilith.tables.expressions.operands import Attribute
from trilith.tables.paths import Path

_LIST_INDEX_MAX = 2**31 - 1


class PathSyntax:
    """A path as written: its steps are names, `#placeholders` and indexes."""

    __slots__ = ("bound", "steps")

    def __init__(self, steps: Path) -> None:
        self.steps = steps
        needs_names = any(type(step) is str and step[0] == "#" for step in steps)
        # Without placeholders every request can share one node.
        self.bound = None if needs_names else Attribute(steps)

    def path(self, binding: Binding) -> Path:
        return self.steps if self.bound is not None else binding.path(self.steps)

    def bind(self, binding: Binding) -> Attribute:
        return Attribute(binding.path(self.steps)) if self.bound is None else self.bound


def begins_path(tokens: Tokens) -> bool:
    return tokens.next.kind in {"word", "name"}


def parse_path(tokens: Tokens, faults: Faults, reserved_rank: int) -> PathSyntax:
    """A path; a reserved word in it is a fault of the given rank."""
    steps = [_name(tokens, faults, reserved_rank)]
    while True:
        if tokens.take_if("."):
            steps.append(_name(tokens, faults, reserved_rank))
        elif tokens.take_if("["):
            if tokens.next.kind != "digits":
                raise tokens.unexpected()
            steps.append(_index(tokens.take().text))
            tokens.expect("]")
        else:
            require_depth(tuple(steps))
            return PathSyntax(tuple(steps))


def _name(tokens: Tokens, faults: Faults, reserved_rank: int) -> str | int:
    token = tokens.next
    if token.kind not in {"word", "name"}:
        raise tokens.unexpected()
    tokens.take()
    if token.kind == "word" and is_reserved(token.text):
        faults.note(
            reserved_rank,
            f"Attribute name is a reserved keyword; reserved keyword: {token.text}",
        )
    return token.text


def _index(digits: str) -> int:
    index = int(digits) if len(digits) <= 10 else _LIST_INDEX_MAX + 1
    if index > _LIST_INDEX_MAX:
        raise ExpressionError(f"List index is not within the allowable range; index: [{digits}]")
    return index
