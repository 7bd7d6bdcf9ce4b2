"""Requests against the service model, with AWS's messages and in AWS's order.

JSON types come first, constraints second; what operations check themselves (expressions, items,
whether the table exists) comes after.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from trilith.dynamodb import request_shapes, shapes, stream_shapes, unset_shapes
from trilith.dynamodb.attribute_values import item_from_wire
from trilith.dynamodb.errors import DynamoDBError, serialization, validation
from trilith.tables.values import Item

_FAULTS_SHOWN_MAX = 10
_TABLE_NAME_LENGTHS = (3, 255)
# Operations on tables word a missing or too short name in their own way.
_TABLE_OPERATIONS = frozenset(
    {
        "CreateTable",
        "DeleteTable",
        "DescribeTable",
        "DescribeTimeToLive",
        "UpdateTable",
        "UpdateTimeToLive",
    }
)
_INPUTS = {
    operation: (name, shapes.SHAPES[name])
    for module in (request_shapes, stream_shapes, unset_shapes)
    for operation, name in module.INPUTS.items()
}


def is_known(operation: str) -> bool:
    """Whether requests of the operation can be validated."""
    return operation in _INPUTS


def validate(operation: str, request: Any) -> dict[str, Any]:
    """A request (decoded JSON) without nulls and unknown members.

    Raises DynamoDBError: SerializationException or ValidationException. Attribute values are still
    as they came: see attribute_values.py.
    """
    name, shape = _INPUTS[operation]
    if type(request) is not dict:
        raise serialization("Unexpected value type in payload")
    converted: dict[str, Any] = shape.convert(request, name)
    if operation in _TABLE_OPERATIONS:
        _check_table_name(converted)
    faults: list[str] = []
    shape.check(converted, "", faults)
    if faults:
        shown = faults[:_FAULTS_SHOWN_MAX]
        plural = "s" if len(shown) > 1 else ""
        raise validation(f"{len(shown)} validation error{plural} detected: {'; '.join(shown)}")
    return converted


def _check_table_name(request: Mapping[str, Any]) -> None:
    name = request.get("TableName")
    if name is None:
        raise validation("The parameter 'TableName' is required but was not present in the request")
    least, most = _TABLE_NAME_LENGTHS
    if not least <= len(name) <= most:
        raise validation(
            f"TableName must be at least {least} characters long and at most {most} characters long"
        )


def check_expression_members(
    request: Mapping[str, Any], expressions: Sequence[str], legacy: Sequence[str]
) -> None:
    """Expressions and legacy members do not mix, and placeholders need an expression.

    Both sequences are in the order in which messages list them.
    """
    used = [member for member in expressions if member in request]
    if used:
        others = [member for member in legacy if member in request]
        if "KeyConditionExpression" not in used and "KeyConditions" in others:
            others.remove("KeyConditions")  # a filter expression may go with them
        if others:
            raise validation(
                "Can not use both expression and non-expression parameters in the same request: "
                f"Non-expression parameters: {{{', '.join(others)}}} "
                f"Expression parameters: {{{', '.join(used)}}}"
            )
    if "ExpressionAttributeNames" in request and not used:
        raise validation("ExpressionAttributeNames can only be specified when using expressions")
    if "ExpressionAttributeValues" not in request:
        return
    takers = [member for member in expressions if member != "ProjectionExpression"]
    if not any(one in request for one in takers):
        are = "are" if len(takers) > 1 else "is"
        reason = f": {' and '.join(takers)} {are} null" if takers else ""
        raise validation(
            f"ExpressionAttributeValues can only be specified when using expressions{reason}"
        )


def starting_key(wire: Any) -> Item:
    """An ExclusiveStartKey; most of its faults are announced as such."""
    try:
        return item_from_wire(wire)
    except DynamoDBError as error:
        plain = ("duplicates", "number set", "numeric", "significant digits", "magnitude")
        if error.name != "ValidationException" or any(one in error.message for one in plain):
            raise
        raise validation(f"The provided starting key is invalid: {error.message}") from None


def check_distinct_attributes(names: Sequence[str]) -> None:
    """AttributesToGet names each attribute once."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise validation(
                f"One or more parameter values were invalid: Duplicate value in attribute name: "
                f"{name}"
            )
        seen.add(name)


def check_segments(request: Mapping[str, Any]) -> None:
    """Segment and TotalSegments of a parallel scan."""
    segment, total = request.get("Segment"), request.get("TotalSegments")
    if segment is None and total is None:
        return
    if total is None:
        raise validation(
            "The TotalSegments parameter is required but was not present in the request when "
            "Segment parameter is present"
        )
    if segment is None:
        raise validation(
            "The Segment parameter is required but was not present in the request when parameter "
            "TotalSegments is present"
        )
    if segment >= total:
        raise validation(
            "The Segment parameter is zero-based and must be less than parameter TotalSegments: "
            f"Segment: {segment} is not less than TotalSegments: {total}"
        )
