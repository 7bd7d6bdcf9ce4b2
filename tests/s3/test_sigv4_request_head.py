"""The parsed head of a request: query, path and headers as S3 reads them."""

from __future__ import annotations

from urllib.parse import parse_qsl, quote, unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trilith.s3.errors import S3Error
from trilith.s3.headers import hoist_parameters
from trilith.s3.request_head import RequestHead, canonical_path, decode_path, parse_query

QUERY_BYTES = st.lists(
    st.sampled_from([b"&", b"=", b"+", b"%", b"%2", b"%2F", b"%2f", b"a", b"-", b"~", b"\xc3\xa9"])
).map(b"".join)


@given(QUERY_BYTES)
def test_a_query_is_read_as_the_standard_library_reads_it(query: bytes) -> None:
    expected = parse_qsl(query.decode(), keep_blank_values=True)
    parsed = parse_query(query)
    if parsed.is_utf8:
        assert parsed.pairs == expected


@given(QUERY_BYTES)
def test_the_encoded_form_is_canonical_and_says_the_same(query: bytes) -> None:
    parsed = parse_query(query)
    encoded = "&".join(f"{name}={value}" for name, value in parsed.encoded)
    again = parse_query(encoded.encode())
    assert again.encoded == parsed.encoded
    assert again.pairs == parsed.pairs
    if parsed.is_utf8:
        assert parsed.encoded == [
            (quote(name, safe="-._~"), quote(value, safe="-._~")) for name, value in parsed.pairs
        ]


@given(
    st.lists(st.sampled_from([b"/", b"%", b"%2f", b"%2F", b"%C3%A9", b"+", b"a", b"~", b"(", b"."]))
)
def test_the_canonical_path_is_the_path_decoded_and_encoded_once(parts: list[bytes]) -> None:
    raw = b"/" + b"".join(parts)
    assert canonical_path(raw) == quote(unquote_to_bytes(raw), safe="/-._~").encode()


def test_a_path_is_utf8_with_well_formed_escapes_or_invalid() -> None:
    assert decode_path(b"/b/a+b%2F%C3%A9//..") == "/b/a+b/é//.."
    assert decode_path("/b/é".encode()) == "/b/é"
    for bad in (b"/b/%", b"/b/%2", b"/b/%zz", b"/b/%ff", b"/b/\xff", b"/b/%ed%a0%80"):
        with pytest.raises(S3Error, match="InvalidURI"):
            decode_path(bad)


def test_headers_are_text_whatever_bytes_they_hold() -> None:
    head = RequestHead("GET", b"/", b"", [(b"a", "é".encode()), (b"b", b"\xe9")])
    assert (head.header(b"a"), head.header(b"b"), head.header(b"c")) == ("é", "é", None)


def test_repeated_headers_are_joined_in_their_order() -> None:
    headers = [(b"a", b"1"), (b"b", b"2"), (b"a", b"3"), (b"a", b"4")]
    assert RequestHead("GET", b"/", b"", headers).header_map == {b"a": b"1,3,4", b"b": b"2"}


def test_the_checksum_in_a_presigned_url_is_not_the_bodys() -> None:
    """The JavaScript SDK presigns uploads with the checksum of no bytes; AWS ignores it."""
    query = b"x-amz-checksum-crc32=AAAAAA%3D%3D&x-amz-sdk-checksum-algorithm=CRC32&x-amz-meta-a=b"
    head = RequestHead("PUT", b"/bucket/key", query, [])
    hoist_parameters(head)
    assert head.header_map == {b"x-amz-meta-a": b"b"}
