"""Keys of several attributes: their order, and that conditions on them read all that fits."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.tables.test_key_codec import OPERATORS, PARTITION, PREFIX, natural, sort_values

from trilith.errors import InvalidRequest
from trilith.tables import key_codec
from trilith.tables.expressions.key_conditions import KeyTerm, for_composite, term_holds
from trilith.tables.values import Value

KINDS = "SNB"
NAMES = ("a", "b", "c")
SCHEMA = list(zip(NAMES, KINDS, strict=True))
Row = tuple[Value, ...]


def rows() -> st.SearchStrategy[Row]:
    return st.tuples(*map(sort_values, KINDS))


def entry_key(row: Row, base: bytes = b"\x00base\xff") -> bytes:
    return key_codec.index_key(PREFIX, PARTITION, key_codec.joined(row), base)


def naturals(row: Row) -> tuple[Any, ...]:
    return tuple(map(natural, row))


@given(st.lists(rows(), max_size=8))
def test_entries_are_in_the_order_of_the_attributes_from_the_left(found: list[Row]) -> None:
    by_bytes = sorted(found, key=entry_key)
    assert [naturals(row) for row in by_bytes] == sorted(map(naturals, found))


@given(st.lists(rows(), min_size=2, max_size=2))
def test_different_values_never_join_to_the_same_key(found: list[Row]) -> None:
    one, other = found
    same = naturals(one) == naturals(other)
    assert (key_codec.joined(one) == key_codec.joined(other)) == same


@given(st.integers(1, 3), st.sampled_from(OPERATORS), st.data())
def test_a_condition_on_the_first_attributes_reads_exactly_what_satisfies_it(
    count: int, operator: str, data: st.DataObject
) -> None:
    if operator == "begins_with" and KINDS[count - 1] == "N":
        return
    given_rows = data.draw(st.lists(rows(), min_size=1, max_size=3))
    row = given_rows[0]
    operands = [row[count - 1]]
    if operator == "between":
        operands.append(data.draw(sort_values(KINDS[count - 1])))
        operands.sort(key=natural)
    terms = {name: KeyTerm("=", (row[at],)) for at, name in enumerate(NAMES[: count - 1])}
    terms[NAMES[count - 1]] = KeyTerm(operator, tuple(operands))
    of_partition = {"pk": KeyTerm("=", (PARTITION,))}
    condition = for_composite({**terms, **of_partition}, [("pk", "S")], SCHEMA)
    start, end = condition.key_range(PREFIX, shared=True)
    mixed = [tuple(data.draw(st.sampled_from(given_rows))[at] for at in range(3)) for _ in range(4)]
    for one in [*given_rows, *mixed]:
        fits = all(
            term_holds(terms[name], value)
            for name, value in zip(NAMES, one, strict=True)
            if name in terms
        )
        assert (start <= entry_key(one) < end) == fits
        refusal = condition.refusal_of_start(PARTITION, key_codec.joined(one))
        assert (refusal is None) == fits


def equal(kind: str) -> KeyTerm:
    return KeyTerm("=", ({kind: "1"},))


ABOVE = KeyTerm(">", ({"S": "1"},))
BOTH = {"h": equal("S"), "i": equal("S")}


@pytest.mark.parametrize(
    ("terms", "message"),
    [
        ({"h": equal("S")}, "every HASH key attribute of the index must have an equality"),
        ({"h": equal("S"), "i": ABOVE}, "every HASH key attribute"),
        ({"h": equal("S"), "i": equal("N")}, "type does not match schema type"),
        ({**BOTH, "b": equal("N")}, "RANGE key attributes of the index must be used from the left"),
        ({**BOTH, "a": ABOVE, "b": equal("N")}, "all but the last with an equality"),
        ({**BOTH, "a": equal("S"), "c": equal("B")}, "RANGE key attributes"),
        ({**BOTH, "a": equal("N")}, "type does not match schema type"),
        ({**BOTH, "z": equal("S")}, "Query key condition not supported"),
    ],
)
def test_a_condition_that_does_not_fit_the_keys_is_refused(
    terms: dict[str, KeyTerm], message: str
) -> None:
    with pytest.raises(InvalidRequest, match=message):
        for_composite(terms, [("h", "S"), ("i", "S")], SCHEMA)
