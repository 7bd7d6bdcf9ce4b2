"""Attribute values of requests: canonical afterwards, or refused in the service's words."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from tests.tables.item_strategies import ITEMS

from trilith.dynamodb.attribute_values import item_from_wire, value_from_wire
from trilith.dynamodb.errors import DynamoDBError
from trilith.tables.item_codec import to_json
from trilith.tables.values import NESTED_TOO_DEEP, Item


@given(ITEMS)
def test_an_item_that_was_answered_can_be_sent_back(item: Item) -> None:
    assert item_from_wire(msgspec.json.decode(to_json(item))) == item


@pytest.mark.parametrize(
    ("wire", "value"),
    [
        ({"N": "+0012.3400e2"}, {"N": "1234"}),
        ({"B": "AQI="}, {"B": b"\x01\x02"}),
        ({"SS": ["b", "a", ""]}, {"SS": ["", "a", "b"]}),
        ({"NS": ["10", "9", "-1.0"]}, {"NS": ["-1", "9", "10"]}),
        ({"BS": ["Ag==", "AQ=="]}, {"BS": [b"\x01", b"\x02"]}),
        ({"S": ""}, {"S": ""}),
        ({"B": ""}, {"B": b""}),
        ({"L": []}, {"L": []}),
        ({"M": {"a": {"N": "1.0"}}}, {"M": {"a": {"N": "1"}}}),
        ({"BOOL": "true"}, {"BOOL": True}),
        ({"NULL": "1"}, {"NULL": True}),
        ({"S": "x", "N": None}, {"S": "x"}),
        ({"S": "x", "Other": "y"}, {"S": "x"}),
    ],
)
def test_a_value_is_brought_into_canonical_form(wire: Any, value: Any) -> None:
    assert value_from_wire(wire) == value


INVALID = "One or more parameter values were invalid: "


@pytest.mark.parametrize(
    ("wire", "message"),
    [
        (
            {},
            "Supplied AttributeValue is empty, must contain exactly one of the supported datatypes",
        ),
        (
            {"X": "x"},
            "Supplied AttributeValue is empty, must contain exactly one of the supported datatypes",
        ),
        (
            {"S": "x", "N": "1"},
            (
                "Supplied AttributeValue has more than one datatypes set, "
                "must contain exactly one of the supported datatypes"
            ),
        ),
        (
            {"S": "x", "N": "y"},
            "The parameter cannot be converted to a numeric value: y",
        ),
        ({"NULL": False}, INVALID + "Null attribute value types must have the value of true"),
        ({"SS": []}, INVALID + "An string set  may not be empty"),
        ({"NS": []}, INVALID + "An number set  may not be empty"),
        ({"BS": []}, INVALID + "Binary sets should not be empty"),
        (
            {"SS": ["a", "b", "a"]},
            INVALID + "Input collection [a, b, a] contains duplicates.",
        ),
        ({"NS": ["1", "1.0"]}, "Input collection contains duplicates"),
        (
            {"BS": ["AQ==", "AQ=="]},
            INVALID + "Input collection [AQ==, AQ==]of type BS contains duplicates.",
        ),
        ({"L": [{"M": {"a": {"SS": []}}}]}, INVALID + "An string set  may not be empty"),
    ],
)
def test_an_invalid_value_is_refused_in_the_services_words(wire: Any, message: str) -> None:
    with pytest.raises(DynamoDBError) as refused:
        value_from_wire(wire)
    assert (refused.value.name, refused.value.message) == ("ValidationException", message)


@pytest.mark.parametrize(
    ("wire", "message"),
    [
        ("x", "Unexpected value type in payload"),
        ({"S": 1}, "NUMBER_VALUE cannot be converted to String"),
        ({"N": 1.5}, "DECIMAL_VALUE cannot be converted to String"),
        ({"S": True}, "TRUE_VALUE cannot be converted to String"),
        ({"S": ["x"]}, "Unrecognized collection type class java.lang.String"),
        ({"S": {}}, "Start of structure or map found where not expected"),
        ({"B": 1}, "only base-64-encoded strings are convertible to bytes"),
        ({"B": "abc"}, "Base64 encoded length is expected a multiple of 4 bytes but found: 3"),
        ({"B": "a!cd"}, "Invalid last non-pad Base64 character dectected"),
        ({"B": "ab=c"}, "Invalid last non-pad Base64 character dectected"),
        ({"SS": "x"}, "Unexpected field type"),
        ({"SS": [1]}, "NUMBER_VALUE cannot be converted to String"),
        ({"L": {}}, "Start of structure or map found where not expected"),
        ({"M": 1}, "Unexpected field type"),
        ({"BOOL": 1}, "NUMBER_VALUE cannot be converted to Boolean"),
        ({"BOOL": "maybe"}, "Unexpected token received from parser"),
    ],
)
def test_other_json_types_are_a_serialization_exception(wire: Any, message: str) -> None:
    with pytest.raises(DynamoDBError) as refused:
        value_from_wire(wire)
    assert (refused.value.name, refused.value.message) == ("SerializationException", message)


@pytest.mark.parametrize("levels", [32, 500])
def test_values_that_nest_too_deep_are_refused(levels: int) -> None:
    wire: Any = {"S": "leaf"}
    for _ in range(levels):
        wire = {"L": [wire]}
    with pytest.raises(DynamoDBError) as refused:
        item_from_wire({"a": wire})
    assert refused.value.message == NESTED_TOO_DEEP
