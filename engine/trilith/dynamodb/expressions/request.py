"""The expressions of one request, with its names and values.

Texts are parsed once and kept (an LRU of each kind); names and values are bound anew for every
request. Everything raises DynamoDBError (ValidationException) in AWS's words.

    expressions = RequestExpressions(request)      # checks the placeholders themselves
    update = expressions.update()                  # in the order in which the service checks
    condition = expressions.condition()
    expressions.require_all_used()
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, TypeVar

from trilith.dynamodb.attribute_values import item_from_wire, require_short_name
from trilith.dynamodb.errors import DynamoDBError, serialization, validation
from trilith.dynamodb.expressions.binding import Binding
from trilith.dynamodb.expressions.condition_parser import parse_condition
from trilith.dynamodb.expressions.condition_syntax import ConditionSyntax
from trilith.dynamodb.expressions.key_condition import key_terms
from trilith.dynamodb.expressions.lexer import ExpressionError
from trilith.dynamodb.expressions.projection_parser import ProjectionSyntax, parse_projection
from trilith.dynamodb.expressions.update_parser import parse_update
from trilith.dynamodb.expressions.update_syntax import UpdateSyntax
from trilith.tables.expressions.conditions import Condition
from trilith.tables.expressions.key_conditions import KeyTerms
from trilith.tables.expressions.projections import Projection, projection_of
from trilith.tables.expressions.updates import Update
from trilith.tables.paths import Path
from trilith.tables.values import Value

_CACHE_SIZE = 4096  # texts of each kind; 4 KiB at most each
_PLACEHOLDER = re.compile(r"[#:][A-Za-z0-9_]+").findall
_NAME_KEY = re.compile(r"#[A-Za-z0-9_]+").fullmatch
_VALUE_KEY = re.compile(r":[A-Za-z0-9_]+").fullmatch
PLACEHOLDER_BYTES_MAX = 255

Syntax = TypeVar("Syntax")
Bound = TypeVar("Bound")
Parsed = tuple[Syntax, frozenset[str]]  # with the placeholders that the text uses


@lru_cache(_CACHE_SIZE)
def _condition(text: str) -> Parsed[ConditionSyntax | Constant]:
    syntax, used = parse_condition(text), frozenset(_PLACEHOLDER(text))
    return (syntax if used else Constant(syntax.bind(Binding({}, {})))), used


class Constant:
    """A condition without placeholders, the same for every request."""

    __slots__ = ("_condition",)

    def __init__(self, condition: Condition) -> None:
        self._condition = condition

    def bind(self, _binding: Binding) -> Condition:
        return self._condition


@lru_cache(_CACHE_SIZE)
def _update(text: str) -> Parsed[UpdateSyntax]:
    return parse_update(text), frozenset(_PLACEHOLDER(text))


@lru_cache(_CACHE_SIZE)
def _projection(text: str) -> Parsed[ProjectionSyntax]:
    return parse_projection(text), frozenset(_PLACEHOLDER(text))


class RequestExpressions:
    """Names, values and expressions of a request (decoded JSON, members as in the API)."""

    __slots__ = ("_binding", "_request", "_used")

    def __init__(self, request: Mapping[str, Any]) -> None:
        self._request = request
        names, values = request.get("ExpressionAttributeNames"), None
        if names is not None:
            _check_names(names)
        wire = request.get("ExpressionAttributeValues")
        if wire is not None:
            values = _checked_values(wire)
        self._binding = Binding(names or {}, values or {})
        self._used: frozenset[str] = frozenset()

    def condition(self, member: str = "ConditionExpression") -> Condition | None:
        """The condition in a member (also FilterExpression), or None without one."""
        return self._bound(member, _condition, lambda syntax: syntax.bind(self._binding))

    def update(self) -> Update | None:
        """The UpdateExpression, or None without one."""
        return self._bound("UpdateExpression", _update, lambda syntax: syntax.bind(self._binding))

    def key_terms(self) -> KeyTerms | None:
        """The KeyConditionExpression as terms by key attribute, or None without one."""
        condition = self.condition("KeyConditionExpression")
        return None if condition is None else key_terms(condition)

    def projection_paths(self) -> tuple[Path, ...] | None:
        """The paths of the ProjectionExpression, or None without one."""
        return self._bound(
            "ProjectionExpression", _projection, lambda syntax: syntax.bind(self._binding)
        )

    def projection(self) -> Projection | None:
        paths = self.projection_paths()
        return None if paths is None else projection_of(paths)

    def require_all_used(self) -> None:
        """Placeholders that no expression uses are an error."""
        for member, given in (
            ("ExpressionAttributeNames", self._binding.names),
            ("ExpressionAttributeValues", self._binding.values),
        ):
            if not self._used.issuperset(given):
                unused = ", ".join(name for name in given if name not in self._used)
                raise validation(
                    f"Value provided in {member} unused in expressions: keys: {{{unused}}}"
                )

    def _bound(
        self,
        member: str,
        parse: Callable[[str], Parsed[Syntax]],
        bind: Callable[[Syntax], Bound],
    ) -> Bound | None:
        text = self._request.get(member)
        if text is None:
            return None
        try:
            syntax, used = parse(text)
            self._used |= used
            return bind(syntax)
        except ExpressionError as error:
            raise validation(f"Invalid {member}: {error}") from None


def _check_names(names: Any) -> None:
    if type(names) is not dict:
        raise serialization("Unexpected field type")
    if not names:
        raise validation("ExpressionAttributeNames must not be empty")
    for key, name in names.items():
        if not _NAME_KEY(key):
            raise validation(
                f'ExpressionAttributeNames contains invalid key: Syntax error; key: "{key}"'
            )
        if len(key) > PLACEHOLDER_BYTES_MAX:
            raise _too_long("ExpressionAttributeNames", key)
        if type(name) is not str:
            raise serialization("Unexpected field type")
        require_short_name(name)


def _checked_values(wire: Any) -> Mapping[str, Value]:
    if type(wire) is not dict:
        raise serialization("Unexpected field type")
    if not wire:
        raise validation("ExpressionAttributeValues must not be empty")
    for key in wire:
        if not _VALUE_KEY(key):
            raise validation(
                f'ExpressionAttributeValues contains invalid key: Syntax error; key: "{key}"'
            )
        if len(key) > PLACEHOLDER_BYTES_MAX:
            raise _too_long("ExpressionAttributeValues", key)
    try:
        return item_from_wire(wire)
    except DynamoDBError:
        # Again, one by one, for the name of the one at fault.
        for key, value in wire.items():
            _check_value(key, value)
        raise


def _check_value(key: str, value: Any) -> None:
    try:
        item_from_wire({key: value})
    except DynamoDBError as error:
        if error.name != "ValidationException":
            raise
        raise validation(
            f"ExpressionAttributeValues contains invalid value: {error.message} for key {key}"
        ) from None


def _too_long(member: str, key: str) -> DynamoDBError:
    return validation(
        f"{member} contains invalid key: The expression attribute map contains a key that is too "
        f'long; key: "{key}"'
    )
