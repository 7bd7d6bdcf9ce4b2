"""Items: their size in AWS's bytes, their stored form, and paths into them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from tests.tables.item_strategies import ITEMS, VALUES

from trilith.errors import Corruption
from trilith.tables import paths, sizes, values
from trilith.tables.item_codec import decode_item, encode_item, to_json
from trilith.tables.values import Item, Value


@pytest.mark.parametrize(
    ("value", "size"),
    [
        ({"S": "abc"}, 3),
        ({"S": "é€"}, 5),
        ({"S": ""}, 0),
        ({"N": "0"}, 1),
        ({"N": "12"}, 2),
        ({"N": "-12"}, 3),
        ({"N": "123"}, 3),
        ({"N": "12000"}, 3),
        ({"N": "0.011"}, 3),
        ({"B": b"1234"}, 4),
        ({"BOOL": True}, 1),
        ({"NULL": True}, 1),
        ({"SS": ["a", "bc"]}, 3),
        ({"NS": ["1", "2"]}, 4),
        ({"BS": [b"1"]}, 1),
        ({"L": []}, 3),
        ({"L": [{"S": "ab"}]}, 6),
        ({"M": {"key": {"S": "ab"}}}, 9),
    ],
)
def test_a_value_has_the_size_that_aws_counts(value: Value, size: int) -> None:
    assert sizes.value_size(value) == size
    assert sizes.item_size({"name": value}) == 4 + size


@given(ITEMS)
def test_the_size_of_an_item_is_the_sum_of_names_and_values(item: Item) -> None:
    assert sizes.item_size(item) == sum(
        len(name.encode()) + sizes.value_size(value) for name, value in item.items()
    )


@given(ITEMS)
def test_an_item_is_read_as_it_was_stored(item: Item) -> None:
    assert decode_item(encode_item(item)) == item


@given(ITEMS)
def test_an_item_goes_to_json_with_binary_in_base64(item: Item) -> None:
    assert set(json.loads(to_json(item))) == set(item)


@pytest.mark.parametrize("stored", [b"", b"\x02\x80", b"\x01\xff", b"\x01"])
def test_bytes_that_are_no_stored_item_are_reported_as_corruption(stored: bytes) -> None:
    with pytest.raises(Corruption):
        decode_item(stored)


def nested_maps(levels: int) -> Value:
    value: Value = {"S": "leaf"}
    for _ in range(levels):
        value = {"M": {"n": value}}
    return value


def test_31_levels_of_maps_pass_and_32_do_not() -> None:
    assert not values.is_nested_too_deep(nested_maps(31))
    assert values.is_nested_too_deep(nested_maps(32))


@given(VALUES, VALUES)
def test_values_compare_only_within_one_ordered_type(left: Value, right: Value) -> None:
    order, reverse = values.compare(left, right), values.compare(right, left)
    if values.type_of(left) in values.SCALAR_TYPES and left.keys() == right.keys():
        assert order is not None
        assert reverse == -order
        assert (order == 0) == (left == right)
    else:
        assert order is None


def test_a_path_finds_what_is_there_and_nothing_else() -> None:
    item: Item = {"a": {"M": {"b": {"L": [{"S": "x"}, {"M": {"c": {"N": "1"}}}]}}}}
    assert paths.find(("a", "b", 1, "c"), item) == {"N": "1"}
    for missing in [("z",), ("a", "z"), ("a", 0), ("a", "b", 2), ("a", "b", "c"), ("a", "b", 0, 0)]:
        assert paths.find(missing, item) is None


def test_a_path_is_shown_as_the_service_shows_it() -> None:
    assert paths.show(("a", "b", 2)) == "[a, b, [2]]"
