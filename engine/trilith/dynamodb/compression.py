"""Compressed bodies: those of requests are inflated, long answers deflated for who asks for it.

An answer's checksum (x-amz-crc32) is of the bytes as they are sent, as SDKs check it. Whose body
cannot be inflated is answered with InternalServerError, as AWS does it.

Source: RFC 9110, sections 8.4 and 12.5.3; where AWS reads Accept-Encoding more loosely (a quality
that is none counts as 1, one above 1 as 1), so does this.
"""

from __future__ import annotations

import re
import zlib

from trilith.dynamodb.errors import DynamoDBError

BODY_BYTES_MAX = 16 << 20
MEMBERS_MAX = 16  # of gzip, in one body; each is found by a copy of what follows it
DEFLATE_BYTES_MIN = 4096  # shorter answers are sent as they are
_LEVEL = 1  # a page of 1 MB takes 10 ms; higher ones take three times as long for a tenth less
_GZIP, _ZLIB = 31, 15  # zlib's names for the two containers
_WINDOWS = {"gzip": _GZIP, "x-gzip": _GZIP, "deflate": _ZLIB}
_OFFERED = ("gzip", "deflate")
_QUALITY = re.compile(r"\d*\.?\d*").fullmatch


def too_large() -> DynamoDBError:
    """A body beyond 16 MB, compressed or not."""
    error = DynamoDBError("RequestEntityTooLargeException", "Request body exceeds 16777216 bytes")
    error.status = 413
    return error


def inflate(body: bytes, encoding: str) -> bytes:
    """A body of one Content-Encoding. Raises DynamoDBError."""
    if encoding in ("", "identity"):
        return body
    window = _WINDOWS.get(encoding)
    if window is None:
        raise _broken(f"Content-Encoding {encoding} is not supported")
    pieces: list[bytes] = []
    room = BODY_BYTES_MAX + 1
    for _ in range(MEMBERS_MAX if window == _GZIP else 1):  # zlib's do not follow each other
        inflater = zlib.decompressobj(wbits=window)
        try:
            piece = inflater.decompress(body, room)
        except zlib.error:
            break
        room -= len(piece)
        if room <= 0:
            raise too_large()
        if not inflater.eof:
            break
        pieces.append(piece)
        body = inflater.unused_data
        if not body:
            return b"".join(pieces)
    raise _broken(f"The request body is not valid {encoding}")


def _broken(message: str) -> DynamoDBError:
    return DynamoDBError("InternalServerError", message)


def deflate(body: bytes, encoding: str) -> bytes:
    """`encoding` is one that `preferred` named."""
    deflater = zlib.compressobj(_LEVEL, wbits=_WINDOWS[encoding])
    return deflater.compress(body) + deflater.flush()


def preferred(accept_encoding: str) -> str:
    """The encoding that an Accept-Encoding header asks for; empty: none of those that are offered.

    The highest quality wins, then the first named; `*` stands for what is not named.
    """
    qualities: dict[str, float] = {}
    for entry in accept_encoding.split(","):
        name, _, parameters = entry.partition(";")
        name = name.strip().lower()
        qualities[name] = max(qualities.get(name, 0.0), _quality(parameters))
    candidates = [(quality, name) for name, quality in qualities.items() if name in _OFFERED]
    unnamed = [name for name in _OFFERED if name not in qualities]
    candidates += [(qualities.get("*", 0.0), name) for name in unnamed]
    best, name = max(candidates, key=lambda candidate: candidate[0])
    return name if best > 0 else ""


def _quality(parameters: str) -> float:
    _, found, rest = parameters.partition("q=")
    text = rest.partition(";")[0].strip()
    if not found or text in ("", "."):
        return 1.0
    if text.startswith("-"):
        return 0.0
    return min(float(text), 1.0) if _QUALITY(text) else 1.0
