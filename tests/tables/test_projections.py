"""Projections and key conditions on a table's schema."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.tables.item_strategies import ITEMS

from trilith.errors import InvalidRequest
from trilith.tables import paths
from trilith.tables.expressions.key_conditions import (
    NOT_SUPPORTED,
    WRONG_TYPE,
    KeyCondition,
    KeyTerm,
    for_schema,
)
from trilith.tables.expressions.projections import projection_of
from trilith.tables.values import Item

ITEM: Item = {
    "a": {"S": "x"},
    "m": {"M": {"p": {"N": "1"}, "q": {"N": "2"}, "r": {"M": {"s": {"N": "3"}}}}},
    "l": {"L": [{"N": "0"}, {"N": "1"}, {"N": "2"}]},
}


def test_a_projection_keeps_only_what_was_asked_for() -> None:
    projection = projection_of([("a",), ("m", "p"), ("m", "r", "s"), ("l", 2), ("l", 0), ("z",)])
    assert projection.of(ITEM) == {
        "a": {"S": "x"},
        "m": {"M": {"p": {"N": "1"}, "r": {"M": {"s": {"N": "3"}}}}},
        "l": {"L": [{"N": "0"}, {"N": "2"}]},
    }


def test_a_projection_that_matches_nothing_gives_an_empty_item() -> None:
    assert projection_of([("z",), ("m", "z"), ("l", 9), ("a", "b")]).of(ITEM) == {}


@given(ITEMS, st.sampled_from([("a",), ("m", "a"), ("m", "b", "c"), ("l", 0), ("l", 1, "a")]))
def test_a_projection_on_one_path_finds_what_the_path_finds(item: Item, path: paths.Path) -> None:
    value = paths.find(path, item)
    shown = projection_of([path]).of(item)
    if value is None:
        assert shown == {}
    else:
        # The one element of a list that is asked for becomes its first.
        closed_up = tuple(0 if type(step) is int else step for step in path)
        assert paths.find(closed_up, shown) == value


ONE = KeyTerm("=", ({"S": "x"},))
ABOVE = KeyTerm(">", ({"N": "1"},))


def test_key_terms_become_a_condition_on_the_schema() -> None:
    terms = {"pk": ONE, "sk": ABOVE}
    assert for_schema(terms, ("pk", "S"), ("sk", "N")) == KeyCondition({"S": "x"}, ABOVE)
    assert for_schema({"pk": ONE}, ("pk", "S"), ("sk", "N")) == KeyCondition({"S": "x"})


@pytest.mark.parametrize(
    ("terms", "message"),
    [
        ({"sk": ABOVE}, "Query condition missed key schema element: pk"),
        (
            {"pk": ONE, "sk": ABOVE, "z": ABOVE},
            "Conditions can be of length 1 or 2 only",
        ),
        ({"pk": ONE, "z": ABOVE}, "Query condition missed key schema element: sk"),
        ({"pk": KeyTerm(">", ({"S": "x"},))}, NOT_SUPPORTED),
        ({"pk": KeyTerm("=", ({"N": "1"},))}, WRONG_TYPE),
        ({"pk": ONE, "sk": KeyTerm("=", ({"S": "x"},))}, WRONG_TYPE),
    ],
)
def test_key_terms_that_do_not_fit_the_schema_are_refused(
    terms: dict[str, KeyTerm], message: str
) -> None:
    with pytest.raises(InvalidRequest) as refused:
        for_schema(terms, ("pk", "S"), ("sk", "N"))
    assert refused.value.message == message


def test_a_starting_key_outside_of_the_condition_is_named() -> None:
    condition = KeyCondition({"S": "x"}, ABOVE)
    assert condition.refusal_of_start({"S": "x"}, {"N": "2"}) is None
    below = condition.refusal_of_start({"S": "x"}, {"N": "1"})
    assert below == "The provided starting key does not match the range key predicate"
    elsewhere = KeyCondition({"S": "y"}).refusal_of_start({"S": "x"}, None)
    assert elsewhere is not None
    assert "outside query boundaries" in elsewhere
