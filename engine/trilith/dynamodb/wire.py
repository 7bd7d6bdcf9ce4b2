"""DynamoDB's JSON 1.0 on HTTP: bodies in, answers with their checksum out."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from trilith.dynamodb.errors import serialization

CONTENT_TYPE = (b"content-type", b"application/x-amz-json-1.0")

Headers = list[tuple[bytes, bytes]]

encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class Answer(NamedTuple):
    """A whole answer (the shape that edge/answer.py expects)."""

    status: int
    headers: Headers
    body: bytes = b""


def json_answer(status: int, body: bytes, request_id: str, *further: tuple[bytes, bytes]) -> Answer:
    headers = [
        CONTENT_TYPE,
        (b"content-length", b"%d" % len(body)),
        (b"x-amzn-requestid", request_id.encode()),
        (b"x-amz-crc32", b"%d" % zlib.crc32(body)),
        *further,
    ]
    return Answer(status, headers, body)


def merged(headers: Headers) -> dict[bytes, bytes]:
    """Headers by name; those that come several times are one list (RFC 9110, 5.3)."""
    found: dict[bytes, bytes] = {}
    for name, value in headers:
        found[name] = found[name] + b"," + value if name in found else value
    return found


def cross_origin_headers(method: str, sent: Mapping[bytes, bytes]) -> Headers:
    """CORS: as AWS, pages of any origin may call, since each call is signed with a key anyway."""
    headers: Headers = [
        (b"access-control-allow-origin", b"*"),
        (b"access-control-expose-headers", b"x-amzn-RequestId,x-amz-crc32,Date"),
    ]
    if method != "OPTIONS":
        return headers
    headers.append((b"access-control-max-age", b"172800"))
    for asked, allowed in (
        (b"access-control-request-method", b"access-control-allow-methods"),
        (b"access-control-request-headers", b"access-control-allow-headers"),
    ):
        if asked in sent:
            headers.append((allowed, sent[asked]))
    return headers


def decode_body(body: bytes) -> dict[str, Any]:
    """The request's JSON object. Raises SerializationException, whatever the bytes."""
    try:
        decoded = _decode(body) if body else None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise serialization("The request body is not valid JSON") from None
    if type(decoded) is not dict:
        raise serialization("Unexpected value type in payload")
    return decoded
