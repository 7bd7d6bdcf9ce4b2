"""Names and values of a request, put in the places of an expression's placeholders."""

from __future__ import annotations

from collections.abc import Mapping

from trilith.dynamodb.expressions.lexer import ExpressionError
from trilith.tables.paths import PATH_ELEMENTS_MAX, Path
from trilith.tables.values import Value


class Binding:
    """ExpressionAttributeNames and ExpressionAttributeValues, the latter canonical."""

    __slots__ = ("names", "values")

    def __init__(self, names: Mapping[str, str], values: Mapping[str, Value]) -> None:
        self.names = names
        self.values = values

    def value(self, placeholder: str) -> Value:
        try:
            return self.values[placeholder]
        except KeyError:
            raise ExpressionError(
                "An expression attribute value used in expression is not defined; "
                f"attribute value: {placeholder}"
            ) from None

    def path(self, steps: Path) -> Path:
        """A path whose steps may be names' placeholders; a real name cannot begin with `#`."""
        return tuple([self._step(step) for step in steps])

    def _step(self, step: str | int) -> str | int:
        if type(step) is int or step[0] != "#":  # type: ignore[index]
            return step
        try:
            return self.names[step]  # type: ignore[index]
        except KeyError:
            raise ExpressionError(
                "An expression attribute name used in the document path is not defined; "
                f"attribute name: {step}"
            ) from None


def require_depth(path: Path) -> None:
    if len(path) > PATH_ELEMENTS_MAX:
        raise ExpressionError(
            f"The document path has too many nesting levels; nesting levels: {len(path)}"
        )
