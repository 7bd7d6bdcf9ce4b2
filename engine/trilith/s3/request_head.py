"""A request's line and headers, parsed once for authentication, router and operations.

The raw bytes stay beside the parsed forms, because a signature is over bytes. Percent-encoding is
RFC 3986's; in a query `+` is a space, in a path it is itself (as S3 reads them).
"""

from __future__ import annotations

import re
from functools import lru_cache
from urllib.parse import quote_from_bytes, unquote_to_bytes

from trilith.s3.errors import S3Error

_UNRESERVED = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
_PLAIN_QUERY = _UNRESERVED + b"&=%"
_PLAIN_PATH = _UNRESERVED + b"/"
_CANONICAL_ESCAPES = "|".join(
    f"{byte:02X}" for byte in range(256) if byte not in _UNRESERVED and byte != ord("/")
)
_CANONICAL_PATH = re.compile(rf"(?:[A-Za-z0-9\-._~/]++|%(?:{_CANONICAL_ESCAPES}))*+".encode())

Pairs = list[tuple[str, str]]


class Query:
    """A query string's parameters in the order sent.

    `pairs` are decoded, `encoded` are the same parameters in canonical percent-encoding. A name
    without `=` has the value "". When not `is_utf8`, pairs hold U+FFFD where the bytes were not:
    authentication refuses such a request.
    """

    __slots__ = ("encoded", "is_utf8", "pairs")

    def __init__(self, pairs: Pairs, encoded: Pairs, *, is_utf8: bool = True) -> None:
        self.pairs = pairs
        self.encoded = encoded
        self.is_utf8 = is_utf8


NO_QUERY = Query([], [])


def parse_query(query_string: bytes) -> Query:
    """Never fails: malformed escapes stay as they are, invalid UTF-8 becomes U+FFFD."""
    if not query_string:
        return NO_QUERY
    plain = not query_string.translate(None, _PLAIN_QUERY)
    text = query_string.decode("latin-1")
    pairs: Pairs = []
    encoded: Pairs = []
    is_utf8 = True
    for segment in text.split("&"):
        if not segment:
            continue
        name, _, value = segment.partition("=")
        if plain and "%" not in segment and "=" not in value:
            pair = (name, value)
            pairs.append(pair)
            encoded.append(pair)
        else:
            decode = _decode_segment if len(segment) <= 256 else _decode_segment.__wrapped__
            pair, encoded_pair, segment_is_utf8 = decode(name, value)
            is_utf8 = is_utf8 and segment_is_utf8
            pairs.append(pair)
            encoded.append(encoded_pair)
    return Query(pairs, encoded, is_utf8=is_utf8)


@lru_cache(maxsize=1024)
def _decode_segment(name: str, value: str) -> tuple[tuple[str, str], tuple[str, str], bool]:
    """Decoded and canonically encoded forms; cached, as credentials and prefixes come again."""
    raw_name = unquote_to_bytes(name.replace("+", " ").encode("latin-1"))
    raw_value = unquote_to_bytes(value.replace("+", " ").encode("latin-1"))
    encoded = (quote_from_bytes(raw_name, safe="-._~"), quote_from_bytes(raw_value, safe="-._~"))
    try:
        return (raw_name.decode(), raw_value.decode()), encoded, True
    except UnicodeDecodeError:
        replaced = (raw_name.decode("utf-8", "replace"), raw_value.decode("utf-8", "replace"))
        return replaced, encoded, False


def decode_path(raw_path: bytes) -> str:
    """The path as text. Raises InvalidURI when it is not UTF-8 or an escape is malformed."""
    try:
        if b"%" not in raw_path:
            return raw_path.decode()
        if _MALFORMED_ESCAPE.search(raw_path) is not None:
            raise S3Error("InvalidURI")
        return unquote_to_bytes(raw_path).decode()
    except UnicodeDecodeError:
        raise S3Error("InvalidURI") from None


_MALFORMED_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")


def canonical_path(raw_path: bytes) -> bytes:
    """The path, decoded and encoded again as SigV4 for S3 says: once, and never normalised."""
    if not raw_path.translate(None, _PLAIN_PATH) or _CANONICAL_PATH.fullmatch(raw_path) is not None:
        return raw_path
    return quote_from_bytes(unquote_to_bytes(raw_path), safe="/-._~").encode()


class RequestHead:
    """What an ASGI scope says of a request.

    `raw_path` is percent-encoded and without the query; `headers` have lower-case names. In
    `header_map` repeated headers are joined by `,` (RFC 9110 5.3), and `host` is
    X-Forwarded-Host's first value when the deployment trusts its proxy to set it.
    """

    __slots__ = ("header_map", "headers", "method", "query", "query_string", "raw_path")

    def __init__(
        self,
        method: str,
        raw_path: bytes,
        query_string: bytes,
        headers: list[tuple[bytes, bytes]],
        *,
        trust_forwarded_host: bool = False,
    ) -> None:
        self.method = method
        self.raw_path = raw_path
        self.query_string = query_string
        self.headers = headers
        self.query = parse_query(query_string) if query_string else NO_QUERY
        header_map = dict(headers)
        if len(header_map) != len(headers):
            header_map = _join_repeated(headers)
        if trust_forwarded_host and b"x-forwarded-host" in header_map:
            header_map[b"host"] = header_map[b"x-forwarded-host"].split(b",", 1)[0].strip()
        self.header_map = header_map

    def header(self, name: bytes) -> str | None:
        """A header's value as text (UTF-8, else Latin-1), or None."""
        value = self.header_map.get(name)
        if value is None:
            return None
        try:
            return value.decode()
        except UnicodeDecodeError:
            return value.decode("latin-1")


def _join_repeated(headers: list[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    joined: dict[bytes, bytes] = {}
    for name, value in headers:
        joined[name] = joined[name] + b"," + value if name in joined else value
    return joined
