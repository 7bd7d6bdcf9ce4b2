"""DynamoDB's JSON 1.0 on HTTP: bodies in, answers with their checksum out."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from trilith.dynamodb.errors import DynamoDBError, serialization

BODY_BYTES_MAX = 16 << 20
CONTENT_TYPE = (b"content-type", b"application/x-amz-json-1.0")

Headers = list[tuple[bytes, bytes]]

encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class Answer(NamedTuple):
    """A whole answer (the shape that edge/answer.py expects)."""

    status: int
    headers: Headers
    body: bytes = b""


def json_answer(status: int, body: bytes, request_id: str) -> Answer:
    headers = [
        CONTENT_TYPE,
        (b"content-length", b"%d" % len(body)),
        (b"x-amzn-requestid", request_id.encode()),
        (b"x-amz-crc32", b"%d" % zlib.crc32(body)),
    ]
    return Answer(status, headers, body)


def cross_origin_headers(sent: Mapping[bytes, bytes]) -> Headers:
    """CORS: as AWS, pages of any origin may call, since each call is signed with a key anyway."""
    headers: Headers = [(b"access-control-allow-origin", b"*")]
    if b"access-control-request-method" not in sent:
        return [*headers, (b"access-control-expose-headers", b"x-amzn-RequestId,x-amz-crc32,Date")]
    headers.append((b"access-control-max-age", b"172800"))
    for asked, allowed in (
        (b"access-control-request-method", b"access-control-allow-methods"),
        (b"access-control-request-headers", b"access-control-allow-headers"),
    ):
        if asked in sent:
            headers.append((allowed, sent[asked]))
    return headers


def too_large() -> DynamoDBError:
    """A body beyond 16 MB, compressed or not."""
    error = DynamoDBError("RequestEntityTooLargeException", "Request body exceeds 16777216 bytes")
    error.status = 413
    return error


def inflate(body: bytes, encoding: str) -> bytes:
    """A body of one Content-Encoding. Raises DynamoDBError."""
    if encoding in ("", "identity"):
        return body
    if encoding not in ("gzip", "x-gzip"):
        raise serialization(f"Content-Encoding {encoding} is not supported")
    inflater = zlib.decompressobj(wbits=31)
    try:
        plain = inflater.decompress(body, BODY_BYTES_MAX + 1)
    except zlib.error:
        raise serialization("The request body is not valid gzip") from None
    if len(plain) > BODY_BYTES_MAX:
        raise too_large()
    if not inflater.eof:
        raise serialization("The request body is not valid gzip")
    return plain


def decode_body(body: bytes) -> dict[str, Any]:
    """The request's JSON object. Raises SerializationException, whatever the bytes."""
    try:
        decoded = _decode(body) if body else None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise serialization("The request body is not valid JSON") from None
    if type(decoded) is not dict:
        raise serialization("Unexpected value type in payload")
    return decoded
