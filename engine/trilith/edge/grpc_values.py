"""Items between protobuf and DynamoDB's JSON shape (decoded), which its operations take and give.

Binaries are base64 there. What a value may be is checked by dynamodb.attribute_values alone.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from typing import Any

from trilith.errors import InvalidRequest
from trilith.wire.v1 import values_pb2 as wire

Document = dict[str, Any]


def item_document(item: wire.Item) -> Document:
    return {name: value_document(value) for name, value in item.attributes.items()}


def value_document(value: wire.AttributeValue) -> Document:
    """Raises InvalidRequest for a value of no kind."""
    kind = value.WhichOneof("kind")
    if kind is None:
        raise InvalidRequest("an attribute value has exactly one kind")
    return _DOCUMENTS[kind](value)


_DOCUMENTS: dict[str, Callable[[wire.AttributeValue], Document]] = {
    "string": lambda v: {"S": v.string},
    "number": lambda v: {"N": v.number},
    "binary": lambda v: {"B": b64encode(v.binary).decode()},
    "boolean": lambda v: {"BOOL": v.boolean},
    "null": lambda v: {"NULL": v.null},
    "list": lambda v: {"L": [value_document(one) for one in v.list.values]},
    "map": lambda v: {"M": item_document(v.map)},
    "string_set": lambda v: {"SS": list(v.string_set.values)},
    "number_set": lambda v: {"NS": list(v.number_set.values)},
    "binary_set": lambda v: {"BS": [b64encode(one).decode() for one in v.binary_set.values]},
}


def item_message(document: Mapping[str, Any]) -> wire.Item:
    item = wire.Item()
    fill_item(item, document)
    return item


def fill_item(item: wire.Item, document: Mapping[str, Any]) -> None:
    """Write an item in place: messages within messages are not copied."""
    attributes = item.attributes
    for name, value in document.items():
        _fill(attributes[name], value)


def fill_given(item: wire.Item, document: Mapping[str, Any] | None) -> None:
    """As `fill_item`; None: there is no item. An empty one is one."""
    if document is not None:
        item.SetInParent()
        fill_item(item, document)


def _fill(message: wire.AttributeValue, document: Mapping[str, Any]) -> None:
    for kind, content in document.items():
        _FILLS[kind](message, content)


def _fill_list(message: wire.AttributeValue, content: list[Document]) -> None:
    message.list.SetInParent()
    for one in content:
        _fill(message.list.values.add(), one)


def _fill_map(message: wire.AttributeValue, content: Document) -> None:
    message.map.SetInParent()
    fill_item(message.map, content)


_FILLS: dict[str, Callable[[wire.AttributeValue, Any], None]] = {
    "S": lambda m, content: setattr(m, "string", content),
    "N": lambda m, content: setattr(m, "number", content),
    "B": lambda m, content: setattr(m, "binary", b64decode(content)),
    "BOOL": lambda m, content: setattr(m, "boolean", content),
    "NULL": lambda m, content: setattr(m, "null", content),
    "L": _fill_list,
    "M": _fill_map,
    "SS": lambda m, content: m.string_set.values.extend(content),
    "NS": lambda m, content: m.number_set.values.extend(content),
    "BS": lambda m, content: m.binary_set.values.extend(b64decode(one) for one in content),
}


def placeholders_document(placeholders: wire.Placeholders) -> Document:
    """ExpressionAttributeNames and ExpressionAttributeValues, where there are any."""
    document: Document = {}
    if placeholders.names:
        document["ExpressionAttributeNames"] = dict(placeholders.names)
    if placeholders.values:
        document["ExpressionAttributeValues"] = {
            name: value_document(value) for name, value in placeholders.values.items()
        }
    return document
