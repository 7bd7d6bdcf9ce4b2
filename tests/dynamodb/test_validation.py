"""Requests against the service model: the table is botocore's, the messages are AWS's."""

from __future__ import annotations

from typing import Any

import botocore.loaders
import pytest

from trilith.dynamodb import request_shapes, shapes, stream_shapes, unset_shapes, validation
from trilith.dynamodb.errors import DynamoDBError

MODEL = botocore.loaders.Loader().load_service_model("dynamodb", "service-2")
STREAMS = botocore.loaders.Loader().load_service_model("dynamodbstreams", "service-2")
SHAPES = {**STREAMS["shapes"], **MODEL["shapes"]}
# Named in the table's docstring: a table's name is not taken for an ARN.
RENAMED = {"TableArn": "TableName"}
# Named there too: no table takes its keys from another.
ALSO_REQUIRED = {"CreateTableInput": {"AttributeDefinitions", "KeySchema"}}


# And there: what breaks the rule has a message of its own.
CHECKED_ELSEWHERE = {"TableClass"}


@pytest.mark.parametrize(
    ("model", "inputs"),
    [
        (MODEL, request_shapes.INPUTS),
        (STREAMS, stream_shapes.INPUTS),
        (MODEL, unset_shapes.INPUTS),
    ],
)
def test_every_input_is_the_one_of_the_service_model(
    model: dict[str, Any], inputs: dict[str, str]
) -> None:
    for operation, shape in inputs.items():
        assert shape == model["operations"][operation]["input"]["shape"]


@pytest.mark.parametrize("name", sorted(shapes.SHAPES))
def test_every_shape_is_the_one_of_the_service_model(name: str) -> None:
    shape, expected = shapes.SHAPES[name], SHAPES[name]
    bounds = (expected.get("min"), expected.get("max"))
    if isinstance(shape, shapes.Structure):
        members = {key: one["shape"] for key, one in expected["members"].items()}
        assert {
            key: RENAMED.get(one, one) if key == "TableName" else one
            for key, one in members.items()
        } == dict(shape.members)
        required = {*expected.get("required", ()), *ALSO_REQUIRED.get(name, ())}
        assert set(shape.required) == required
    elif isinstance(shape, shapes.ListOf):
        assert (shape.member, shape.least, shape.most) == (expected["member"]["shape"], *bounds)
    elif isinstance(shape, shapes.MapOf):
        key = expected["key"]["shape"]
        assert (shape.key, shape.value) == (RENAMED.get(key, key), expected["value"]["shape"])
        assert (shape.least, shape.most) == bounds
    elif isinstance(shape, shapes.String):
        assert expected["type"] == "string"
        assert (shape.least, shape.most) == bounds
        assert shape.pattern == expected.get("pattern")
        # in the order of the service, as far as it is known, which is not the model's
        values = () if name in CHECKED_ELSEWHERE else expected.get("enum", ())
        assert sorted(shape.one_of) == sorted(values)
    elif isinstance(shape, shapes.Whole):
        assert shape.kind.lower() == expected["type"]
        assert (shape.least, shape.most) == bounds
    elif isinstance(shape, shapes.Timestamp):
        assert expected["type"] == "timestamp"
    elif isinstance(shape, shapes.Boolean):
        assert expected["type"] == "boolean"


def refusal(operation: str, request: Any) -> tuple[str, str]:
    with pytest.raises(DynamoDBError) as refused:
        validation.validate(operation, request)
    return refused.value.name, refused.value.message


def at(value: str, path: str, rule: str) -> str:
    return (
        f"1 validation error detected: Value {value} at '{path}' "
        f"failed to satisfy constraint: {rule}"
    )


ITEM = {"pk": {"S": "k"}}


@pytest.mark.parametrize(
    ("operation", "request_", "message"),
    [
        ("PutItem", {"Item": ITEM}, at("null", "tableName", "Member must not be null")),
        (
            "PutItem",
            {"TableName": "ab", "Item": ITEM},
            at("'ab'", "tableName", "Member must have length greater than or equal to 3"),
        ),
        (
            "PutItem",
            {"TableName": "a;b", "Item": ITEM},
            at(
                "'a;b'",
                "tableName",
                "Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+",
            ),
        ),
        (
            "PutItem",
            {"TableName": "abc", "Item": ITEM, "ReturnConsumedCapacity": "x"},
            at(
                "'x'",
                "returnConsumedCapacity",
                "Member must satisfy enum value set: [INDEXES, TOTAL, NONE]",
            ),
        ),
        (
            "Query",
            {"TableName": "abc", "Limit": 0},
            at("'0'", "limit", "Member must have value greater than or equal to 1"),
        ),
        (
            "Scan",
            {"TableName": "abc", "TotalSegments": 1000001},
            at(
                "'1000001'", "totalSegments", "Member must have value less than or equal to 1000000"
            ),
        ),
        (
            "BatchGetItem",
            {"RequestItems": {}},
            at("'{}'", "requestItems", "Member must have length greater than or equal to 1"),
        ),
        (
            "BatchGetItem",
            {"RequestItems": {"abc": {"Keys": []}}},
            at(
                "'[]'",
                "requestItems.abc.member.keys",
                "Member must have length greater than or equal to 1",
            ),
        ),
        (
            "TransactWriteItems",
            {"TransactItems": [{"Put": {"TableName": "abc"}}]},
            at("null", "transactItems.1.member.put.item", "Member must not be null"),
        ),
        (
            "CreateTable",
            {},
            "The parameter 'TableName' is required but was not present in the request",
        ),
        (
            "DescribeTable",
            {"TableName": "ab"},
            "TableName must be at least 3 characters long and at most 255 characters long",
        ),
    ],
)
def test_a_broken_constraint_is_named_as_the_service_names_it(
    operation: str, request_: Any, message: str
) -> None:
    assert refusal(operation, request_) == ("ValidationException", message)


def test_all_broken_constraints_are_counted() -> None:
    _, message = refusal("GetItem", {"ReturnConsumedCapacity": "x"})
    assert message.startswith("3 validation errors detected: ")


@pytest.mark.parametrize(
    ("operation", "request_", "message"),
    [
        ("PutItem", [], "Unexpected value type in payload"),
        ("PutItem", {"TableName": 1}, "NUMBER_VALUE cannot be converted to String"),
        (
            "PutItem",
            {"TableName": ["a"]},
            "Unrecognized collection type class java.lang.String",
        ),
        ("Query", {"Limit": "1"}, "STRING_VALUE cannot be converted to Integer"),
        ("Query", {"ConsistentRead": 1}, "NUMBER_VALUE cannot be converted to Boolean"),
        ("Query", {"AttributesToGet": "a"}, "Unexpected field type"),
        ("BatchGetItem", {"RequestItems": "x"}, "Unexpected field type"),
        (
            "BatchGetItem",
            {"RequestItems": []},
            (
                "Unrecognized collection type java.util.Map<java.lang.String, "
                "com.amazonaws.dynamodb.v20120810.KeysAndAttributes>"
            ),
        ),
    ],
)
def test_other_json_types_are_refused_before_any_constraint(
    operation: str, request_: Any, message: str
) -> None:
    assert refusal(operation, request_) == ("SerializationException", message)


def test_nulls_and_unknown_members_are_left_out() -> None:
    request = {"TableName": "abc", "Key": ITEM, "ConsistentRead": None, "Unknown": [1]}
    assert validation.validate("GetItem", request) == {"TableName": "abc", "Key": ITEM}


QUERY_EXPRESSIONS = ["ProjectionExpression", "FilterExpression", "KeyConditionExpression"]
QUERY_LEGACY = ["AttributesToGet", "QueryFilter", "ConditionalOperator", "KeyConditions"]


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (
            {"QueryFilter": {}, "KeyConditions": {}, "KeyConditionExpression": "a"},
            (
                "Can not use both expression and non-expression parameters in the same request: "
                "Non-expression parameters: {QueryFilter, KeyConditions} "
                "Expression parameters: {KeyConditionExpression}"
            ),
        ),
        (
            {"KeyConditions": {}, "ExpressionAttributeNames": {}},
            "ExpressionAttributeNames can only be specified when using expressions",
        ),
        (
            {"ProjectionExpression": "a", "ExpressionAttributeValues": {}},
            (
                "ExpressionAttributeValues can only be specified when using expressions: "
                "FilterExpression and KeyConditionExpression are null"
            ),
        ),
    ],
)
def test_expressions_do_not_mix_with_legacy_parameters(request_: Any, message: str) -> None:
    with pytest.raises(DynamoDBError) as refused:
        validation.check_expression_members(request_, QUERY_EXPRESSIONS, QUERY_LEGACY)
    assert refused.value.message == message


def test_key_conditions_go_with_a_filter_expression() -> None:
    request = {"KeyConditions": {}, "FilterExpression": "a"}
    validation.check_expression_members(request, QUERY_EXPRESSIONS, QUERY_LEGACY)


@pytest.mark.parametrize(
    ("request_", "part"),
    [
        ({"Segment": 0}, "The TotalSegments parameter is required"),
        ({"TotalSegments": 2}, "The Segment parameter is required"),
        ({"Segment": 2, "TotalSegments": 2}, "Segment: 2 is not less than TotalSegments: 2"),
    ],
)
def test_segments_come_in_pairs(request_: Any, part: str) -> None:
    with pytest.raises(DynamoDBError, match=part):
        validation.check_segments(request_)
