"""Numbers: exact, canonical, ordered as bytes, and sized as AWS sizes them."""

from __future__ import annotations

from decimal import Context, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.tables.item_strategies import numbers as canonical_numbers

from trilith.errors import InvalidRequest
from trilith.tables import numbers

EXACT = Context(prec=400)


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("0", "0"),
        ("-0.00", "0"),
        ("+0012.3400e2", "1234"),
        ("1e20", "100000000000000000000"),
        (".5", "0.5"),
        ("5.", "5"),
        ("-1.50E-3", "-0.0015"),
        ("9" * 38, "9" * 38),
        ("0e999999999999999", "0"),
        ("1" + "0" * 50, "1" + "0" * 50),
        ("1e-0000000000000000002", "0.01"),
        ("0.10", "0.1"),
    ],
)
def test_a_number_is_stored_normalised_and_expanded(text: str, canonical: str) -> None:
    assert numbers.canonical(text) == canonical


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("abc", "The parameter cannot be converted to a numeric value: abc"),
        ("", "The parameter cannot be converted to a numeric value"),
        (" 1", "The parameter cannot be converted to a numeric value:  1"),
        ("1 ", "The parameter cannot be converted to a numeric value: 1 "),
        ("1_0", "The parameter cannot be converted to a numeric value: 1_0"),
        (".", "The parameter cannot be converted to a numeric value: ."),
        ("NaN", "The parameter cannot be converted to a numeric value: NaN"),
        ("Infinity", "The parameter cannot be converted to a numeric value: Infinity"),
        ("٣", "The parameter cannot be converted to a numeric value: ٣"),
        ("1\n", "The parameter cannot be converted to a numeric value: 1\n"),
        ("1" * 39, numbers.TOO_PRECISE),
        ("1e126", numbers.OVERFLOW),
        ("-1e999999999999999999", numbers.OVERFLOW),
        ("1e-131", numbers.UNDERFLOW),
    ],
)
def test_what_is_no_number_of_dynamodb_is_refused_in_its_words(text: str, message: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        numbers.canonical(text)
    assert refused.value.message == message


def test_the_ends_of_the_range_are_numbers() -> None:
    assert Decimal(numbers.canonical("9." + "9" * 37 + "E125")) == Decimal("9." + "9" * 37 + "E125")
    assert Decimal(numbers.canonical("1E-130")) == Decimal("1E-130")


@given(canonical_numbers())
def test_a_canonical_number_stays_as_it_is(number: str) -> None:
    assert numbers.canonical(number) == number
    assert numbers.canonical(str(Decimal(number))) == number


@given(canonical_numbers(), canonical_numbers())
def test_encoded_numbers_sort_as_the_numbers_do(left: str, right: str) -> None:
    by_bytes = (numbers.encode(left) > numbers.encode(right)) - (
        numbers.encode(left) < numbers.encode(right)
    )
    assert by_bytes == (Decimal(left) > Decimal(right)) - (Decimal(left) < Decimal(right))


@given(canonical_numbers())
def test_an_encoded_number_decodes_to_itself(number: str) -> None:
    assert numbers.decode(numbers.encode(number)) == number


def test_negative_numbers_that_begin_alike_keep_their_order() -> None:
    ordered = ["-1.0001", "-1", "-0.99", "-0.9", "0", "0.9", "0.99", "1", "1.0001", "10"]
    assert sorted(ordered, key=numbers.encode) == ordered


@given(canonical_numbers(), canonical_numbers(), st.booleans())
def test_arithmetic_is_exact_or_refused(left: str, right: str, minus: bool) -> None:
    operate = EXACT.subtract if minus else EXACT.add
    exact = operate(Decimal(left), Decimal(right))
    try:
        result = (numbers.subtract if minus else numbers.add)(left, right)
    except InvalidRequest:
        significant = "".join(map(str, exact.as_tuple().digits)).strip("0")
        assert len(significant) > 38 or not -130 <= exact.adjusted() <= 125
    else:
        assert Decimal(result) == exact


def test_a_sum_that_is_too_precise_is_said_to_be_too_large() -> None:
    for operate in (numbers.add, numbers.subtract):
        with pytest.raises(InvalidRequest) as refused:
            operate("1" + "0" * 50, "1")
        assert refused.value.message == numbers.OVERFLOW


@given(canonical_numbers())
def test_a_number_takes_a_byte_for_each_pair_of_digits(number: str) -> None:
    """Pairs are those of base 100; pairs of zeros at the ends are not stored."""
    sign, digits, exponent = Decimal(number).normalize(EXACT).as_tuple()
    assert isinstance(exponent, int)
    text = "".join(map(str, digits)) + "0" * (exponent % 2)
    text = "0" * (len(text) % 2) + text
    pairs = [text[at : at + 2] for at in range(0, len(text), 2)]
    expected = 1 if number == "0" else 1 + len(pairs) + sign
    assert numbers.size_of(number) == expected
