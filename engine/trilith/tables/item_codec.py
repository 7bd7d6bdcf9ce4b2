"""Items as bytes: msgpack for storage and commands, JSON for the wire.

Values have the wire's shape already (values.py), so both directions run in C. Stored items carry
their format as the first byte.
"""

from __future__ import annotations

from typing import Any

import msgspec

from trilith.errors import Corruption
from trilith.tables.values import Item, Value
from trilith.undecodable import UNDECODABLE

FORMAT = 1
_PREFIX = bytes((FORMAT,))

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(dict[str, dict[str, Any]]).decode
_encode_json = msgspec.json.Encoder().encode


def encode_item(item: Item) -> bytes:
    """An item in its stored form."""
    return _PREFIX + _encode(item)


def decode_item(stored: bytes | memoryview) -> Item:
    """An item from its stored form. Raises Corruption when it is none."""
    if not stored or stored[0] != FORMAT:
        raise Corruption("a stored item has an unknown format")
    try:
        return _decode(memoryview(stored)[1:])
    except UNDECODABLE as error:
        raise Corruption(f"a stored item cannot be decoded: {error}") from error


def to_json(item: Item | Value) -> bytes:
    """An item or a value as DynamoDB's JSON, binary in base64."""
    return _encode_json(item)
