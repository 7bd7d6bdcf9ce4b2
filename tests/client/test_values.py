"""Python values become attribute values of the engine and come back."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trilith.client.values import item_message, item_of
from trilith.dynamodb.attribute_values import item_from_wire
from trilith.edge.grpc_values import fill_item, item_document
from trilith.edge.grpc_values import item_message as message_of_document
from trilith.wire.v1 import values_pb2 as wire

numbers = st.one_of(
    st.integers(-(10**38) + 1, 10**38 - 1),
    st.decimals(
        allow_nan=False, allow_infinity=False, places=6, min_value=-(10**9), max_value=10**9
    ),
)
leaves = st.one_of(
    st.text(max_size=20),
    numbers,
    st.binary(max_size=20),
    st.booleans(),
    st.none(),
    st.frozensets(st.text(max_size=5), min_size=1, max_size=4),
    st.frozensets(st.integers(-(10**9), 10**9), min_size=1, max_size=4),
    st.frozensets(st.binary(max_size=5), min_size=1, max_size=4),
)
values = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=12,
)
items = st.dictionaries(st.text(min_size=1, max_size=8), values, max_size=6)


@given(items)
def test_an_item_comes_back_as_it_was(item: dict[str, Any]) -> None:
    assert item_of(wire.Item.FromString(item_message(item).SerializeToString())) == item


@given(items)
def test_an_item_passes_through_the_engines_form_unchanged(item: dict[str, Any]) -> None:
    document = item_document(item_message(item))
    item_from_wire(document)  # DynamoDB's own checks
    assert item_of(message_of_document(document)) == item


def test_an_item_of_32_levels_fits_into_a_message() -> None:
    value: Any = "leaf"
    for _ in range(31):
        value = {"m": value}
    message = item_message({"deep": value})
    assert item_of(wire.Item.FromString(message.SerializeToString())) == {"deep": value}
    copied = wire.Item()
    fill_item(copied, item_document(message))
    assert copied == message


@pytest.mark.parametrize(
    ("value", "said"),
    [(1.5, "float"), (object(), "object"), ({1, "a"}, "members"), ({True}, "members")],
)
def test_what_is_no_attribute_value_is_a_type_error(value: Any, said: str) -> None:
    with pytest.raises(TypeError, match=said):
        item_message({"a": value})


@pytest.mark.parametrize("value", [set(), Decimal("NaN"), Decimal("Infinity")])
def test_what_cannot_be_stored_is_a_value_error(value: Any) -> None:
    with pytest.raises(ValueError, match="stored"):
        item_message({"a": value})
