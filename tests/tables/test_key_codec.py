"""Keys: order-preserving, spread by token, and apart from each other."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.tables.item_strategies import TEXTS
from tests.tables.item_strategies import numbers as canonical_numbers

from trilith.tables import key_codec
from trilith.tables.expressions.key_conditions import KeyCondition, KeyTerm, term_holds
from trilith.tables.values import Value

PREFIX = b"table-id"
PARTITION: Value = {"S": "customer"}


def sort_values(kind: str) -> st.SearchStrategy[Value]:
    contents: dict[str, st.SearchStrategy[Any]] = {
        "S": TEXTS,
        "N": canonical_numbers(),
        "B": st.binary(max_size=6),
    }
    return contents[kind].map(lambda content: {kind: content})


def natural(value: Value) -> Any:
    ((kind, content),) = value.items()
    if kind == "S":
        return content.encode()
    return Decimal(content) if kind == "N" else content


@given(st.sampled_from("SNB").flatmap(lambda kind: st.lists(sort_values(kind), max_size=8)))
def test_items_of_a_partition_key_are_in_the_order_of_their_sort_keys(keys: list[Value]) -> None:
    by_bytes = sorted(keys, key=lambda value: key_codec.item_key(PREFIX, PARTITION, value))
    assert [natural(one) for one in by_bytes] == sorted(map(natural, keys))


@given(st.sampled_from("SNB").flatmap(sort_values))
def test_a_key_gives_its_parts_back(value: Value) -> None:
    key = key_codec.item_key(PREFIX, PARTITION, value)
    partition, sort = key_codec.split_item_key(key, len(PREFIX))
    kind = next(iter(value))
    assert key_codec.decode_key_value("S", partition) == PARTITION
    assert key_codec.decode_key_value(kind, sort) == value


@given(TEXTS, TEXTS)
def test_no_key_of_one_partition_lies_within_another(one: str, other: str) -> None:
    stem = key_codec.partition_stem(PREFIX, {"S": one})
    key = key_codec.item_key(PREFIX, {"S": other}, {"S": "x"})
    assert key.startswith(stem) == (one == other)


@given(st.integers(1, 40), TEXTS)
def test_the_segments_of_a_scan_cover_every_item_once(total: int, partition: str) -> None:
    key = key_codec.item_key(PREFIX, {"S": partition})
    ranges = [key_codec.segment_range(PREFIX, segment, total) for segment in range(total)]
    assert sum(start <= key < end for start, end in ranges) == 1
    assert [end for _, end in ranges[:-1]] == [start for start, _ in ranges[1:]]


OPERATORS = ["=", "<", "<=", ">", ">=", "between", "begins_with"]


@given(st.sampled_from("SNB"), st.sampled_from(OPERATORS), st.booleans(), st.data())
def test_a_key_condition_reads_exactly_the_keys_that_satisfy_it(
    kind: str, operator: str, shared: bool, data: st.DataObject
) -> None:
    if operator == "begins_with" and kind == "N":
        return
    operands = data.draw(st.lists(sort_values(kind), min_size=2, max_size=2))
    operands.sort(key=natural)
    term = KeyTerm(operator, tuple(operands if operator == "between" else operands[:1]))
    start, end = KeyCondition(PARTITION, term).key_range(PREFIX, shared=shared)
    for value in [*operands, *data.draw(st.lists(sort_values(kind), max_size=4))]:
        key = (
            key_codec.index_key(PREFIX, PARTITION, value, b"\x00base\xff")
            if shared
            else key_codec.item_key(PREFIX, PARTITION, value)
        )
        assert (start <= key < end) == term_holds(term, value)


def test_a_condition_on_the_partition_alone_reads_all_of_it() -> None:
    start, end = KeyCondition(PARTITION).key_range(PREFIX)
    assert start <= key_codec.item_key(PREFIX, PARTITION) < end
    assert start <= key_codec.item_key(PREFIX, PARTITION, {"B": b"\xff" * 30}) < end


def test_nothing_sorts_above_a_prefix_of_the_highest_bytes() -> None:
    with pytest.raises(ValueError, match="nothing is above"):
        key_codec.successor(b"\xff\xff")
