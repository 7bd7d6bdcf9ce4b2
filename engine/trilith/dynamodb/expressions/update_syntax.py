"""Update expressions as written; `bind` checks them and makes the model's of them."""

from __future__ import annotations

from collections.abc import Sequence

from trilith.dynamodb.expressions.binding import Binding
from trilith.dynamodb.expressions.lexer import ExpressionError
from trilith.dynamodb.expressions.operand_syntax import ValueSyntax, wrong_type
from trilith.dynamodb.expressions.path_parser import PathSyntax
from trilith.dynamodb.expressions.projection_parser import require_distinct
from trilith.tables.expressions import updates as model
from trilith.tables.expressions.operands import Attribute, Literal
from trilith.tables.values import SET_TYPES, type_of

FUNCTION_OPERANDS = {"if_not_exists": 2, "list_append": 2}
_LONG_TYPE_NAMES = {
    "S": "STRING",
    "N": "NUMBER",
    "B": "BINARY",
    "NULL": "NULL",
    "BOOL": "BOOLEAN",
    "L": "LIST",
    "M": "MAP",
}


class SumSyntax:
    """`left + right` or `left - right`."""

    __slots__ = ("left", "operator", "right")

    def __init__(self, operator: str, left: ExpressionSyntax, right: ExpressionSyntax) -> None:
        self.operator = operator
        self.left = left
        self.right = right

    def bind(self, binding: Binding) -> model.Expression:
        left, right = self.left.bind(binding), self.right.bind(binding)
        _require_type("N", self.operator, left, right)
        return model.Sum(left, right, self.operator == "-")


class CallSyntax:
    """`if_not_exists(path, otherwise)` or `list_append(first, second)`."""

    __slots__ = ("function", "operands")

    def __init__(self, function: str, operands: list[ExpressionSyntax]) -> None:
        self.function = function
        self.operands = operands

    def bind(self, binding: Binding) -> model.Expression:
        operands = [operand.bind(binding) for operand in self.operands]
        if len(operands) != FUNCTION_OPERANDS[self.function]:
            raise ExpressionError(
                "Incorrect number of operands for operator or function; "
                f"operator or function: {self.function}, number of operands: {len(operands)}"
            )
        first, second = operands
        if self.function == "list_append":
            if any(isinstance(operand, model.ListAppend) for operand in operands):
                raise ExpressionError(
                    "The function is not allowed to be used this way in an expression; "
                    f"function: {self.function}"
                )
            _require_type("L", self.function, first, second)
            return model.ListAppend(first, second)
        if not isinstance(first, Attribute):
            raise ExpressionError(
                "Operator or function requires a document path; "
                f"operator or function: {self.function}"
            )
        return model.IfNotExists(first.path, second)


ExpressionSyntax = PathSyntax | ValueSyntax | SumSyntax | CallSyntax


def _require_type(kind: str, operation: str, *operands: model.Expression) -> None:
    for operand in operands:
        if isinstance(operand, Literal) and kind not in operand.value:
            raise wrong_type(operation, type_of(operand.value))


class SetSyntax:
    __slots__ = ("expression", "path")

    def __init__(self, path: PathSyntax, expression: ExpressionSyntax) -> None:
        self.path = path
        self.expression = expression

    def bind(self, binding: Binding) -> model.Action:
        return model.Set(self.path.path(binding), self.expression.bind(binding))


class RemoveSyntax:
    __slots__ = ("path",)

    def __init__(self, path: PathSyntax) -> None:
        self.path = path

    def bind(self, binding: Binding) -> model.Action:
        return model.Remove(self.path.path(binding))


class AddSyntax:
    __slots__ = ("path", "value")

    def __init__(self, path: PathSyntax, value: ValueSyntax) -> None:
        self.path = path
        self.value = value

    def bind(self, binding: Binding) -> model.Action:
        value = binding.value(self.value.placeholder)
        kind = type_of(value)
        if kind != "N" and kind not in SET_TYPES:
            raise _wrong_operand("ADD", kind)
        return model.Add(self.path.path(binding), value)


class DeleteSyntax:
    __slots__ = ("path", "value")

    def __init__(self, path: PathSyntax, value: ValueSyntax) -> None:
        self.path = path
        self.value = value

    def bind(self, binding: Binding) -> model.Action:
        value = binding.value(self.value.placeholder)
        kind = type_of(value)
        if kind not in SET_TYPES:
            raise _wrong_operand("DELETE", kind)
        return model.Delete(self.path.path(binding), value)


def _wrong_operand(operator: str, kind: str) -> ExpressionError:
    return ExpressionError(
        "Incorrect operand type for operator or function; "
        f"operator: {operator}, operand type: {_LONG_TYPE_NAMES[kind]}, "
        f"typeSet: ALLOWED_FOR_{operator}_OPERAND"
    )


ActionSyntax = SetSyntax | RemoveSyntax | AddSyntax | DeleteSyntax


class UpdateSyntax:
    """A parsed update expression."""

    __slots__ = ("_actions", "_are_distinct")

    def __init__(self, actions: Sequence[ActionSyntax]) -> None:
        self._actions = actions
        # Plain attributes without placeholders: the same for every request.
        bound = [action.path.bound for action in actions]
        plain = {one.path for one in bound if one is not None and len(one.path) == 1}
        self._are_distinct = len(plain) == len(actions)

    def bind(self, binding: Binding) -> model.Update:
        """Paths are compared before operands are typed, as the service does."""
        try:
            actions = tuple([action.bind(binding) for action in self._actions])
        except ExpressionError:
            require_distinct([action.path.path(binding) for action in self._actions])
            raise
        if not self._are_distinct:
            require_distinct([action.path for action in actions])
        return model.Update(actions)
