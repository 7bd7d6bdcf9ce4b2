"""DynamoDB: numbers, attribute values, keys, stored items, expressions."""

from __future__ import annotations

from contextlib import suppress
from decimal import Context, Decimal

import msgspec
from tests.fuzz.target import Choices, target

from trilith.dynamodb.attribute_values import item_from_wire
from trilith.dynamodb.errors import DynamoDBError
from trilith.dynamodb.expressions.condition_parser import parse_condition
from trilith.dynamodb.expressions.lexer import ExpressionError
from trilith.dynamodb.expressions.projection_parser import parse_projection
from trilith.dynamodb.expressions.update_parser import parse_update
from trilith.errors import Corruption, InvalidRequest
from trilith.tables import item_codec, key_codec, numbers
from trilith.undecodable import UNDECODABLE

EXPRESSION_BYTES = 4096
EXACT = Context(prec=400)
WORDS_OF_EXPRESSIONS = (
    b"attribute_exists(",
    b"attribute_type(a, :t)",
    b"begins_with(",
    b"contains(",
    b"size(a)",
    b" BETWEEN :a AND :b",
    b" IN (:a, :b)",
    b" AND ",
    b" OR ",
    b"NOT ",
    b"#n",
    b":v",
    b"a[0].b",
    b"((((((((",
    b"<>",
    b"SET a = if_not_exists(b, :v) + :w",
    b"SET a = list_append(a, :v)",
    b" REMOVE a[0]",
    b" ADD n :n",
    b" DELETE s :s",
)


@target(words=(b"e+125", b"E-130", b"-0.0", b"00", b"9" * 38, "٣".encode(), b"e999999999999"))
def table_numbers(data: bytes) -> None:
    """Canonical texts are exact, fixed points, and in the order of their encodings."""
    taken = []
    for part in data.split(b" ", 2)[:2]:
        text = part.decode("utf-8", "replace")
        try:
            number = numbers.canonical(text)
        except InvalidRequest:
            continue
        assert number == "0" or Decimal(number) == Decimal(text)
        assert numbers.canonical(number) == number
        assert numbers.decode(numbers.encode(number)) == number
        assert 1 <= numbers.size_of(number) <= 22  # 20 pairs, sign, length
        assert numbers.negated(numbers.negated(number)) == number
        taken.append(number)
    if len(taken) < 2:
        return
    left, right = taken
    assert (numbers.encode(left) < numbers.encode(right)) == (Decimal(left) < Decimal(right))
    with suppress(InvalidRequest):
        assert Decimal(numbers.add(left, right)) == EXACT.add(Decimal(left), Decimal(right))


@target(
    words=(
        b'{"a":{"S":"b"}}',
        b'{"a":{"N":"1e2"}}',
        b'{"a":{"B":"AA=="}}',
        b'{"a":{"M":{"b":{"L":[{"NULL":true}]}}}}',
        b'{"a":{"NS":["1","1.0"]}}',
        b'{"a":{"SS":[]}}',
        b'{"a":{"BS":["AA==","AA=="]}}',
        b'"\\ud800"',
        b'{"L":[' * 40,
        b"null",
        b"1e999",
    )
)
def table_items(data: bytes) -> None:
    """What a request may say of an item is refused in AWS's words, or comes back the same."""
    try:
        wire = msgspec.json.decode(data)
    except UNDECODABLE:
        return
    try:
        item = item_from_wire(wire)
    except DynamoDBError:
        return
    stored = item_codec.encode_item(item)
    assert item_codec.decode_item(stored) == item
    again = item_from_wire(msgspec.json.decode(item_codec.to_json(item)))
    assert item_codec.encode_item(again) == stored
    keys = [value for value in item.values() if next(iter(value)) in "SNB"]
    prefix = b"table\0"
    for value in keys[:4]:
        (kind,) = value
        key = key_codec.item_key(prefix, value, value)
        partition, sort = key_codec.split_item_key(key, len(prefix))
        assert partition == sort == key_codec.encode_key_value(value)
        assert key_codec.decode_key_value(kind, partition) == value
        assert prefix <= key < key_codec.successor(prefix)


@target(words=(b"\1\x81\xa1a\x81\xa1S\xa1b", b"\1\x81\xa1\xff", b"\x91" * 1500))
def table_stored_items(data: bytes) -> None:
    """Any stored bytes are an item or Corruption."""
    choices = Choices(data)
    stored = bytes((choices.integer(0, 1),)) + choices.rest()
    try:
        item = item_codec.decode_item(stored)
    except Corruption:
        return
    assert item_codec.decode_item(item_codec.encode_item(item)) == item


@target(words=WORDS_OF_EXPRESSIONS)
def table_expressions(data: bytes) -> None:
    """Any text is an expression or an ExpressionError, and takes no deep stack."""
    text = data.decode("utf-8", "replace")
    for parse in (parse_condition, parse_projection, parse_update):
        with suppress(ExpressionError):
            parse(text)
    if len(data) < 64 and data:
        with suppress(ExpressionError):
            parse_condition(text * (EXPRESSION_BYTES // len(text.encode())))
        with suppress(ExpressionError):
            parse_update("SET a = " + text * (EXPRESSION_BYTES // len(text.encode())))
