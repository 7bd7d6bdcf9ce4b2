"""Legacy parameters: the same model as expressions, with checks of their own."""

from __future__ import annotations

from typing import Any

import pytest

from trilith.dynamodb import legacy
from trilith.dynamodb.errors import DynamoDBError
from trilith.tables.expressions.key_conditions import KeyTerm
from trilith.tables.values import Item

ITEM: Item = {"n": {"N": "5"}, "s": {"S": "xyz"}, "set": {"SS": ["a", "b"]}}
N4, N5, N6 = {"N": "4"}, {"N": "5"}, {"N": "6"}
X = {"S": "x"}


@pytest.mark.parametrize(
    ("name", "operator", "operands", "expected"),
    [
        ("n", "EQ", [{"N": "5.0"}], True),
        ("n", "NE", [N4], True),
        ("z", "NE", [N4], True),
        ("n", "LT", [N5], False),
        ("n", "LE", [N5], True),
        ("n", "GT", [N4], True),
        ("n", "GE", [N6], False),
        ("n", "BETWEEN", [N4, N6], True),
        ("n", "IN", [N4, N5], True),
        ("s", "BEGINS_WITH", [X], True),
        ("s", "CONTAINS", [{"S": "yz"}], True),
        ("set", "CONTAINS", [{"S": "a"}], True),
        ("set", "NOT_CONTAINS", [{"S": "a"}], False),
        ("set", "NOT_CONTAINS", [{"S": "q"}], True),
        ("s", "NOT_CONTAINS", [N4], True),
        ("z", "NOT_CONTAINS", [N4], False),
        ("n", "NOT_NULL", [], True),
        ("n", "NULL", [], False),
        ("z", "NULL", [], True),
    ],
)
def test_a_comparison_means_what_its_expression_means(
    name: str, operator: str, operands: list[Any], expected: bool
) -> None:
    wire = {name: {"ComparisonOperator": operator, "AttributeValueList": operands}}
    for parsed in (legacy.condition_filter(wire, None), legacy.expected(wire, None)):
        assert parsed is not None
        assert parsed.holds(ITEM) is expected


def test_conditions_are_joined_by_the_conditional_operator() -> None:
    wire = {"n": {"Value": N5}, "s": {"Exists": False}}
    both, either = legacy.expected(wire, None), legacy.expected(wire, "OR")
    assert both is not None
    assert either is not None
    assert not both.holds(ITEM)
    assert either.holds(ITEM)


INVALID = "One or more parameter values were invalid: "


@pytest.mark.parametrize(
    ("one", "message"),
    [
        (
            {"Value": X, "AttributeValueList": [X]},
            "Value and AttributeValueList cannot be used together for Attribute: a",
        ),
        (
            {"Exists": True, "ComparisonOperator": "EQ", "Value": X},
            "Exists and ComparisonOperator cannot be used together for Attribute: a",
        ),
        (
            {"ComparisonOperator": "EQ"},
            "Value or AttributeValueList must be used with ComparisonOperator: EQ for Attribute: a",
        ),
        (
            {"AttributeValueList": [X]},
            "AttributeValueList can only be used with a ComparisonOperator for Attribute: a",
        ),
        ({}, "Value must be provided when Exists is null for Attribute: a"),
        ({"Exists": True}, "Value must be provided when Exists is true for Attribute: a"),
        (
            {"Exists": False, "Value": X},
            "Value cannot be used when Exists is false for Attribute: a",
        ),
        (
            {"ComparisonOperator": "NULL", "Value": X},
            "Invalid number of argument(s) for the NULL ComparisonOperator",
        ),
        (
            {"ComparisonOperator": "IN", "AttributeValueList": [X, N4]},
            "AttributeValues inside AttributeValueList must be of same type",
        ),
        (
            {"ComparisonOperator": "LT", "Value": {"BOOL": True}},
            "ComparisonOperator LT is not valid for BOOL AttributeValue type",
        ),
    ],
)
def test_a_malformed_expectation_is_refused(one: Any, message: str) -> None:
    with pytest.raises(DynamoDBError) as refused:
        legacy.expected({"a": one}, None)
    assert refused.value.message == INVALID + message


def test_key_conditions_become_key_terms() -> None:
    wire = {
        "pk": {"ComparisonOperator": "EQ", "AttributeValueList": [X]},
        "sk": {"ComparisonOperator": "BETWEEN", "AttributeValueList": [N4, N5]},
    }
    terms = {"pk": KeyTerm("=", (X,)), "sk": KeyTerm("between", (N4, N5))}
    assert legacy.key_terms(wire) == terms


@pytest.mark.parametrize(
    ("wire", "message"),
    [
        ({}, "Conditions can be of length 1 or 2 only"),
        (
            {"pk": {"ComparisonOperator": "NE", "AttributeValueList": [X]}},
            legacy.NOT_INDEXABLE,
        ),
        (
            {"pk": {"ComparisonOperator": "BETWEEN", "AttributeValueList": [N5, N4]}},
            (
                "The BETWEEN condition was provided a range where the lower bound is greater than "
                "the upper bound"
            ),
        ),
    ],
)
def test_key_conditions_that_select_no_range_are_refused(wire: Any, message: str) -> None:
    with pytest.raises(DynamoDBError) as refused:
        legacy.key_terms(wire)
    assert refused.value.message == message


def test_attribute_updates_put_add_and_delete() -> None:
    update = legacy.attribute_updates(
        {
            "a": {"Value": X},
            "n": {"Action": "ADD", "Value": {"N": "1"}},
            "set": {"Action": "DELETE", "Value": {"SS": ["a"]}},
            "s": {"Action": "DELETE"},
        }
    )
    assert update.apply(ITEM, {}) == {"n": N6, "set": {"SS": ["b"]}, "a": X}


@pytest.mark.parametrize(
    ("one", "message"),
    [
        ({"Action": "PUT"}, "Only DELETE action is allowed when no attribute value is specified"),
        (
            {"Action": "DELETE", "Value": X},
            "DELETE action with value is not supported for the type S",
        ),
        ({"Action": "ADD", "Value": X}, "ADD action is not supported for the type S"),
    ],
)
def test_an_attribute_update_of_the_wrong_type_is_refused(one: Any, message: str) -> None:
    with pytest.raises(DynamoDBError) as refused:
        legacy.attribute_updates({"a": one})
    assert refused.value.message == INVALID + message
