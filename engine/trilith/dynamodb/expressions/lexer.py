"""The tokens of an expression, and the faults that an expression can have.

`Tokens` is a cursor with one token of look-ahead. Faults of one expression have an order in which
the service reports them, whatever their places: `Faults` collects them and raises the first.
"""

from __future__ import annotations

import re
from typing import NamedTuple

EXPRESSION_BYTES_MAX = 4096
OPERATORS_MAX = 300
CALLS_NESTED_MAX = 100  # so that no text exhausts the interpreter's stack

# `bad` takes one character that begins no token.
_TOKEN = re.compile(
    r"[ \t\r\n]*(?:(?P<word>[A-Za-z][A-Za-z0-9_]*)|(?P<name>#[A-Za-z0-9_]+)"
    r"|(?P<value>:[A-Za-z0-9_]+)|(?P<digits>[0-9]+)"
    r"|(?P<symbol><>|<=|>=|[=<>()\[\],.+-])|(?P<end>$)|(?P<bad>.))",
    re.DOTALL,
)


class ExpressionError(Exception):
    """A fault of an expression, in AWS's words but for the `Invalid ...Expression: ` in front."""


class Token(NamedTuple):
    kind: str  # word, name, value, digits, symbol, end, bad
    text: str
    start: int
    end: int


def tokens_of(text: str) -> list[Token]:
    """All tokens, the last of them `end`. ExpressionError for texts that cannot be one at all."""
    if not text:
        raise ExpressionError("The expression can not be empty;")
    size = len(text) if text.isascii() else len(text.encode())
    if size > EXPRESSION_BYTES_MAX:
        raise ExpressionError(
            f"Expression size has exceeded the maximum allowed size; expression size: {size}"
        )
    tokens: list[Token] = []
    position = 0
    while True:
        match = _TOKEN.match(text, position)
        assert match is not None  # `bad` takes whatever else there is
        kind = match.lastgroup or "end"
        position = match.end()
        tokens.append(Token(kind, match[kind], match.start(kind), position))
        if kind == "end":
            return tokens


class Faults:
    """Faults by rank; the lowest is the one that the service reports."""

    def __init__(self) -> None:
        self._by_rank: dict[int, str] = {}

    def note(self, rank: int, message: str) -> None:
        """Keep a fault unless one of its rank came before."""
        self._by_rank.setdefault(rank, message)

    def raise_first(self) -> None:
        if self._by_rank:
            raise ExpressionError(self._by_rank[min(self._by_rank)])


class Tokens:
    """A cursor over an expression's tokens."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = tokens_of(text)
        self.position = 0
        self.operators = 0
        self._calls_open = 0

    @property
    def next(self) -> Token:
        return self._tokens[self.position]

    def after_next(self) -> Token:
        return self._tokens[min(self.position + 1, len(self._tokens) - 1)]

    def take(self) -> Token:
        token = self._tokens[self.position]
        self.position += 1
        return token

    def take_if(self, symbol: str) -> bool:
        """Take the next token if it is this symbol."""
        token = self._tokens[self.position]
        if token.kind == "symbol" and token.text == symbol:
            self.position += 1
            return True
        return False

    def expect(self, symbol: str) -> None:
        if not self.take_if(symbol):
            raise self.unexpected()

    def is_keyword(self, word: str) -> bool:
        token = self._tokens[self.position]
        return token.kind == "word" and token.text.upper() == word

    def take_keyword(self, word: str) -> bool:
        """Take the next token if it is this keyword; case does not matter."""
        if self.is_keyword(word):
            self.position += 1
            return True
        return False

    def count_operator(self) -> None:
        """Count one operator or function against the limit of an expression."""
        self.operators += 1

    def open_call(self) -> None:
        """Enter the operands of a function. ExpressionError when calls nest absurdly."""
        self._calls_open += 1
        if self._calls_open > CALLS_NESTED_MAX:
            raise ExpressionError("The expression contains too many nested functions;")

    def close_call(self) -> None:
        self._calls_open -= 1

    def expect_end(self) -> None:
        if self.next.kind != "end":
            raise self.unexpected()
        if self.operators > OPERATORS_MAX:
            raise ExpressionError(
                f"The expression contains too many operators; operator count: {self.operators}"
            )

    def unexpected(self) -> ExpressionError:
        """The syntax error at the next token, with its neighbours as the service shows them."""
        token = self.next
        before = self._tokens[max(0, self.position - 1)]
        after = self.after_next()
        near = self._text[before.start : after.end].strip()
        shown = "<EOF>" if token.kind == "end" else token.text
        return ExpressionError(f'Syntax error; token: "{shown}", near: "{near}"')
