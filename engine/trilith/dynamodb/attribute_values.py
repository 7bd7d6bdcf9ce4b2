"""Attribute values of a request, checked and brought into the engine's canonical form.

Decoded JSON and the engine's values have the same shape, so a value that is canonical already is
taken as it is; only numbers, binaries, sets and what holds them are rebuilt. The request must not
be changed afterwards.

Raises DynamoDBError: SerializationException for other JSON types than an AttributeValue's,
ValidationException for everything else, in AWS's words.
"""

from __future__ import annotations

import binascii
from typing import Any

from trilith.dynamodb.errors import serialization, validation
from trilith.errors import InvalidRequest
from trilith.tables import numbers, values
from trilith.tables.values import Item, Value

_INVALID = "One or more parameter values were invalid: "
EMPTY = "Supplied AttributeValue is empty, must contain exactly one of the supported datatypes"
SEVERAL = (
    "Supplied AttributeValue has more than one datatypes set, "
    "must contain exactly one of the supported datatypes"
)
NULL_MUST_BE_TRUE = _INVALID + "Null attribute value types must have the value of true"
_EMPTY_SETS = {
    "SS": _INVALID + "An string set  may not be empty",
    "NS": _INVALID + "An number set  may not be empty",
    "BS": _INVALID + "Binary sets should not be empty",
}
NAME_BYTES_MAX = 65535
NOT_BASE64 = "only base-64-encoded strings are convertible to bytes"
STRUCTURE = "Start of structure or map found where not expected"


def item_from_wire(wire: Any) -> Item:
    """A map of attribute values: an item, a key, or ExpressionAttributeValues."""
    if type(wire) is not dict:
        raise serialization(_not_a_map(wire))
    item: Item = {}
    for name, value in wire.items():
        if type(value) is dict and len(value) == 1:
            for kind, content in value.items():
                # The two commonest types, without a call.
                if kind == "S" and type(content) is str:
                    item[name] = value
                elif kind == "N" and type(content) is str:
                    item[name] = value if numbers.is_canonical(content) else _number(value, content)
                else:
                    item[name] = value_from_wire(value)
        else:
            item[name] = value_from_wire(value)
    return item


def require_short_name(name: str) -> None:
    """Raises ValidationException for the name of an attribute that is too long."""
    if len(name) * 4 > NAME_BYTES_MAX and len(name.encode()) > NAME_BYTES_MAX:
        raise validation(
            f"{_INVALID}Attribute name is too large, must be less than {NAME_BYTES_MAX + 1} bytes"
        )


def value_from_wire(wire: Any, levels: int = values.NESTING_LEVELS_MAX) -> Value:
    """One attribute value of at most `levels` levels."""
    if type(wire) is not dict:
        raise serialization(_not_a_value(wire))
    if levels < 1:
        raise validation(values.NESTED_TOO_DEEP)
    if len(wire) != 1:
        wire = _only_member(wire)
    for kind, content in wire.items():
        convert = _CONVERTERS.get(kind)
        if content is None or convert is None:
            break
        return convert(wire, content, levels)
    raise validation(EMPTY)


def _only_member(wire: dict[str, Any]) -> dict[str, Any]:
    """The one member that is set: nulls and members of other names do not count."""
    given = {
        kind: content
        for kind, content in wire.items()
        if content is not None and kind in values.ALL_TYPES
    }
    if not given:
        raise validation(EMPTY)
    if len(given) > 1:
        for kind, content in given.items():
            value_from_wire({kind: content})  # its own mistakes come first
        raise validation(SEVERAL)
    return given


def _string(wire: Value, content: Any, _levels: int) -> Value:
    if type(content) is not str:
        raise serialization(not_a_string(content))
    return wire


def _any_number(wire: Value, content: Any, _levels: int) -> Value:
    if type(content) is not str:
        raise serialization(not_a_string(content))
    return _number(wire, content)


def _number(wire: Value, text: str) -> Value:
    canonical = _canonical(text)
    return wire if canonical is text else {"N": canonical}


def _canonical(text: str) -> str:
    try:
        return numbers.canonical(text)
    except InvalidRequest as error:
        raise validation(error.message) from None


def _binary(_wire: Value, content: Any, _levels: int) -> Value:
    return {"B": bytes_from_wire(content)}


def bytes_from_wire(content: Any) -> bytes:
    """A base64 text as bytes; strictly, as the service takes it."""
    if type(content) is not str:
        if type(content) is list:
            raise serialization("Unrecognized collection type class java.nio.ByteBuffer")
        raise serialization(STRUCTURE if type(content) is dict else NOT_BASE64)
    if len(content) % 4:
        raise serialization(
            f"Base64 encoded length is expected a multiple of 4 bytes but found: {len(content)}"
        )
    try:
        return binascii.a2b_base64(content, strict_mode=True)
    except (binascii.Error, ValueError):
        raise serialization("Invalid last non-pad Base64 character dectected") from None


def _boolean(wire: Value, content: Any, _levels: int) -> Value:
    return wire if type(content) is bool else {"BOOL": boolean_from_wire(content)}


def _null(wire: Value, content: Any, _levels: int) -> Value:
    if not boolean_from_wire(content):
        raise validation(NULL_MUST_BE_TRUE)
    return wire if content is True else {"NULL": True}


def boolean_from_wire(content: Any) -> bool:
    """A boolean; the service also takes some texts for one."""
    if type(content) is bool:
        return content
    if type(content) is str:
        word = content.upper()
        if word in {"TRUE", "1", "YES"}:
            return True
        if word in {"FALSE", "0", "NO"}:
            return False
        raise serialization("Unexpected token received from parser")
    raise serialization(not_a_scalar(content, "Boolean"))


def _list(_wire: Value, content: Any, levels: int) -> Value:
    if type(content) is not list:
        raise serialization(_not_a_list(content))
    return {"L": [value_from_wire(element, levels - 1) for element in content]}


def _map(_wire: Value, content: Any, levels: int) -> Value:
    if type(content) is not dict:
        raise serialization(_not_a_map(content))
    return {"M": {name: value_from_wire(value, levels - 1) for name, value in content.items()}}


def _text_set(_wire: Value, content: Any, _levels: int) -> Value:
    members = _strings(content)
    if not members:
        raise validation(_EMPTY_SETS["SS"])
    if len(set(members)) != len(members):
        raise validation(f"{_INVALID}Input collection [{', '.join(members)}] contains duplicates.")
    return values.make_set("SS", members)


def _number_set(_wire: Value, content: Any, _levels: int) -> Value:
    members = _strings(content)
    if not members:
        raise validation(_EMPTY_SETS["NS"])
    canonical = [_canonical(member) for member in members]
    if len(set(canonical)) != len(canonical):
        raise validation("Input collection contains duplicates")
    return values.make_set("NS", canonical)


def _binary_set(_wire: Value, content: Any, _levels: int) -> Value:
    if type(content) is not list:
        raise serialization(_not_a_list(content))
    members = [bytes_from_wire(member) for member in content]
    if not members:
        raise validation(_EMPTY_SETS["BS"])
    if len(set(members)) != len(members):
        listed = ", ".join(content)
        raise validation(f"{_INVALID}Input collection [{listed}]of type BS contains duplicates.")
    return values.make_set("BS", members)


def _strings(content: Any) -> list[str]:
    if type(content) is not list:
        raise serialization(_not_a_list(content))
    for member in content:
        if type(member) is not str:
            raise serialization(not_a_string(member))
    return content


_CONVERTERS = {
    "S": _string,
    "N": _any_number,
    "B": _binary,
    "BOOL": _boolean,
    "NULL": _null,
    "L": _list,
    "M": _map,
    "SS": _text_set,
    "NS": _number_set,
    "BS": _binary_set,
}


def not_a_string(content: Any) -> str:
    """What the service says of another JSON type where a string belongs."""
    return not_a_scalar(content, "String")


def not_a_scalar(content: Any, expected: str) -> str:
    """What the service says of another JSON type where a scalar belongs."""
    if type(content) is bool:
        return f"{'TRUE' if content else 'FALSE'}_VALUE cannot be converted to {expected}"
    if type(content) is int:
        return f"NUMBER_VALUE cannot be converted to {expected}"
    if type(content) is float:
        kind = "NUMBER" if content.is_integer() else "DECIMAL"
        return f"{kind}_VALUE cannot be converted to {expected}"
    if type(content) is str:
        return f"STRING_VALUE cannot be converted to {expected}"
    if type(content) is list:
        return f"Unrecognized collection type class java.lang.{expected}"
    return STRUCTURE


def _not_a_list(content: Any) -> str:
    return STRUCTURE if type(content) is dict else "Unexpected field type"


def _not_a_map(content: Any) -> str:
    if type(content) is list:
        return (
            "Unrecognized collection type java.util.Map<java.lang.String, "
            "com.amazonaws.dynamodb.v20120810.AttributeValue>"
        )
    return "Unexpected field type"


def _not_a_value(content: Any) -> str:
    if type(content) is list:
        return "Unrecognized collection type class com.amazonaws.dynamodb.v20120810.AttributeValue"
    return "Unexpected value type in payload"
