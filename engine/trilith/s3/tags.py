"""Tags of objects and buckets: the x-amz-tagging header and the <Tagging> document.

Source: S3 User Guide, "Categorizing your objects using tags" and "Using cost allocation S3 bucket
tags": ten tags at most of an object and fifty of a bucket, keys of 1 to 128 and values of up to 256
characters, letters, digits, spaces and + - = . _ : / @ in them. A line break or
another control character is no space (\\p{Z} in the service models' patterns of tags).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from unicodedata import category
from urllib.parse import unquote_to_bytes
from xml.etree.ElementTree import Element

from trilith.s3.errors import S3Error, invalid_argument
from trilith.s3.request_head import RequestHead
from trilith.s3.xml import NAMESPACE, element, parse

HEADER = b"x-amz-tagging"
# Fifty tags of the longest keys and values, each character perhaps as a reference.
DOCUMENT_BYTES_MAX = 256 << 10
TAGS_MAX = 10
BUCKET_TAGS_MAX = 50

_KEY_CHARACTERS_MAX = 128
_VALUE_CHARACTERS_MAX = 256
_MALFORMED_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_SYMBOLS = frozenset("+-=._:/@")


def header_tags(head: RequestHead) -> dict[str, str]:
    """The tags of x-amz-tagging (`key=value&...`, percent-encoded), none without it.

    Raises InvalidArgument, InvalidTag, BadRequest.
    """
    raw = head.header_map.get(HEADER, b"")
    pairs = []
    for segment in raw.split(b"&"):
        if not segment:
            continue
        key, _, value = segment.replace(b"+", b" ").partition(b"=")
        if not key or _MALFORMED_ESCAPE.search(segment) is not None:
            raise _bad_header(raw)
        try:
            pairs.append((unquote_to_bytes(key).decode(), unquote_to_bytes(value).decode()))
        except UnicodeDecodeError:
            raise _bad_header(raw) from None
    if len({key for key, _ in pairs}) != len(pairs):
        raise _bad_header(raw)
    return _checked(pairs)


def document_tags(body: bytes, tags_max: int = TAGS_MAX) -> dict[str, str]:
    """The tags of a <Tagging> document. Raises MalformedXML, InvalidTag, BadRequest."""
    root = parse(body, "Tagging")
    sets = root.findall("TagSet")
    if len(sets) != 1:
        raise S3Error("MalformedXML")
    return element_tags(sets[0], tags_max)


def element_tags(holder: Element, tags_max: int = TAGS_MAX) -> dict[str, str]:
    """The tags in the <Tag> elements that an element holds. Raises as `document_tags`."""
    nodes = holder.findall("Tag")
    return _checked([(_text(node, "Key"), _text(node, "Value")) for node in nodes], tags_max)


def document(tags: dict[str, str]) -> str:
    rows = [f"<Tag>{element('Key', k)}{element('Value', v)}</Tag>" for k, v in tags.items()]
    return f'<Tagging xmlns="{NAMESPACE}"><TagSet>{"".join(rows)}</TagSet></Tagging>'


def _text(node: Element, name: str) -> str:
    children = node.findall(name)
    if len(children) != 1 or len(children[0]):
        raise S3Error("MalformedXML")
    return children[0].text or ""


def _checked(pairs: Iterable[tuple[str, str]], tags_max: int = TAGS_MAX) -> dict[str, str]:
    tags: dict[str, str] = {}
    for key, value in pairs:
        if not 1 <= len(key) <= _KEY_CHARACTERS_MAX or not _is_plain(key):
            raise _invalid("The TagKey you have provided is invalid", key)
        if len(value) > _VALUE_CHARACTERS_MAX or not _is_plain(value):
            raise _invalid("The TagValue you have provided is invalid", key, value)
        if key.lower().startswith("aws:"):
            raise _invalid("System tags cannot be added/updated by requester", key)
        if key in tags:
            raise _invalid("Cannot provide multiple Tags with the same key", key)
        tags[key] = value
    if len(tags) > tags_max:
        what = "Object" if tags_max == TAGS_MAX else "Bucket"
        raise S3Error("BadRequest", f"{what} tags cannot be greater than {tags_max}")
    return tags


def _is_plain(text: str) -> bool:
    return all(c.isalnum() or c in _SYMBOLS or category(c)[0] == "Z" for c in text)


def _invalid(message: str, key: str, value: str | None = None) -> S3Error:
    elements = {"TagKey": key} if value is None else {"TagKey": key, "TagValue": value}
    return S3Error("InvalidTag", message, elements=elements)


def _bad_header(raw: bytes) -> S3Error:
    return invalid_argument(
        "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query parameters "
        "without tag name duplicates.",
        "x-amz-tagging",
        raw.decode("latin-1"),
    )
